//! The formats of blocks of 256: from block bytes to 8-bit weights, scale steps and minimums. Layouts: `block.rs`.
//!
//! A sum over groups `sum_g scale_g * dot_g` is taken here as `sum_g step_g * (dot_0 + … + dot_g)` with
//! `step_g = scale_g - scale_(g+1)` (and `scale_16 = 0`): the same integer, but the dot product runs on from group to group
//! and is never set back to zero. Where intermediate products exceed 32 bits they wrap, and wrap back.

use core::arch::aarch64 as arch;

use super::intrinsics::*;

use super::blocks32::{IQ4_BYTES, looked_up, nibbles, signed};
use super::load::{bytes16, bytes16_at, halves4, table};

/// What the groups of a block differ in.
#[derive(Clone, Copy)]
pub(crate) struct Header {
    /// The steps of the 16 groups; of 8 groups in the first register where groups are 32 long.
    pub steps: [int16x8_t; 2],
    /// The minimums of the 16 groups; of 8 groups in the lower half where groups are 32 long. 0 where there are none.
    pub mins: int8x16_t,
}

/// One format of blocks of 256 values in `N` bytes.
pub(crate) trait Block256<const N: usize> {
    /// Values per scale, 16 or 32.
    const GROUP: usize;
    /// `weights` are the format's integers times 2 to this power.
    const SHIFT: i32 = 0;
    /// Whether there are minimums.
    const MIN: bool = false;

    /// The 128 integers of one half, shifted.
    fn weights<const HALF: usize>(b: &[u8; N]) -> [int8x16_t; 8];

    /// The scale steps and the minimums.
    fn header(b: &[u8; N]) -> Header;

    /// Scales and scales of minimums of 4 rows.
    fn scales(b: [&[u8; N]; 4]) -> [float32x4_t; 2];
}

/// Steps of 16 scales.
#[inline(always)]
pub(crate) fn steps16(scales: int8x16_t) -> [int16x8_t; 2] {
    let next = vextq_s8::<1>(scales, vdupq_n_s8(0));
    [vsubl_s8(vget_low_s8(scales), vget_low_s8(next)), vsubl_high_s8(scales, next)]
}

/// Steps of the 8 scales in the upper half.
#[inline(always)]
pub(crate) fn steps8(scales: int8x16_t) -> [int16x8_t; 2] {
    let next = vextq_s8::<1>(scales, vdupq_n_s8(0));
    [vsubl_high_s8(scales, next), vdupq_n_s16(0)]
}

/// Bytes of `from`, each shifted left (right where negative) by its own amount.
#[inline(always)]
fn pick(from: uint8x16_t, index: &'static [u8; 16], shift: &'static [i8; 16]) -> uint8x16_t {
    // SAFETY: the array is 16 bytes.
    let shift = unsafe { arch::vld1q_s8(shift.as_ptr()) };
    vshlq_u8(vqtbl1q_u8(from, table(index)), shift)
}

/// The header of Q4_K and Q5_K: the 8 minimums, then the 8 scales.
#[inline(always)]
fn mins_and_scales<const N: usize>(b: &[u8; N]) -> int8x16_t {
    // The packed 12 bytes start at byte 4 of the block: 0-3 scales, 4-7 minimums, 8-11 low bits of both fours above.
    static LOW: [u8; 16] = [8, 9, 10, 11, 12, 13, 14, 15, 4, 5, 6, 7, 12, 13, 14, 15];
    static LOW_SHIFT: [i8; 16] = [0, 0, 0, 0, -4, -4, -4, -4, 0, 0, 0, 0, 0, 0, 0, 0];
    static HIGH: [u8; 16] = [8, 9, 10, 11, 8, 9, 10, 11, 4, 5, 6, 7, 4, 5, 6, 7];
    static HIGH_SHIFT: [i8; 16] = [2, 2, 2, 2, 0, 0, 0, 0, 2, 2, 2, 2, 0, 0, 0, 0];
    let header = bytes16::<0, N>(b);
    let low = pick(header, &LOW, &LOW_SHIFT);
    let high = vshrq_n_u8::<6>(pick(header, &HIGH, &HIGH_SHIFT));
    vreinterpretq_s8_u8(vsliq_n_u8::<4>(low, high))
}

/// The two halves at the start of 4 blocks.
#[inline(always)]
fn d_and_dmin<const N: usize>(b: [&[u8; N]; 4]) -> [float32x4_t; 2] {
    let [a, b, c, d] = b.map(|b| vreinterpretq_u32_u8(bytes16::<0, N>(b)));
    let ab = vreinterpretq_u64_u32(vzip1q_u32(a, b));
    let cd = vreinterpretq_u64_u32(vzip1q_u32(c, d));
    let both = vreinterpretq_u32_u64(vzip1q_u64(ab, cd));
    let halves = [vmovn_u32(both), vshrn_n_u32::<16>(both)];
    halves.map(|h| vcvt_f32_f16(vreinterpret_f16_u16(h)))
}

/// A scale alone, at byte `AT`.
#[inline(always)]
fn d_alone<const AT: usize, const N: usize>(b: [&[u8; N]; 4]) -> [float32x4_t; 2] {
    [halves4::<AT, N>(b), vdupq_n_f32(0.0)]
}

/// 4 bits, 6-bit scale and minimum per 32.
pub(crate) struct Q4K;

impl Block256<144> for Q4K {
    const GROUP: usize = 32;
    const MIN: bool = true;

    #[inline(always)]
    fn weights<const HALF: usize>(b: &[u8; 144]) -> [int8x16_t; 8] {
        let at = 16 + 64 * HALF;
        let [a, b, c, d] = [0, 16, 32, 48].map(|i| nibbles(bytes16_at(b, at + i)));
        signed([a[0], b[0], a[1], b[1], c[0], d[0], c[1], d[1]])
    }

    #[inline(always)]
    fn header(b: &[u8; 144]) -> Header {
        let mins = mins_and_scales(b);
        Header { steps: steps8(mins), mins }
    }

    #[inline(always)]
    fn scales(b: [&[u8; 144]; 4]) -> [float32x4_t; 2] {
        d_and_dmin(b)
    }
}

/// 5 bits, 6-bit scale and minimum per 32.
pub(crate) struct Q5K;

impl Q5K {
    /// Nibbles of 16 bytes with bit `SHIFT` of `high` (and the next one for the upper nibbles) on top.
    #[inline(always)]
    fn five<const LOW: i32, const HIGH: i32>(q: uint8x16_t, high: uint8x16_t) -> [uint8x16_t; 2] {
        // The high bit goes to bit 7 whatever is below it; the nibble comes in under it, and all goes down by 3.
        let low = vsriq_n_u8::<1>(vshlq_n_u8::<LOW>(high), vshlq_n_u8::<4>(q));
        let top = vsriq_n_u8::<1>(vshlq_n_u8::<HIGH>(high), vandq_u8(q, vdupq_n_u8(0xf0)));
        [vshrq_n_u8::<3>(low), vshrq_n_u8::<3>(top)]
    }
}

impl Block256<176> for Q5K {
    const GROUP: usize = 32;
    const MIN: bool = true;

    #[inline(always)]
    fn weights<const HALF: usize>(b: &[u8; 176]) -> [int8x16_t; 8] {
        let at = 48 + 64 * HALF;
        let q = [0, 16, 32, 48].map(|i| bytes16_at(b, at + i));
        let high = [bytes16::<16, 176>(b), bytes16::<32, 176>(b)];
        let [a, b, c, d] = if HALF == 0 {
            [
                Self::five::<7, 6>(q[0], high[0]),
                Self::five::<7, 6>(q[1], high[1]),
                Self::five::<5, 4>(q[2], high[0]),
                Self::five::<5, 4>(q[3], high[1]),
            ]
        } else {
            [
                Self::five::<3, 2>(q[0], high[0]),
                Self::five::<3, 2>(q[1], high[1]),
                Self::five::<1, 0>(q[2], high[0]),
                Self::five::<1, 0>(q[3], high[1]),
            ]
        };
        signed([a[0], b[0], a[1], b[1], c[0], d[0], c[1], d[1]])
    }

    #[inline(always)]
    fn header(b: &[u8; 176]) -> Header {
        let mins = mins_and_scales(b);
        Header { steps: steps8(mins), mins }
    }

    #[inline(always)]
    fn scales(b: [&[u8; 176]; 4]) -> [float32x4_t; 2] {
        d_and_dmin(b)
    }
}

/// 6 bits, bias -32, 8-bit scale per 16.
pub(crate) struct Q6K;

impl Block256<210> for Q6K {
    const GROUP: usize = 16;
    const SHIFT: i32 = 2;

    #[inline(always)]
    fn weights<const HALF: usize>(b: &[u8; 210]) -> [int8x16_t; 8] {
        let [a0, a1, b0, b1] = [0, 16, 32, 48].map(|i| bytes16_at(b, 64 * HALF + i));
        // With the top bit of each pair flipped, six bits at the top of a byte are 4 * (q - 32). The two top bits go to
        // their place whatever is below them, then the nibble comes in under them.
        let flipped = |at| veorq_u8(bytes16_at(b, at), vdupq_n_u8(0xaa));
        let (h0, h1) = (flipped(128 + 32 * HALF), flipped(144 + 32 * HALF));
        let low = |top, q| vsriq_n_u8::<2>(top, vshlq_n_u8::<4>(q));
        let high = |top, q| vsriq_n_u8::<2>(top, vandq_u8(q, vdupq_n_u8(0xf0)));
        signed([
            low(vshlq_n_u8::<6>(h0), a0),
            low(vshlq_n_u8::<6>(h1), a1),
            low(vshlq_n_u8::<4>(h0), b0),
            low(vshlq_n_u8::<4>(h1), b1),
            high(vshlq_n_u8::<2>(h0), a0),
            high(vshlq_n_u8::<2>(h1), a1),
            high(h0, b0),
            high(h1, b1),
        ])
    }

    #[inline(always)]
    fn header(b: &[u8; 210]) -> Header {
        Header { steps: steps16(vreinterpretq_s8_u8(bytes16::<192, 210>(b))), mins: vdupq_n_s8(0) }
    }

    #[inline(always)]
    fn scales(b: [&[u8; 210]; 4]) -> [float32x4_t; 2] {
        d_alone::<208, 210>(b)
    }
}

/// 2 bits, 4-bit scale and minimum per 16.
pub(crate) struct Q2K;

impl Block256<84> for Q2K {
    const GROUP: usize = 16;
    const MIN: bool = true;

    #[inline(always)]
    fn weights<const HALF: usize>(b: &[u8; 84]) -> [int8x16_t; 8] {
        let (a, b) = (bytes16_at(b, 16 + 32 * HALF), bytes16_at(b, 32 + 32 * HALF));
        let three = vdupq_n_u8(3);
        signed([
            vandq_u8(a, three),
            vandq_u8(b, three),
            vandq_u8(vshrq_n_u8::<2>(a), three),
            vandq_u8(vshrq_n_u8::<2>(b), three),
            vandq_u8(vshrq_n_u8::<4>(a), three),
            vandq_u8(vshrq_n_u8::<4>(b), three),
            vshrq_n_u8::<6>(a),
            vshrq_n_u8::<6>(b),
        ])
    }

    #[inline(always)]
    fn header(b: &[u8; 84]) -> Header {
        let [scales, mins] = signed(nibbles(bytes16::<0, 84>(b)));
        Header { steps: steps16(scales), mins }
    }

    #[inline(always)]
    fn scales(b: [&[u8; 84]; 4]) -> [float32x4_t; 2] {
        [halves4::<80, 84>(b), halves4::<82, 84>(b)]
    }
}

/// 3 bits, bias -4, 6-bit signed scale per 16.
pub(crate) struct Q3K;

impl Block256<110> for Q3K {
    const GROUP: usize = 16;
    const SHIFT: i32 = 5;

    #[inline(always)]
    fn weights<const HALF: usize>(b: &[u8; 110]) -> [int8x16_t; 8] {
        let q = [bytes16_at(b, 32 + 32 * HALF), bytes16_at(b, 48 + 32 * HALF)];
        // With the high bit flipped, three bits at the top of a byte are 32 * (q - 4). The bits of this half go up first.
        let high = [bytes16::<0, 110>(b), bytes16::<16, 110>(b)].map(|h| {
            let h = vmvnq_u8(h);
            if HALF == 0 { vshlq_n_u8::<4>(h) } else { h }
        });
        let top2 = |q| vandq_u8(q, vdupq_n_u8(0xc0));
        let of = |i: usize| {
            let (q, h) = (q[i], high[i]);
            [
                vsriq_n_u8::<1>(vshlq_n_u8::<3>(h), vshlq_n_u8::<6>(q)),
                vsriq_n_u8::<1>(vshlq_n_u8::<2>(h), top2(vshlq_n_u8::<4>(q))),
                vsriq_n_u8::<1>(vshlq_n_u8::<1>(h), top2(vshlq_n_u8::<2>(q))),
                vsriq_n_u8::<1>(h, top2(q)),
            ]
        };
        let (a, b) = (of(0), of(1));
        signed([a[0], b[0], a[1], b[1], a[2], b[2], a[3], b[3]])
    }

    #[inline(always)]
    fn header(b: &[u8; 110]) -> Header {
        // The packed 12 bytes start at byte 2 of these 16.
        static LOW: [u8; 16] = [2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5, 6, 7, 8, 9];
        static LOW_SHIFT: [i8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, -4, -4, -4, -4, -4, -4, -4, -4];
        static HIGH: [u8; 16] = [10, 11, 12, 13, 10, 11, 12, 13, 10, 11, 12, 13, 10, 11, 12, 13];
        static HIGH_SHIFT: [i8; 16] = [0, 0, 0, 0, -2, -2, -2, -2, -4, -4, -4, -4, -6, -6, -6, -6];
        let packed = bytes16::<94, 110>(b);
        let low = pick(packed, &LOW, &LOW_SHIFT);
        let high = vandq_u8(pick(packed, &HIGH, &HIGH_SHIFT), vdupq_n_u8(3));
        let biased = vreinterpretq_s8_u8(vsliq_n_u8::<4>(low, high));
        Header { steps: steps16(vsubq_s8(biased, vdupq_n_s8(32))), mins: vdupq_n_s8(0) }
    }

    #[inline(always)]
    fn scales(b: [&[u8; 110]; 4]) -> [float32x4_t; 2] {
        d_alone::<108, 110>(b)
    }
}

/// 4 bits through a codebook, 6-bit signed scale per 32.
pub(crate) struct Iq4Xs;

impl Block256<136> for Iq4Xs {
    const GROUP: usize = 32;

    #[inline(always)]
    fn weights<const HALF: usize>(b: &[u8; 136]) -> [int8x16_t; 8] {
        let codebook = table(&IQ4_BYTES);
        let at = 8 + 64 * HALF;
        let [a, b, c, d] = [0, 16, 32, 48].map(|i| looked_up(bytes16_at(b, at + i), codebook));
        [a[0], a[1], b[0], b[1], c[0], c[1], d[0], d[1]]
    }

    #[inline(always)]
    fn header(b: &[u8; 136]) -> Header {
        // Bytes 2-3: two high bits of each scale; bytes 4-7: four low bits. They belong into the upper half.
        static LOW: [u8; 16] = [255, 255, 255, 255, 255, 255, 255, 255, 4, 4, 5, 5, 6, 6, 7, 7];
        static LOW_SHIFT: [i8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, -4, 0, -4, 0, -4, 0, -4];
        static HIGH: [u8; 16] = [255, 255, 255, 255, 255, 255, 255, 255, 2, 2, 2, 2, 3, 3, 3, 3];
        static HIGH_SHIFT: [i8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, -2, -4, -6, 0, -2, -4, -6];
        let header = bytes16::<0, 136>(b);
        let low = pick(header, &LOW, &LOW_SHIFT);
        let high = vandq_u8(pick(header, &HIGH, &HIGH_SHIFT), vdupq_n_u8(3));
        let biased = vreinterpretq_s8_u8(vsliq_n_u8::<4>(low, high));
        Header { steps: steps8(vsubq_s8(biased, vdupq_n_s8(32))), mins: vdupq_n_s8(0) }
    }

    #[inline(always)]
    fn scales(b: [&[u8; 136]; 4]) -> [float32x4_t; 2] {
        d_alone::<0, 136>(b)
    }
}
