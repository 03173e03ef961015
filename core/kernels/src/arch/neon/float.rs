//! Float kernels with NEON.

use std::arch::aarch64::*;

use crate::float::FloatOps;
use crate::float::stamp::float_ops;
use crate::float::vector::Vector;

/// The NEON float table.
pub(crate) const FLOAT: FloatOps = float_ops!(
    #[target_feature(enable = "neon")]
    Quad
);

/// 4 floats in one register.
#[derive(Clone, Copy)]
pub(crate) struct Quad(float32x4_t);

impl Vector for Quad {
    const WIDTH: usize = 4;
    const ROUNDS: usize = 1;

    #[inline(always)]
    fn zero() -> Self {
        Self::splat(0.0)
    }

    #[inline(always)]
    fn splat(x: f32) -> Self {
        // SAFETY: called from NEON kernels only (see `Vector`).
        Self(unsafe { vdupq_n_f32(x) })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: called from NEON kernels only; the caller promises 4 readable floats.
        Self(unsafe { vld1q_f32(from) })
    }

    #[inline(always)]
    unsafe fn widen(from: *const u16) -> Self {
        // SAFETY: called from NEON kernels only; the caller promises 4 readable values.
        Self(unsafe { vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(from))) })
    }

    #[inline(always)]
    fn ask(from: *const u8, bytes: usize) {
        for at in (0..bytes).step_by(64) {
            // SAFETY: prefetching has no effect but on speed, whatever the address.
            unsafe {
                std::arch::asm!("prfm pldl1keep, [{}]", in(reg) from.wrapping_add(at), options(nostack, readonly, preserves_flags))
            }
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: called from NEON kernels only; the caller promises 4 writable floats.
        unsafe { vst1q_f32(to, self.0) }
    }

    #[inline(always)]
    unsafe fn narrow(self, to: *mut u16) {
        // SAFETY: called from NEON kernels only; the caller promises 4 writable values.
        unsafe { vst1_u16(to, vreinterpret_u16_f16(vcvt_f16_f32(self.0))) }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: called from NEON kernels only.
        Self(unsafe { vaddq_f32(self.0, other.0) })
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: called from NEON kernels only.
        Self(unsafe { vmulq_f32(self.0, other.0) })
    }

    #[inline(always)]
    fn fma(self, b: Self, c: Self) -> Self {
        // SAFETY: called from NEON kernels only.
        Self(unsafe { vfmaq_f32(c.0, self.0, b.0) })
    }

    #[inline(always)]
    fn fold(sums: [Self; 16]) -> [f32; 16] {
        let mut out = [0.0; 16];
        for (four, out) in sums.chunks_exact(4).zip(out.chunks_exact_mut(4)) {
            // SAFETY: called from NEON kernels only; `out` is 4 floats.
            unsafe {
                let [a, b] = [pairs(four[0].0, four[1].0), pairs(four[2].0, four[3].0)];
                vst1q_f32(out.as_mut_ptr(), vpaddq_f32(a, b));
            }
        }
        out
    }
}

/// `i + (i + 2)` of `a` in the lower two lanes, of `b` in the upper.
#[target_feature(enable = "neon")]
#[inline]
fn pairs(a: float32x4_t, b: float32x4_t) -> float32x4_t {
    let (a, b) = (vreinterpretq_f64_f32(a), vreinterpretq_f64_f32(b));
    let (low, high) = (vreinterpretq_f32_f64(vtrn1q_f64(a, b)), vreinterpretq_f32_f64(vtrn2q_f64(a, b)));
    vaddq_f32(low, high)
}
