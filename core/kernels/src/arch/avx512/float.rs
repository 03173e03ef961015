//! Float kernels with AVX-512.

use std::arch::x86_64::*;

use crate::arch::avx2::float::Ymm;
use crate::float::FloatOps;
use crate::float::stamp::float_ops;
use crate::float::vector::Vector;

/// The AVX-512 float table.
pub(crate) const FLOAT: FloatOps = float_ops!(
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
    Zmm
);

/// 16 floats in one register.
#[derive(Clone, Copy)]
pub(crate) struct Zmm(__m512);

impl Vector for Zmm {
    const WIDTH: usize = 16;
    const ROUNDS: usize = 1;

    #[inline(always)]
    fn zero() -> Self {
        // SAFETY: called from AVX-512 kernels only (see `Vector`).
        Self(unsafe { _mm512_setzero_ps() })
    }

    #[inline(always)]
    fn splat(x: f32) -> Self {
        // SAFETY: called from AVX-512 kernels only.
        Self(unsafe { _mm512_set1_ps(x) })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: called from AVX-512 kernels only; the caller promises 16 readable floats.
        Self(unsafe { _mm512_loadu_ps(from) })
    }

    #[inline(always)]
    unsafe fn widen(from: *const u16) -> Self {
        // SAFETY: called from AVX-512 kernels only; the caller promises 16 readable values.
        Self(unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) })
    }

    #[inline(always)]
    fn ask(from: *const u8, bytes: usize) {
        Ymm::ask(from, bytes);
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: called from AVX-512 kernels only; the caller promises 16 writable floats.
        unsafe { _mm512_storeu_ps(to, self.0) }
    }

    #[inline(always)]
    unsafe fn narrow(self, to: *mut u16) {
        // SAFETY: called from AVX-512 kernels only; the caller promises 16 writable values.
        unsafe { _mm256_storeu_si256(to.cast(), _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(self.0)) }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: called from AVX-512 kernels only.
        Self(unsafe { _mm512_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: called from AVX-512 kernels only.
        Self(unsafe { _mm512_mul_ps(self.0, other.0) })
    }

    #[inline(always)]
    fn fma(self, b: Self, c: Self) -> Self {
        // SAFETY: called from AVX-512 kernels only.
        Self(unsafe { _mm512_fmadd_ps(self.0, b.0, c.0) })
    }

    #[inline(always)]
    fn fold(sums: [Self; 16]) -> [f32; 16] {
        let mut out = [0.0; 16];
        // SAFETY: called from AVX-512 kernels only; `out` is 16 floats.
        unsafe {
            // Quarter g of quarters[m] holds the four partial sums left of sums[4g + m].
            let mut quarters = [_mm512_setzero_ps(); 4];
            for m in 0..4 {
                let low = halves(sums[m].0, sums[4 + m].0);
                let high = halves(sums[8 + m].0, sums[12 + m].0);
                let even = _mm512_shuffle_f32x4::<0b10_00_10_00>(low, high);
                let odd = _mm512_shuffle_f32x4::<0b11_01_11_01>(low, high);
                quarters[m] = _mm512_add_ps(even, odd);
            }
            let low = pairs(quarters[0], quarters[1]);
            let high = pairs(quarters[2], quarters[3]);
            let even = _mm512_shuffle_ps::<0b10_00_10_00>(low, high);
            let odd = _mm512_shuffle_ps::<0b11_01_11_01>(low, high);
            _mm512_storeu_ps(out.as_mut_ptr(), _mm512_add_ps(even, odd));
        }
        out
    }
}

/// `i + (i + 8)` of `a` in the lower half, of `b` in the upper.
#[target_feature(enable = "avx512f")]
#[inline]
fn halves(a: __m512, b: __m512) -> __m512 {
    let low = _mm512_shuffle_f32x4::<0b01_00_01_00>(a, b);
    let high = _mm512_shuffle_f32x4::<0b11_10_11_10>(a, b);
    _mm512_add_ps(low, high)
}

/// Within each quarter, `i + (i + 2)` of `a` in the lower two lanes, of `b` in the upper.
#[target_feature(enable = "avx512f")]
#[inline]
fn pairs(a: __m512, b: __m512) -> __m512 {
    let low = _mm512_shuffle_ps::<0b01_00_01_00>(a, b);
    let high = _mm512_shuffle_ps::<0b11_10_11_10>(a, b);
    _mm512_add_ps(low, high)
}
