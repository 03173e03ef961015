//! Weight rows times one token: 4 rows walk the blocks together, read from the file's own bytes, one row per lane.

use super::intrinsics::*;

use super::blocks32::Block32;
use super::blocks256::{Block256, Header};
use super::dot::Dot;
use super::load::{
    floats4, ints16, next_heads, next_ints64, next_registers, now, opaque, store4, sums4, sums16, unseen,
};
use crate::activations::Activations;

/// Repeats a statement for the lanes 0 to 3, each a constant.
macro_rules! each_lane {
    ($lane:ident => $body:block) => {{
        {
            const $lane: i32 = 0;
            $body
        }
        {
            const $lane: i32 = 1;
            $body
        }
        {
            const $lane: i32 = 2;
            $body
        }
        {
            const $lane: i32 = 3;
            $body
        }
    }};
}

/// Where rows `r` to `r + 3` (the last one again where there are fewer) start in `w`, rows of `per_row` blocks.
#[inline(always)]
fn four_rows<const N: usize>(w: &[[u8; N]], n: usize, per_row: usize, r: usize) -> [*const [u8; N]; 4] {
    [0, 1, 2, 3].map(|i| w.as_ptr().wrapping_add((r + i).min(n - 1) * per_row))
}

/// Stores the lanes that exist from `out[r]` on.
#[inline(always)]
fn store(out: &mut [f32], r: usize, lanes: float32x4_t) {
    let Some(out) = out.get_mut(r..) else { return };
    if let Some(four) = out.first_chunk_mut() {
        store4(four, lanes);
    } else {
        let mut all = [0.0; 4];
        store4(&mut all, lanes);
        out.copy_from_slice(&all[..out.len()]);
    }
}

/// Rows that walk together, which `rows32` needs at least.
pub(crate) const ROWS: usize = 8;

/// `out[t, n]` for very few tokens and `ROWS` rows at least, formats with blocks of 32: 8 rows at a time, which the next token
/// finds in the nearest cache.
#[inline(always)]
pub(crate) fn rows32<const N: usize, B: Block32<N>, D: Dot>(dot: D, w: &[u8], x: &Activations<'_>, out: &mut [f32]) {
    let (w, n, per_row) = (w.as_chunks::<N>().0, out.len() / x.t(), x.k() / 32);
    let (q, d, s) = (x.q().as_chunks().0, x.d(), x.s());
    let blocks = x.t() * per_row;
    assert!(n >= ROWS && w.len() == n * per_row && out.len() == x.t() * n);
    assert!(q.len() == blocks && d.len() == blocks && s.len() == blocks);
    for r in (0..n).step_by(ROWS) {
        // The last ones are 8 too, some of them for a second time.
        let r = r.min(n - ROWS);
        for t in 0..x.t() {
            let (rows, token) = (w.as_ptr().wrapping_add(r * per_row), t * per_row);
            let token = Token {
                q: q.as_ptr().wrapping_add(token),
                d: d.as_ptr().wrapping_add(token),
                s: s.as_ptr().wrapping_add(token),
            };
            // SAFETY: 8 rows of `w` and a token, all of as many blocks.
            let sums = unsafe { dots32::<N, B, D>(dot, rows, per_row, token) };
            let out = out.as_mut_ptr().wrapping_add(t * n + r).cast::<[float32x4_t; 2]>();
            // SAFETY: the place of those rows in token t's outputs.
            unsafe { out.write_unaligned(sums) };
        }
    }
}

/// The blocks of a token's activations with their scales and sums.
struct Token {
    q: *const [i8; 32],
    d: *const f32,
    s: *const i16,
}

/// 4 rows on their way through blocks of 32.
#[derive(Clone, Copy)]
struct Four<const N: usize> {
    /// Their next blocks, and `B::LEAD` bytes before that of row `seed`.
    at: [*const [u8; N]; 4],
    /// Each row's dot product over all blocks so far, in four parts.
    run: [int32x4_t; 4],
    /// The sums of the parts after the block before.
    before: int32x4_t,
    /// The result so far.
    acc: float32x4_t,
}

/// Scales and sums of the activations of 4 blocks; the sums as floats too, for formats with a minimum.
#[derive(Clone, Copy)]
struct Scales {
    d: float32x4_t,
    s: int16x4_t,
    s_float: float32x4_t,
}

impl Scales {
    #[inline(always)]
    fn new(d: float32x4_t, s: int16x4_t) -> Self {
        Self { d, s, s_float: vcvtq_f32_s32(opaque(vmovl_s16(s))) }
    }
}

/// 8 rows of blocks of 32 times one token.
///
/// A row's dot product runs on from block to block and is never set back to zero, which would cost an instruction for every
/// row; a block's own is the difference between after and before, which is exact even where the sums wrap.
///
/// # Safety
/// From `rows` on there are 8 rows of `blocks` blocks, and in `token` as many.
#[inline(always)]
unsafe fn dots32<const N: usize, B: Block32<N>, D: Dot>(
    dot: D,
    rows: *const [u8; N],
    blocks: usize,
    Token { mut q, mut d, mut s }: Token,
) -> [float32x4_t; 2] {
    let zero = vdupq_n_s32(0);
    let step = unseen(N);
    // Row by row: multiples of a row's length would be kept in memory and take more instructions.
    let mut row = rows;
    let mut fours = [(); 2].map(|()| {
        let mut at = [(); 4].map(|()| {
            let at = row;
            row = row.wrapping_add(blocks);
            at
        });
        at[seed::<N, B>()] = at[seed::<N, B>()].wrapping_byte_sub(B::LEAD);
        Four { at, run: [zero; 4], before: zero, acc: vdupq_n_f32(0.0) }
    });
    for _ in 0..blocks / 4 {
        // SAFETY: 4 blocks of `blocks`.
        unsafe {
            let scales = Scales::new(floats4(&*d.cast()), sums4(&*s.cast()));
            (d, s) = (d.add(4), s.add(4));
            let [a, b, c, d] = next_ints64(&mut q);
            column::<N, B, D, 0>(dot, &mut fours, step, [a, b], scales);
            column::<N, B, D, 1>(dot, &mut fours, step, [c, d], scales);
            let [a, b, c, d] = next_ints64(&mut q);
            column::<N, B, D, 2>(dot, &mut fours, step, [a, b], scales);
            column::<N, B, D, 3>(dot, &mut fours, step, [c, d], scales);
        }
    }
    for i in 0..blocks % 4 {
        // SAFETY: one block of what is left.
        unsafe {
            let scales = Scales::new(vdupq_n_f32(*d.add(i)), vdup_n_s16(*s.add(i)));
            let q = &*q.add(i);
            column::<N, B, D, 0>(dot, &mut fours, step, [ints16(q, 0), ints16(q, 16)], scales);
        }
    }
    fours.map(|four| four.acc)
}

/// The row of 4 that is read by whole registers, which end with its block and begin `B::LEAD` bytes before it: its scale is then
/// where `next_heads` would put it, and takes no instruction of its own. Never the first, so that there is something before it.
const fn seed<const N: usize, B: Block32<N>>() -> usize {
    let row = B::LEAD / B::HEAD % 4;
    assert!(row > 0);
    row
}

/// One block of 8 rows times `a`, whose scale and sum are lane `LANE` of `scales`.
///
/// # Safety
/// The rows' pointers are to blocks that may be read.
#[inline(always)]
unsafe fn column<const N: usize, B: Block32<N>, D: Dot, const LANE: i32>(
    dot: D,
    fours: &mut [Four<N>; 2],
    step: usize,
    [a0, a1]: [int8x16_t; 2],
    scales: Scales,
) {
    let Scales { d, s, s_float } = scales;
    let seed = const { seed::<N, B>() };
    for four in fours {
        // SAFETY: a row's block and what is before it.
        let [first, q @ ..] = unsafe { next_registers(&mut four.at[seed], step) };
        // SAFETY: the pointers may be read.
        let heads = unsafe { next_heads(&mut four.at, B::HEAD, seed, step, first) };
        each_lane!(ROW => {
            let row = ROW as usize;
            let next = four.at[row].wrapping_byte_add(if row == seed { B::LEAD } else { 0 });
            // SAFETY: the block whose head was just read.
            let block = unsafe { &*next.sub(1) };
            let [w0, w1] = if row == seed { B::unpack(block, q) } else { B::weights(block) };
            four.run[row] = dot.dot(dot.dot(four.run[row], w0, a0), w1, a1);
        });
        let after = across(four.run);
        let mut isum = vsubq_s32(after, four.before);
        four.before = after;
        if B::BIAS != 0 {
            isum = vmlsl_lane_s16::<LANE>(isum, vdup_n_s16(i16::from(B::BIAS)), s);
        }
        // No instructions: the next ones take the upper halves.
        let [dw, m] = B::scales(match B::HEAD {
            1 => vextq_u8::<12>(heads, heads),
            2 => vextq_u8::<8>(heads, heads),
            _ => heads,
        });
        four.acc = vfmaq_f32(four.acc, vmulq_laneq_f32::<LANE>(dw, d), vcvtq_f32_s32(isum));
        if B::MIN {
            let s = vdupq_laneq_f32::<LANE>(s_float);
            four.acc = vfmaq_f32(four.acc, vmulq_laneq_f32::<LANE>(m, d), s);
        }
        four.acc = now(four.acc);
    }
}

/// Lane r: the sum of the lanes of `sums[r]`.
#[inline(always)]
fn across(sums: [int32x4_t; 4]) -> int32x4_t {
    vpaddq_s32(vpaddq_s32(sums[0], sums[1]), vpaddq_s32(sums[2], sums[3]))
}

/// `out[n]` for one token, formats with blocks of 256.
#[inline(always)]
pub(crate) fn rows256<const N: usize, B: Block256<N>, D: Dot>(dot: D, w: &[u8], x: &Activations<'_>, out: &mut [f32]) {
    let (q, d, s) = (x.q().as_chunks().0, x.d(), x.s().as_chunks().0);
    let (w, n, per_row) = (w.as_chunks::<N>().0, out.len(), x.k() / 256);
    assert!(w.len() == n * per_row && q.len() == per_row);
    for r in (0..n).step_by(4) {
        // SAFETY: rows below n, which `w` was just seen to hold, of as many blocks as q.
        let four = unsafe { dots256::<N, B, D>(dot, four_rows(w, n, per_row, r), q, d, s) };
        store(out, r, four);
    }
}

/// 4 rows of blocks of 256 times one token.
///
/// # Safety
/// Each of `rows` starts as many blocks as `q` has, readable.
#[inline(always)]
unsafe fn dots256<const N: usize, B: Block256<N>, D: Dot>(
    dot: D,
    rows: [*const [u8; N]; 4],
    q: &[[i8; 256]],
    d: &[f32],
    s: &[[i16; 16]],
) -> float32x4_t {
    let mut acc = vdupq_n_f32(0.0);
    for (i, ((q, d), s)) in q.iter().zip(d).zip(s).enumerate() {
        // SAFETY: block i of as many as q has.
        let blocks = rows.map(|row| unsafe { &*row.add(i) });
        let headers = blocks.map(|b| B::header(b));
        // The minimums first: what is left of the headers while the weights are read is one register a row.
        let msum = if B::MIN { minimums::<N, B>(headers, s) } else { vdupq_n_s32(0) };
        let isum = superblock::<N, B, D>(dot, blocks, headers.map(|h| h.steps), q);
        let [dw, dmin] = B::scales(blocks);
        acc = if B::MIN {
            let sum = vfmsq_f32(vmulq_f32(dw, vcvtq_f32_s32(isum)), dmin, vcvtq_f32_s32(msum));
            vfmaq_f32(acc, sum, vdupq_n_f32(*d))
        } else {
            vfmaq_f32(acc, vmulq_n_f32(dw, *d), vcvtq_f32_s32(isum))
        };
    }
    acc
}

/// The exact scaled dot products of one block of 4 rows.
#[inline(always)]
fn superblock<const N: usize, B: Block256<N>, D: Dot>(
    dot: D,
    blocks: [&[u8; N]; 4],
    steps: [[int16x8_t; 2]; 4],
    q: &[i8; 256],
) -> int32x4_t {
    let zero = vdupq_n_s32(0);
    let mut sums = [Running { run: zero, total: zero }; 4];
    // Written out: left as loops they stay loops, with the sums in memory.
    sums[0] = half::<N, B, D, 0>(dot, blocks[0], steps[0], q, sums[0]);
    sums[1] = half::<N, B, D, 0>(dot, blocks[1], steps[1], q, sums[1]);
    sums[2] = half::<N, B, D, 0>(dot, blocks[2], steps[2], q, sums[2]);
    sums[3] = half::<N, B, D, 0>(dot, blocks[3], steps[3], q, sums[3]);
    sums[0] = half::<N, B, D, 1>(dot, blocks[0], steps[0], q, sums[0]);
    sums[1] = half::<N, B, D, 1>(dot, blocks[1], steps[1], q, sums[1]);
    sums[2] = half::<N, B, D, 1>(dot, blocks[2], steps[2], q, sums[2]);
    sums[3] = half::<N, B, D, 1>(dot, blocks[3], steps[3], q, sums[3]);
    let sum = across(sums.map(|s| s.total));
    if B::SHIFT == 0 { sum } else { vshlq_s32(sum, vdupq_n_s32(-B::SHIFT)) }
}

/// A row's sums: the dot products so far, and steps times them.
#[derive(Clone, Copy)]
struct Running {
    run: int32x4_t,
    total: int32x4_t,
}

/// One half of a block of one row.
#[inline(always)]
fn half<const N: usize, B: Block256<N>, D: Dot, const HALF: usize>(
    dot: D,
    block: &[u8; N],
    steps: [int16x8_t; 2],
    q: &[i8; 256],
    sums: Running,
) -> Running {
    let Running { mut run, mut total } = sums;
    let w = B::weights::<HALF>(block);
    let a = [0, 16, 32, 48, 64, 80, 96, 112].map(|i| ints16(q, 128 * HALF + i));
    if B::GROUP == 16 {
        let steps = steps[HALF];
        let (low, high) = (opaque(vmovl_s16(vget_low_s16(steps))), opaque(vmovl_high_s16(steps)));
        each_lane!(LANE => {
            let j = LANE as usize;
            run = dot.dot(run, w[j], a[j]);
            total = vmlaq_laneq_s32::<LANE>(total, run, low);
        });
        each_lane!(LANE => {
            let j = 4 + LANE as usize;
            run = dot.dot(run, w[j], a[j]);
            total = vmlaq_laneq_s32::<LANE>(total, run, high);
        });
    } else {
        let steps = steps[0];
        let steps = opaque(if HALF == 0 { vmovl_s16(vget_low_s16(steps)) } else { vmovl_high_s16(steps) });
        each_lane!(LANE => {
            let j = 2 * LANE as usize;
            run = dot.dot(dot.dot(run, w[j], a[j]), w[j + 1], a[j + 1]);
            total = vmlaq_laneq_s32::<LANE>(total, run, steps);
        });
    }
    Running { run, total }
}

/// The exact sums of minimums times sums of activations of 4 rows.
#[inline(always)]
fn minimums<const N: usize, B: Block256<N>>(headers: [Header; 4], s: &[i16; 16]) -> int32x4_t {
    let [s0, s1] = sums16(s);
    let by_32 = vpaddq_s16(s0, s1);
    across(headers.map(|header| {
        let low = vmovl_s8(vget_low_s8(header.mins));
        if B::GROUP == 32 {
            vmlal_high_s16(vmull_s16(vget_low_s16(low), vget_low_s16(by_32)), low, by_32)
        } else {
            let high = vmovl_high_s8(header.mins);
            let sum = vmlal_high_s16(vmull_s16(vget_low_s16(low), vget_low_s16(s0)), low, s0);
            vmlal_high_s16(vmlal_s16(sum, vget_low_s16(high), vget_low_s16(s1)), high, s1)
        }
    }))
}
