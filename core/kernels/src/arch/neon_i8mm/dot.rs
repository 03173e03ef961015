//! The 2 by 2 matrix product `smmla` as a tile layout. Its intrinsic is not stable in Rust, so this is the one place that
//! spells it.

use core::arch::aarch64 as arch;

use crate::arch::neon::intrinsics::*;
use core::arch::asm;

use crate::arch::neon::load::{floats4, ints16, store4};
use crate::arch::neon::tile::{FIRST, LAST, Layout, ROWS, Sums, TOKENS};

/// Two rows and two tokens per register: `[r0 t0, r0 t1, r1 t0, r1 t1]`. Proof that the CPU has the i8mm extension.
#[derive(Clone, Copy)]
pub(crate) struct Pairs {
    _private: (),
}

impl Pairs {
    /// The proof, from a function that was compiled for i8mm.
    #[inline]
    #[target_feature(enable = "neon,i8mm")]
    pub(crate) fn new() -> Self {
        Self { _private: () }
    }

    /// Lane 2 i + j: `acc + sum over 8 of w[8 i + k] * a[8 j + k]`.
    #[inline(always)]
    fn matrix(self, mut acc: int32x4_t, w: int8x16_t, a: int8x16_t) -> int32x4_t {
        // SAFETY: registers only; `self` proves that the CPU has the instruction.
        unsafe {
            asm!("smmla {acc:v}.4s, {w:v}.16b, {a:v}.16b", acc = inout(vreg) acc, w = in(vreg) w, a = in(vreg) a,
                options(pure, nomem, nostack, preserves_flags));
        }
        acc
    }
}

/// 8 bytes of `a` and `b` in turn: their first 8, then their last 8.
#[inline(always)]
fn interleave(a: int8x16_t, b: int8x16_t, packed: &mut [i8; 32]) {
    let both = int64x2x2_t(vreinterpretq_s64_s8(a), vreinterpretq_s64_s8(b));
    // SAFETY: the array is 32 bytes.
    unsafe { arch::vst2q_s64(packed.as_mut_ptr().cast(), both) };
}

/// Accumulator i: rows 2 (i % 4) and the next, tokens 2 (i / 4) and the next.
impl Layout for Pairs {
    const ROW_REGISTERS: usize = ROWS / 2;

    #[inline(always)]
    fn pack_rows(self, rows: [int8x16_t; 4], packed: &mut [i8; 64]) {
        let halves = packed.as_chunks_mut().0;
        interleave(rows[0], rows[1], &mut halves[0]);
        interleave(rows[2], rows[3], &mut halves[1]);
    }

    #[inline(always)]
    fn pack_tokens(self, tokens: [int8x16_t; TOKENS], packed: &mut [i8; 64]) {
        self.pack_rows(tokens, packed);
    }

    #[inline(always)]
    fn spread(self, rows: int32x4_t, registers: &mut [[i32; 4]]) {
        // SAFETY: the arrays are 4 integers each.
        unsafe {
            arch::vst1q_s32(registers[0].as_mut_ptr(), vzip1q_s32(rows, rows));
            arch::vst1q_s32(registers[1].as_mut_ptr(), vzip2q_s32(rows, rows));
        }
    }

    #[inline(always)]
    fn multiply<const A: usize, const PART: u8>(self, acc: &mut [int32x4_t; A], w: &[[i8; 64]; 2], x: &[i8; 64]) {
        for half in 0..2 {
            if (half == 0 && PART == LAST) || (half == 1 && PART == FIRST) {
                continue;
            }
            for i in 0..A {
                // Each 32 bytes are a pair: its first 8 values, then its last 8.
                let w = ints16(&w[i % 4 / 2], i % 2 * 32 + 16 * half);
                acc[i] = self.matrix(acc[i], w, ints16(x, i / 4 * 32 + 16 * half));
            }
        }
    }

    #[inline(always)]
    fn scaled(self, i: usize, by_row: float32x4_t, by_token: float32x4_t) -> float32x4_t {
        vmulq_f32(by_row, self.tokens(i, by_token))
    }

    #[inline(always)]
    fn tokens(self, i: usize, by_token: float32x4_t) -> float32x4_t {
        let pairs = vreinterpretq_f64_f32(by_token);
        vreinterpretq_f32_f64(match i / 4 {
            0 => vdupq_laneq_f64::<0>(pairs),
            _ => vdupq_laneq_f64::<1>(pairs),
        })
    }

    #[inline(always)]
    fn load<const A: usize>(self, out: &Sums) -> [float32x4_t; A] {
        let mut acc = [vdupq_n_f32(0.0); A];
        for (i, acc) in acc.iter_mut().enumerate() {
            let [a, b] = [0, 1].map(|token| floats4(&out[i / 4 * 2 + token].as_chunks().0[i % 4 / 2]));
            *acc = if i % 2 == 0 { vzip1q_f32(a, b) } else { vzip2q_f32(a, b) };
        }
        acc
    }

    #[inline(always)]
    fn store<const A: usize>(self, acc: [float32x4_t; A], out: &mut Sums) {
        for i in (0..A).step_by(2) {
            let four = i % 4 / 2;
            store4(&mut out[i / 4 * 2].as_chunks_mut().0[four], vuzp1q_f32(acc[i], acc[i + 1]));
            store4(&mut out[i / 4 * 2 + 1].as_chunks_mut().0[four], vuzp2q_f32(acc[i], acc[i + 1]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::neon::dot::tests::{cases, lanes};

    #[target_feature(enable = "neon,i8mm")]
    fn check() {
        for (w, a) in cases() {
            let want: [i32; 4] = std::array::from_fn(|l| {
                (0..8).map(|k| i32::from(w[l / 2 * 8 + k]) * i32::from(a[l % 2 * 8 + k])).sum::<i32>() + 7
            });
            let got = Pairs::new().matrix(vdupq_n_s32(7), ints16(&w, 0), ints16(&a, 0));
            assert_eq!(lanes(got), want, "{w:?} {a:?}");
        }
    }

    #[test]
    fn every_lane_sums_its_own_eight_products() {
        if std::arch::is_aarch64_feature_detected!("i8mm") {
            // SAFETY: the CPU has i8mm, as just seen.
            unsafe { check() }
        }
    }
}
