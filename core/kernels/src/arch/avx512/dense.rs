//! Rows of plain floats: 16 partial sums by index mod 16 are the 16 lanes of one register.

use std::arch::x86_64::*;

use crate::activations::Activations;
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
        let tokens = if t - token >= 4 { 4 } else { 1 };
        let mut row = 0;
        while row < n {
            let rows = if n - row >= 4 { 4 } else { 1 };
            // SAFETY: rows, tokens and outputs of the tile are inside the slices.
            unsafe {
                let (w, x) = (w.as_ptr().add(row * row_bytes), x.f().as_ptr().add(token * k));
                let out = out.as_mut_ptr().add(token * n + row);
                match (rows, tokens) {
                    (4, 4) => tile::<F, 4, 4>(w, x, k, out, n),
                    (4, _) => tile::<F, 4, 1>(w, x, k, out, n),
                    (_, 4) => tile::<F, 1, 4>(w, x, k, out, n),
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
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
unsafe fn tile<const F: usize, const R: usize, const T: usize>(
    w: *const u8,
    x: *const f32,
    k: usize,
    out: *mut f32,
    n: usize,
) {
    let format = const { Format::ALL[F] };
    let bytes = format.block_bytes();
    let mut sum = [[_mm512_setzero_ps(); R]; T];
    let whole = k / 16 * 16;
    for at in (0..whole).step_by(16) {
        // SAFETY: 16 values at `at` are inside every row and token.
        unsafe {
            let w: [__m512; R] = std::array::from_fn(|r| widen(format, w.add((r * k + at) * bytes), 0xFFFF));
            for (t, sum) in sum.iter_mut().enumerate() {
                let x = _mm512_loadu_ps(x.add(t * k + at));
                for (r, sum) in sum.iter_mut().enumerate() {
                    *sum = _mm512_fmadd_ps(w[r], x, *sum);
                }
            }
        }
    }
    if whole < k {
        let tail = ((1u32 << (k - whole)) - 1) as __mmask16;
        // SAFETY: the mask keeps the loads inside rows and tokens.
        unsafe {
            let w: [__m512; R] = std::array::from_fn(|r| widen(format, w.add((r * k + whole) * bytes), tail));
            for (t, sum) in sum.iter_mut().enumerate() {
                let x = _mm512_maskz_loadu_ps(tail, x.add(t * k + whole));
                for (r, sum) in sum.iter_mut().enumerate() {
                    // Lanes beyond keep their sum: adding 0 would lose the sign of a -0.
                    *sum = _mm512_mask3_fmadd_ps(w[r], x, *sum, tail);
                }
            }
        }
    }
    for (t, sum) in sum.iter().enumerate() {
        for (r, sum) in sum.iter().enumerate() {
            // SAFETY: the output exists.
            unsafe { *out.add(t * n + r) = fold(*sum) };
        }
    }
}

/// 16 weights, or those under `mask`, as floats.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
unsafe fn widen(format: Format, w: *const u8, mask: __mmask16) -> __m512 {
    // SAFETY: the caller's promise, for the lanes of `mask`.
    unsafe {
        match format {
            Format::F32 => _mm512_maskz_loadu_ps(mask, w.cast()),
            Format::F16 => _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, w.cast())),
            _ => {
                let w = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, w.cast()));
                _mm512_castsi512_ps(_mm512_slli_epi32::<16>(w))
            }
        }
    }
}

/// i + (i + 8), then 4, 2, 1.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
fn fold(sum: __m512) -> f32 {
    let eight = _mm256_add_ps(_mm512_castps512_ps256(sum), _mm512_extractf32x8_ps::<1>(sum));
    crate::arch::avx2::dense::fold(eight)
}
