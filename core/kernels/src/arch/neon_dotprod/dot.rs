//! The dot product as one `sdot`. Its intrinsics are not stable in Rust, so this is the one place that spells it.

use crate::arch::neon::intrinsics::*;
use core::arch::asm;

use crate::arch::neon::dot::Dot;

/// Proof that the CPU has the dotprod extension.
#[derive(Clone, Copy)]
pub(crate) struct Sdot {
    _private: (),
}

impl Sdot {
    /// The proof, from a function that was compiled for dotprod.
    #[inline]
    #[target_feature(enable = "neon,dotprod")]
    pub(crate) fn new() -> Self {
        Self { _private: () }
    }
}

// Not `pure`: the products then stay in the order they are written in, row by row. Free to mix rows, the compiler keeps more
// of them in flight than there are registers and spills (Q6_K: 130 instructions a block instead of 113).
impl Dot for Sdot {
    #[inline(always)]
    fn dot(self, mut acc: int32x4_t, w: int8x16_t, a: int8x16_t) -> int32x4_t {
        // SAFETY: registers only; `self` proves that the CPU has the instruction.
        unsafe {
            asm!("sdot {acc:v}.4s, {w:v}.16b, {a:v}.16b", acc = inout(vreg) acc, w = in(vreg) w, a = in(vreg) a,
                options(nomem, nostack, preserves_flags));
        }
        acc
    }

    #[inline(always)]
    fn dot_lane<const LANE: i32>(self, mut acc: int32x4_t, w: int8x16_t, a: int8x16_t) -> int32x4_t {
        // SAFETY: registers only; `self` proves that the CPU has the instruction.
        unsafe {
            asm!("sdot {acc:v}.4s, {w:v}.16b, {a:v}.4b[{lane}]", acc = inout(vreg) acc, w = in(vreg) w, a = in(vreg) a,
                lane = const LANE, options(nomem, nostack, preserves_flags));
        }
        acc
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::neon::dot::tests::check_lanes;

    #[target_feature(enable = "neon,dotprod")]
    fn check() {
        check_lanes(Sdot::new());
    }

    #[test]
    fn every_lane_sums_its_own_four_products() {
        if std::arch::is_aarch64_feature_detected!("dotprod") {
            // SAFETY: the CPU has dotprod, as just seen.
            unsafe { check() }
        }
    }
}
