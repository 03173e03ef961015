//! Float kernels with AVX2, FMA and F16C.

use std::arch::x86_64::*;

use crate::float::FloatOps;
use crate::float::stamp::float_ops;
use crate::float::vector::Vector;

/// The AVX2 float table.
pub(crate) const FLOAT: FloatOps = float_ops!(
    #[target_feature(enable = "avx2,fma,f16c")]
    Ymm
);

/// 8 floats in one register.
#[derive(Clone, Copy)]
pub(crate) struct Ymm(__m256);

impl Vector for Ymm {
    const WIDTH: usize = 8;
    const ROUNDS: usize = 2;

    #[inline(always)]
    fn zero() -> Self {
        // SAFETY: called from AVX2 kernels only (see `Vector`).
        Self(unsafe { _mm256_setzero_ps() })
    }

    #[inline(always)]
    fn splat(x: f32) -> Self {
        // SAFETY: called from AVX2 kernels only.
        Self(unsafe { _mm256_set1_ps(x) })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: called from AVX2 kernels only; the caller promises 8 readable floats.
        Self(unsafe { _mm256_loadu_ps(from) })
    }

    #[inline(always)]
    unsafe fn widen(from: *const u16) -> Self {
        // SAFETY: called from AVX2 kernels only; the caller promises 8 readable values.
        Self(unsafe { _mm256_cvtph_ps(_mm_loadu_si128(from.cast())) })
    }

    #[inline(always)]
    fn ask(from: *const u8, bytes: usize) {
        for at in (0..bytes).step_by(64) {
            // SAFETY: prefetching has no effect but on speed, whatever the address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(at).cast()) }
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: called from AVX2 kernels only; the caller promises 8 writable floats.
        unsafe { _mm256_storeu_ps(to, self.0) }
    }

    #[inline(always)]
    unsafe fn narrow(self, to: *mut u16) {
        // SAFETY: called from AVX2 kernels only; the caller promises 8 writable values.
        unsafe { _mm_storeu_si128(to.cast(), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(self.0)) }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: called from AVX2 kernels only.
        Self(unsafe { _mm256_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: called from AVX2 kernels only.
        Self(unsafe { _mm256_mul_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn fma(self, b: Self, c: Self) -> Self {
        // SAFETY: called from AVX2 kernels only.
        Self(unsafe { _mm256_fmadd_ps(self.0, b.0, c.0) })
    }

    #[inline(always)]
    fn fold(sums: [Self; 16]) -> [f32; 16] {
        let mut out = [0.0; 16];
        for (eight, out) in sums.chunks_exact(8).zip(out.chunks_exact_mut(8)) {
            // SAFETY: called from AVX2 kernels only; `out` is 8 floats.
            unsafe {
                // Half g of quarters[m] holds the four partial sums left of eight[4g + m].
                let mut quarters = [_mm256_setzero_ps(); 4];
                for m in 0..4 {
                    let low = _mm256_permute2f128_ps::<0x20>(eight[m].0, eight[4 + m].0);
                    let high = _mm256_permute2f128_ps::<0x31>(eight[m].0, eight[4 + m].0);
                    quarters[m] = _mm256_add_ps(low, high);
                }
                let low = pairs(quarters[0], quarters[1]);
                let high = pairs(quarters[2], quarters[3]);
                let even = _mm256_shuffle_ps::<0b10_00_10_00>(low, high);
                let odd = _mm256_shuffle_ps::<0b11_01_11_01>(low, high);
                _mm256_storeu_ps(out.as_mut_ptr(), _mm256_add_ps(even, odd));
            }
        }
        out
    }
}

/// Within each half, `i + (i + 2)` of `a` in the lower two lanes, of `b` in the upper.
#[target_feature(enable = "avx2")]
#[inline]
fn pairs(a: __m256, b: __m256) -> __m256 {
    let low = _mm256_shuffle_ps::<0b01_00_01_00>(a, b);
    let high = _mm256_shuffle_ps::<0b11_10_11_10>(a, b);
    _mm256_add_ps(low, high)
}
