//! Register tiles: 8 weight rows, unpacked to bytes, times up to 4 tokens.
//!
//! A `Layout` says which (row, token) pairs the lanes of an accumulator hold and how bytes must lie in memory for it. The two
//! loops over it, for scales per 32 and per 256, are written once.

use core::arch::aarch64 as arch;

use super::intrinsics::*;

use super::dot::Dot;
use super::load::{floats4, ints16, store4};

/// Rows of a tile.
pub(crate) const ROWS: usize = 8;

/// Tokens of a tile at most.
pub(crate) const TOKENS: usize = 4;

/// The sums of a tile.
pub(crate) type Sums = [[f32; ROWS]; TOKENS];

/// Which part of a 16-byte group a multiplication takes.
pub(crate) const BOTH: u8 = 0;
/// Its first 8 bytes.
pub(crate) const FIRST: u8 = 1;
/// Its last 8 bytes.
pub(crate) const LAST: u8 = 2;

/// How a tile of 8 rows and `A / 2` tokens lies in `A` accumulators.
///
/// Accumulator i covers the rows of row register `i % ROW_REGISTERS` and the tokens of token register `i / ROW_REGISTERS`.
pub(crate) trait Layout: Copy {
    /// Registers that hold one value for each of the 8 rows.
    const ROW_REGISTERS: usize;

    /// Lays out 16 weights each of 4 rows.
    fn pack_rows(self, rows: [int8x16_t; 4], packed: &mut [i8; 64]);

    /// Lays out 16 activations each of 4 tokens.
    fn pack_tokens(self, tokens: [int8x16_t; TOKENS], packed: &mut [i8; 64]);

    /// Spreads one value for each of 4 rows to `ROW_REGISTERS / 2` registers.
    fn spread(self, rows: int32x4_t, registers: &mut [[i32; 4]]);

    /// Adds the products of 16 (or 8, see `BOTH`) values: `w` are two `pack_rows`, `x` one `pack_tokens`.
    fn multiply<const A: usize, const PART: u8>(self, acc: &mut [int32x4_t; A], w: &[[i8; 64]; 2], x: &[i8; 64]);

    /// `by_row` times the tokens of accumulator `i`, of which `by_token` has one per lane.
    fn scaled(self, i: usize, by_row: float32x4_t, by_token: float32x4_t) -> float32x4_t;

    /// The tokens of accumulator `i`, of which `by_token` has one per lane.
    fn tokens(self, i: usize, by_token: float32x4_t) -> float32x4_t;

    /// Reads the accumulators from rows of 8 per token.
    fn load<const A: usize>(self, out: &Sums) -> [float32x4_t; A];

    /// Writes the accumulators to rows of 8 per token.
    fn store<const A: usize>(self, acc: [float32x4_t; A], out: &mut Sums);
}

/// One row per lane: `sdot` by one lane of a token, or what stands in for it.
#[derive(Clone, Copy)]
pub(crate) struct ByLane<D>(pub D);

impl<D: Dot> Layout for ByLane<D> {
    const ROW_REGISTERS: usize = 2;

    #[inline(always)]
    fn pack_rows(self, rows: [int8x16_t; 4], packed: &mut [i8; 64]) {
        let [a, b, c, d] = rows.map(vreinterpretq_s32_s8);
        // SAFETY: the array is 64 bytes.
        unsafe { arch::vst4q_s32(packed.as_mut_ptr().cast(), int32x4x4_t(a, b, c, d)) };
    }

    #[inline(always)]
    fn pack_tokens(self, tokens: [int8x16_t; TOKENS], packed: &mut [i8; 64]) {
        for (token, packed) in tokens.into_iter().zip(packed.as_chunks_mut::<16>().0) {
            // SAFETY: the array is 16 bytes.
            unsafe { arch::vst1q_s8(packed.as_mut_ptr(), token) };
        }
    }

    #[inline(always)]
    fn spread(self, rows: int32x4_t, registers: &mut [[i32; 4]]) {
        // SAFETY: the array is 4 integers.
        unsafe { arch::vst1q_s32(registers[0].as_mut_ptr(), rows) };
    }

    #[inline(always)]
    fn multiply<const A: usize, const PART: u8>(self, acc: &mut [int32x4_t; A], w: &[[i8; 64]; 2], x: &[i8; 64]) {
        macro_rules! lane {
            ($lane:literal) => {
                let w = [ints16(&w[0], 16 * $lane), ints16(&w[1], 16 * $lane)];
                for i in 0..A {
                    acc[i] = self.0.dot_lane::<$lane>(acc[i], w[i % 2], ints16(x, i / 2 * 16));
                }
            };
        }
        if PART != LAST {
            lane!(0);
            lane!(1);
        }
        if PART != FIRST {
            lane!(2);
            lane!(3);
        }
    }

    #[inline(always)]
    fn scaled(self, i: usize, by_row: float32x4_t, by_token: float32x4_t) -> float32x4_t {
        match i / 2 {
            0 => vmulq_laneq_f32::<0>(by_row, by_token),
            1 => vmulq_laneq_f32::<1>(by_row, by_token),
            2 => vmulq_laneq_f32::<2>(by_row, by_token),
            _ => vmulq_laneq_f32::<3>(by_row, by_token),
        }
    }

    #[inline(always)]
    fn tokens(self, i: usize, by_token: float32x4_t) -> float32x4_t {
        match i / 2 {
            0 => vdupq_laneq_f32::<0>(by_token),
            1 => vdupq_laneq_f32::<1>(by_token),
            2 => vdupq_laneq_f32::<2>(by_token),
            _ => vdupq_laneq_f32::<3>(by_token),
        }
    }

    #[inline(always)]
    fn load<const A: usize>(self, out: &Sums) -> [float32x4_t; A] {
        let mut acc = [vdupq_n_f32(0.0); A];
        for (i, acc) in acc.iter_mut().enumerate() {
            *acc = floats4(&out[i / 2].as_chunks().0[i % 2]);
        }
        acc
    }

    #[inline(always)]
    fn store<const A: usize>(self, acc: [float32x4_t; A], out: &mut Sums) {
        for (i, acc) in acc.into_iter().enumerate() {
            store4(&mut out[i / 2].as_chunks_mut().0[i % 2], acc);
        }
    }
}

/// What one tile reads: the packed bytes and scales of 8 rows and of the tokens.
pub(crate) struct Tile32<'a> {
    /// Two `pack_rows` for every 16 values, two of those pairs per block.
    pub w: &'a [[[[i8; 64]; 2]; 2]],
    /// `ROW_REGISTERS` registers of scales per block.
    pub d: &'a [[i32; 4]],
    /// The same of minimums; as long as `d`, whether there are any or not.
    pub m: &'a [[i32; 4]],
    /// Two `pack_tokens` per block.
    pub x: &'a [[[i8; 64]; 2]],
    /// Scales of the tokens per block.
    pub xd: &'a [[f32; TOKENS]],
    /// Sums of the tokens per block.
    pub xs: &'a [[f32; TOKENS]],
}

/// As floats.
#[inline(always)]
fn floats(bits: &[i32; 4]) -> float32x4_t {
    vreinterpretq_f32_s32(ints4(bits))
}

/// 4 integers.
#[inline(always)]
fn ints4(bits: &[i32; 4]) -> int32x4_t {
    // SAFETY: the array is 4 integers.
    unsafe { arch::vld1q_s32(bits.as_ptr()) }
}

/// Goes on with the tile's sums `out` over all blocks of 32.
#[inline(always)]
pub(crate) fn sweep32<const A: usize, const MIN: bool, L: Layout>(layout: L, tile: &Tile32<'_>, out: &mut Sums) {
    let n = tile.w.len();
    let registers = L::ROW_REGISTERS;
    let (d, m) = (&tile.d[..n * registers], &tile.m[..n * registers]);
    let (x, xd, xs) = (&tile.x[..n], &tile.xd[..n], &tile.xs[..n]);
    let mut acc: [float32x4_t; A] = layout.load(out);
    for b in 0..n {
        let (d, m) = (&d[b * registers..][..registers], &m[b * registers..][..registers]);
        let (w, x) = (&tile.w[b], &x[b]);
        let mut isum = [vdupq_n_s32(0); A];
        layout.multiply::<A, BOTH>(&mut isum, &w[0], &x[0]);
        layout.multiply::<A, BOTH>(&mut isum, &w[1], &x[1]);
        let (xd, xs) = (floats4(&xd[b]), floats4(&xs[b]));
        for i in 0..A {
            let r = i % registers;
            acc[i] = vfmaq_f32(acc[i], layout.scaled(i, floats(&d[r]), xd), vcvtq_f32_s32(isum[i]));
            if MIN {
                acc[i] = vfmaq_f32(acc[i], layout.scaled(i, floats(&m[r]), xd), layout.tokens(i, xs));
            }
        }
    }
    layout.store(acc, out);
}

/// What one tile reads where scales are per 256.
pub(crate) struct Tile256<'a> {
    /// Two `pack_rows` for every 16 values, 16 of those pairs per block.
    pub w: &'a [[[[i8; 64]; 2]; 16]],
    /// `ROW_REGISTERS` registers of scale steps per group.
    pub steps: &'a [[i32; 4]],
    /// `ROW_REGISTERS` registers of scales per block.
    pub d: &'a [[i32; 4]],
    /// The same of scales of minimums.
    pub dmin: &'a [[i32; 4]],
    /// Two `pack_rows` of minimums per block.
    pub mins: &'a [[[i8; 64]; 2]],
    /// 16 `pack_tokens` per block.
    pub x: &'a [[[i8; 64]; 16]],
    /// Scales of the tokens per block.
    pub xd: &'a [[f32; TOKENS]],
    /// The tokens' sums, halved into high and low bytes: see `split_sums`.
    pub xs: &'a [[[i8; 64]; 2]],
    /// The weights are this much too large, as a power of two.
    pub shift: i32,
}

/// The sums of activations as bytes, `64 * high + low`: 8 high and 8 low bytes in the first register where groups are 32
/// long, 16 high in the first and 16 low in the second where they are 16 long.
#[inline(always)]
pub(crate) fn split_sums<const GROUP: usize>(s: [int16x8_t; 2]) -> [int8x16_t; 2] {
    let six_bits = vdupq_n_s16(63);
    let high = |s| vshrn_n_s16::<6>(s);
    let low = |s| vmovn_s16(vandq_s16(s, six_bits));
    if GROUP == 32 {
        let s = vpaddq_s16(s[0], s[1]);
        [vcombine_s8(high(s), low(s)), vdupq_n_s8(0)]
    } else {
        [vcombine_s8(high(s[0]), high(s[1])), vcombine_s8(low(s[0]), low(s[1]))]
    }
}

/// Goes on with the tile's sums `out` over all blocks of 256.
#[inline(always)]
pub(crate) fn sweep256<const A: usize, const GROUP: usize, const MIN: bool, L: Layout>(
    layout: L,
    tile: &Tile256<'_>,
    out: &mut Sums,
) {
    let n = tile.w.len();
    let registers = L::ROW_REGISTERS;
    let per_block = 256 / GROUP * registers;
    let (steps, d, dmin) = (&tile.steps[..n * per_block], &tile.d[..n * registers], &tile.dmin[..n * registers]);
    let (mins, x, xd, xs) = (&tile.mins[..n], &tile.x[..n], &tile.xd[..n], &tile.xs[..n]);
    let zero = vdupq_n_s32(0);
    let mut acc: [float32x4_t; A] = layout.load(out);
    for b in 0..n {
        let steps = &steps[b * per_block..][..per_block];
        let mut run = [zero; A]; // the dot products so far
        let mut total = [zero; A]; // of steps times them
        for g in 0..256 / GROUP {
            for part in 0..GROUP / 16 {
                let j = g * (GROUP / 16) + part;
                layout.multiply::<A, BOTH>(&mut run, &tile.w[b][j], &x[b][j]);
            }
            for i in 0..A {
                total[i] = vmlaq_s32(total[i], run[i], ints4(&steps[g * registers + i % registers]));
            }
        }
        let xd = floats4(&xd[b]);
        let (d, dmin) = (&d[b * registers..][..registers], &dmin[b * registers..][..registers]);
        let isum = total.map(|total| vcvtq_f32_s32(vshlq_s32(total, vdupq_n_s32(-tile.shift))));
        if MIN {
            let mut msum = [zero; A];
            if GROUP == 32 {
                layout.multiply::<A, FIRST>(&mut msum, &mins[b], &xs[b][0]);
            } else {
                layout.multiply::<A, BOTH>(&mut msum, &mins[b], &xs[b][0]);
            }
            msum = msum.map(vshlq_n_s32::<6>);
            if GROUP == 32 {
                layout.multiply::<A, LAST>(&mut msum, &mins[b], &xs[b][0]);
            } else {
                layout.multiply::<A, BOTH>(&mut msum, &mins[b], &xs[b][1]);
            }
            for i in 0..A {
                let sum = vmulq_f32(floats(&d[i % registers]), isum[i]);
                let sum = vfmsq_f32(sum, floats(&dmin[i % registers]), vcvtq_f32_s32(msum[i]));
                acc[i] = vfmaq_f32(acc[i], sum, layout.tokens(i, xd));
            }
        } else {
            for i in 0..A {
                acc[i] = vfmaq_f32(acc[i], layout.scaled(i, floats(&d[i % registers]), xd), isum[i]);
            }
        }
    }
    layout.store(acc, out);
}
