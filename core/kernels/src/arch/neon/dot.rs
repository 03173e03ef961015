//! The integer dot product a set is built on: what `sdot` computes, lane by lane, with or without that instruction.

use super::intrinsics::*;

/// Products of signed bytes, summed in groups of 4 into the lanes of a register.
///
/// A value proves that the CPU has the instructions behind it.
pub(crate) trait Dot: Copy {
    /// Lane i: `acc[i] + sum of w[4 i + j] * a[4 i + j]` for j in 0..4, wrapping. Two neighbours of `w` are not both
    /// -128 where those of `a` are.
    fn dot(self, acc: int32x4_t, w: int8x16_t, a: int8x16_t) -> int32x4_t;

    /// Lane i: `acc[i] + sum of w[4 i + j] * a[4 LANE + j]`: four rows of `w` against one group of `a`.
    fn dot_lane<const LANE: i32>(self, acc: int32x4_t, w: int8x16_t, a: int8x16_t) -> int32x4_t;
}

/// `smull` and pairwise sums: every aarch64 CPU has them.
#[derive(Clone, Copy)]
pub(crate) struct Smull;

impl Dot for Smull {
    #[inline(always)]
    fn dot(self, acc: int32x4_t, w: int8x16_t, a: int8x16_t) -> int32x4_t {
        // Two products of at most 128 * 127 fit 16 bits, four do not: pairs are summed narrow, then wide.
        let low = vmull_s8(vget_low_s8(w), vget_low_s8(a));
        let high = vmull_high_s8(w, a);
        vpadalq_s16(acc, vpaddq_s16(low, high))
    }

    #[inline(always)]
    fn dot_lane<const LANE: i32>(self, acc: int32x4_t, w: int8x16_t, a: int8x16_t) -> int32x4_t {
        let a = vdupq_laneq_s32::<LANE>(vreinterpretq_s32_s8(a));
        self.dot(acc, w, vreinterpretq_s8_s32(a))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::arch::neon::load::ints16;

    /// The lanes of a register.
    pub(crate) fn lanes(v: int32x4_t) -> [i32; 4] {
        let mut lanes = [0; 4];
        // SAFETY: the array is 4 integers.
        unsafe { core::arch::aarch64::vst1q_s32(lanes.as_mut_ptr(), v) };
        lanes
    }

    /// Pairs of bytes with every group of products different, and the ends of the range.
    pub(crate) fn cases() -> Vec<([i8; 16], [i8; 16])> {
        let mut cases = vec![([-128; 16], [-127; 16]), ([127; 16], [-127; 16]), ([-128; 16], [127; 16])];
        for seed in 1..50i32 {
            let byte = |i: usize, by: i32| ((i as i32 * by + seed * 29) % 255 - 127) as i8;
            cases.push((std::array::from_fn(|i| byte(i, 37)), std::array::from_fn(|i| byte(i, 101))));
        }
        cases
    }

    /// Every lane is what the definition says, not only their sum.
    #[inline(always)]
    pub(crate) fn check_lanes<D: Dot>(dot: D) {
        let start = vdupq_n_s32(-5);
        for (w, a) in cases() {
            let product = |i: usize, j: usize| i32::from(w[i]) * i32::from(a[j]);
            let want: [i32; 4] =
                std::array::from_fn(|l| (0..4).map(|j| product(4 * l + j, 4 * l + j)).sum::<i32>() - 5);
            let by_lane: [i32; 4] = std::array::from_fn(|l| (0..4).map(|j| product(4 * l + j, 8 + j)).sum::<i32>() - 5);
            let (wv, av) = (ints16(&w, 0), ints16(&a, 0));
            assert_eq!(lanes(dot.dot(start, wv, av)), want, "{w:?} {a:?}");
            assert_eq!(lanes(dot.dot_lane::<2>(start, wv, av)), by_lane, "{w:?} {a:?}");
        }
    }

    #[test]
    fn every_lane_sums_its_own_four_products() {
        check_lanes(Smull);
    }
}
