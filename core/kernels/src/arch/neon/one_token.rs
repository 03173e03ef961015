//! Weight rows times one token: 4 rows walk the blocks together, read from the file's own bytes, one row per lane.

use super::intrinsics::*;

use super::blocks32::Block32;
use super::blocks256::Block256;
use super::dot::Dot;
use super::load::{floats4, ints16, store4, sums4, sums16};
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

/// Rows `r` to `r + 3` (the last one again where there are fewer), as blocks.
#[inline(always)]
fn four_rows<const N: usize>(blocks: &[[u8; N]], per_row: usize, r: usize) -> [&[[u8; N]]; 4] {
    let last = blocks.len() / per_row - 1;
    [0, 1, 2, 3].map(|i| &blocks[(r + i).min(last) * per_row..][..per_row])
}

/// Stores the lanes that exist from `out[r]` on.
#[inline(always)]
fn store(out: &mut [f32], r: usize, lanes: float32x4_t) {
    let out = &mut out[r..];
    if let Some(four) = out.first_chunk_mut() {
        store4(four, lanes);
    } else {
        let mut all = [0.0; 4];
        store4(&mut all, lanes);
        out.copy_from_slice(&all[..out.len()]);
    }
}

/// `out[n]` for one token, formats with blocks of 32.
#[inline(always)]
pub(crate) fn rows32<const N: usize, B: Block32<N>, D: Dot>(dot: D, w: &[u8], x: &Activations<'_>, out: &mut [f32]) {
    let (q, d, s) = (x.q().as_chunks().0, x.d(), x.s());
    let blocks = w.as_chunks::<N>().0;
    for r in (0..out.len()).step_by(4) {
        let rows = four_rows(blocks, q.len(), r);
        store(out, r, dots32::<N, B, D>(dot, rows, q, d, s));
    }
}

/// 4 rows of blocks of 32 times one token.
#[inline(always)]
fn dots32<const N: usize, B: Block32<N>, D: Dot>(
    dot: D,
    rows: [&[[u8; N]]; 4],
    q: &[[i8; 32]],
    d: &[f32],
    s: &[i16],
) -> float32x4_t {
    let mut acc = vdupq_n_f32(0.0);
    let (q4, d4, s4) = (q.as_chunks::<4>().0, d.as_chunks::<4>().0, s.as_chunks::<4>().0);
    let n = q4.len();
    let (d4, s4, rows4) = (&d4[..n], &s4[..n], rows.map(|row| &row.as_chunks::<4>().0[..n]));
    for i in 0..n {
        let d = floats4(&d4[i]);
        let starts = starts::<N, B>(&s4[i]);
        each_lane!(LANE => {
            let j = LANE as usize;
            let blocks = [&rows4[0][i][j], &rows4[1][i][j], &rows4[2][i][j], &rows4[3][i][j]];
            let isum = column::<N, B, D>(dot, blocks, &q4[i][j], vdupq_laneq_s32::<LANE>(starts));
            acc = vfmaq_f32(acc, vmulq_laneq_f32::<LANE>(B::scales(blocks), d), vcvtq_f32_s32(isum));
            if B::MIN {
                let s = vdupq_n_f32(f32::from(s4[i][j]));
                acc = vfmaq_f32(acc, vmulq_laneq_f32::<LANE>(B::mins(blocks), d), s);
            }
        });
    }
    for i in 4 * n..q.len() {
        let blocks = [&rows[0][i], &rows[1][i], &rows[2][i], &rows[3][i]];
        let start = vdupq_laneq_s32::<0>(starts::<N, B>(&[s[i], 0, 0, 0]));
        let isum = column::<N, B, D>(dot, blocks, &q[i], start);
        acc = vfmaq_f32(acc, vmulq_n_f32(B::scales(blocks), d[i]), vcvtq_f32_s32(isum));
        if B::MIN {
            let s = vdupq_n_f32(f32::from(s[i]));
            acc = vfmaq_f32(acc, vmulq_n_f32(B::mins(blocks), d[i]), s);
        }
    }
    acc
}

/// What each lane of a row's dot product starts with, so that its four lanes take off the bias: one lane per block.
#[inline(always)]
fn starts<const N: usize, B: Block32<N>>(s: &[i16; 4]) -> int32x4_t {
    if B::BIAS == 0 { vdupq_n_s32(0) } else { vmull_n_s16(sums4(s), -i16::from(B::BIAS) / 4) }
}

/// The exact dot products of one block of 4 rows.
#[inline(always)]
fn column<const N: usize, B: Block32<N>, D: Dot>(
    dot: D,
    blocks: [&[u8; N]; 4],
    q: &[i8; 32],
    start: int32x4_t,
) -> int32x4_t {
    let (a0, a1) = (ints16(q, 0), ints16(q, 16));
    let mut sums = [start; 4];
    for (sum, b) in sums.iter_mut().zip(blocks) {
        let [w0, w1] = B::weights(b);
        *sum = dot.dot(dot.dot(*sum, w0, a0), w1, a1);
    }
    across(sums)
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
    let blocks = w.as_chunks::<N>().0;
    for r in (0..out.len()).step_by(4) {
        let rows = four_rows(blocks, q.len(), r);
        store(out, r, dots256::<N, B, D>(dot, rows, q, d, s));
    }
}

/// 4 rows of blocks of 256 times one token.
#[inline(always)]
fn dots256<const N: usize, B: Block256<N>, D: Dot>(
    dot: D,
    rows: [&[[u8; N]]; 4],
    q: &[[i8; 256]],
    d: &[f32],
    s: &[[i16; 16]],
) -> float32x4_t {
    let n = q.len();
    let (d, s, rows) = (&d[..n], &s[..n], rows.map(|row| &row[..n]));
    let mut acc = vdupq_n_f32(0.0);
    for i in 0..n {
        let blocks = [&rows[0][i], &rows[1][i], &rows[2][i], &rows[3][i]];
        let isum = superblock::<N, B, D>(dot, blocks, &q[i]);
        let [dw, dmin] = B::scales(blocks);
        acc = vfmaq_f32(acc, vmulq_n_f32(dw, d[i]), vcvtq_f32_s32(isum));
        if B::MIN {
            let msum = minimums::<N, B>(blocks, &s[i]);
            acc = vfmsq_f32(acc, vmulq_n_f32(dmin, d[i]), vcvtq_f32_s32(msum));
        }
    }
    acc
}

/// The exact scaled dot products of one block of 4 rows.
#[inline(always)]
fn superblock<const N: usize, B: Block256<N>, D: Dot>(dot: D, blocks: [&[u8; N]; 4], q: &[i8; 256]) -> int32x4_t {
    let zero = vdupq_n_s32(0);
    let mut run = [zero; 4]; // the dot products so far
    let mut total = [zero; 4]; // of steps times them
    let steps = blocks.map(|b| B::steps(b));
    for half in 0..2 {
        let a: [int8x16_t; 8] = [0, 16, 32, 48, 64, 80, 96, 112].map(|i| ints16(q, 128 * half + i));
        for r in 0..4 {
            let w = B::weights(blocks[r], half);
            let (mut sum, mut all) = (run[r], total[r]);
            if B::GROUP == 16 {
                let steps = steps[r][half];
                let (low, high) = (vmovl_s16(vget_low_s16(steps)), vmovl_high_s16(steps));
                each_lane!(LANE => {
                    let j = LANE as usize;
                    sum = dot.dot(sum, w[j], a[j]);
                    all = vmlaq_laneq_s32::<LANE>(all, sum, low);
                });
                each_lane!(LANE => {
                    let j = 4 + LANE as usize;
                    sum = dot.dot(sum, w[j], a[j]);
                    all = vmlaq_laneq_s32::<LANE>(all, sum, high);
                });
            } else {
                let steps = steps[r][0];
                let steps = if half == 0 { vmovl_s16(vget_low_s16(steps)) } else { vmovl_high_s16(steps) };
                each_lane!(LANE => {
                    let j = 2 * LANE as usize;
                    sum = dot.dot(dot.dot(sum, w[j], a[j]), w[j + 1], a[j + 1]);
                    all = vmlaq_laneq_s32::<LANE>(all, sum, steps);
                });
            }
            (run[r], total[r]) = (sum, all);
        }
    }
    vshlq_s32(across(total), vdupq_n_s32(-B::SHIFT))
}

/// The exact sums of minimums times sums of activations of 4 rows.
#[inline(always)]
fn minimums<const N: usize, B: Block256<N>>(blocks: [&[u8; N]; 4], s: &[i16; 16]) -> int32x4_t {
    let [s0, s1] = sums16(s);
    across(blocks.map(|b| {
        let mins = B::mins(b);
        let low = vmovl_s8(vget_low_s8(mins));
        if B::GROUP == 32 {
            let s = vpaddq_s16(s0, s1);
            vmlal_high_s16(vmull_s16(vget_low_s16(low), vget_low_s16(s)), low, s)
        } else {
            let high = vmovl_high_s8(mins);
            let sum = vmlal_high_s16(vmull_s16(vget_low_s16(low), vget_low_s16(s0)), low, s0);
            vmlal_high_s16(vmlal_s16(sum, vget_low_s16(high), vget_low_s16(s1)), high, s1)
        }
    }))
}
