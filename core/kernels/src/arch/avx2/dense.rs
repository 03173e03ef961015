//! Rows of plain floats: 16 partial sums by index mod 16 are two registers.

use std::arch::x86_64::*;

use crate::activations::Activations;
use crate::arch::scalar::dequantize;
use crate::format::Format;
use crate::scratch::Scratch;

/// `out[t, n] = x[t, k] * w[n, k]` for F32, F16 and BF16.
///
/// # Safety
/// As `MatmulFn`.
pub(crate) unsafe fn matmul<const F: usize>(w: &[u8], x: &Activations<'_>, out: &mut [f32], _scratch: &mut Scratch) {
    let (k, t) = (x.k(), x.t());
    let row_bytes = Format::ALL[F].row_bytes(k);
    let n = w.len() / row_bytes;
    // A tile's tokens stay in the cache while the rows pass by.
    let mut token = 0;
    while token < t {
        let tokens = if t - token >= 2 { 2 } else { 1 };
        let mut row = 0;
        while row < n {
            let rows = if n - row >= 2 { 2 } else { 1 };
            // SAFETY: rows, tokens and outputs of the tile are inside the slices.
            unsafe {
                let (w, x) = (w.as_ptr().add(row * row_bytes), x.f().as_ptr().add(token * k));
                let out = out.as_mut_ptr().add(token * n + row);
                match (rows, tokens) {
                    (2, 2) => tile::<F, 2, 2>(w, x, k, out, n),
                    (2, _) => tile::<F, 2, 1>(w, x, k, out, n),
                    (_, 2) => tile::<F, 1, 2>(w, x, k, out, n),
                    _ => tile::<F, 1, 1>(w, x, k, out, n),
                }
            }
            row += rows;
        }
        token += tokens;
    }
}

/// `R` rows times `T` tokens.
///
/// # Safety
/// `w` has `R` rows and `x` `T` tokens of `k` values; `out[t * n + r]` exists for each.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn tile<const F: usize, const R: usize, const T: usize>(
    w: *const u8,
    x: *const f32,
    k: usize,
    out: *mut f32,
    n: usize,
) {
    let format = const { Format::ALL[F] };
    let bytes = format.block_bytes();
    let mut sum = [[[_mm256_setzero_ps(); 2]; R]; T];
    let whole = k / 16 * 16;
    for at in (0..whole).step_by(16) {
        // SAFETY: 16 values at `at` are inside every row and token.
        unsafe {
            let w: [[__m256; 2]; R] = std::array::from_fn(|r| {
                let w = w.add((r * k + at) * bytes);
                [widen(format, w), widen(format, w.add(8 * bytes))]
            });
            for (t, sum) in sum.iter_mut().enumerate() {
                for half in 0..2 {
                    let x = _mm256_loadu_ps(x.add(t * k + at + 8 * half));
                    for (r, sum) in sum.iter_mut().enumerate() {
                        sum[half] = _mm256_fmadd_ps(w[r][half], x, sum[half]);
                    }
                }
            }
        }
    }
    for (t, sum) in sum.iter().enumerate() {
        for (r, sum) in sum.iter().enumerate() {
            let mut lanes = [0.0f32; 16];
            // SAFETY: the stores fill the array; the tail's values and the output exist.
            unsafe {
                _mm256_storeu_ps(lanes.as_mut_ptr(), sum[0]);
                _mm256_storeu_ps(lanes.as_mut_ptr().add(8), sum[1]);
                for at in whole..k {
                    let w = std::slice::from_raw_parts(w.add((r * k + at) * bytes), bytes);
                    let lane = &mut lanes[at % 16];
                    *lane = dequantize::widen(format, w).mul_add(*x.add(t * k + at), *lane);
                }
                let low = _mm256_loadu_ps(lanes.as_ptr());
                let high = _mm256_loadu_ps(lanes.as_ptr().add(8));
                *out.add(t * n + r) = fold(_mm256_add_ps(low, high));
            }
        }
    }
}

/// 8 weights as floats.
///
/// # Safety
/// 8 weights at `w` can be read.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn widen(format: Format, w: *const u8) -> __m256 {
    // SAFETY: the caller's promise.
    unsafe {
        match format {
            Format::F32 => _mm256_loadu_ps(w.cast()),
            Format::F16 => _mm256_cvtph_ps(_mm_loadu_si128(w.cast())),
            _ => {
                let w = _mm256_cvtepu16_epi32(_mm_loadu_si128(w.cast()));
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(w))
            }
        }
    }
}

/// The last three folds: i + (i + 4), then 2, 1.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn fold(eight: __m256) -> f32 {
    let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}
