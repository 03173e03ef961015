//! Formats with blocks of 256: eight rows to unsigned bytes in groups of 4 k, lane = row, and their integer scales.

use std::arch::x86_64::*;

use super::unpack::{Rows, look_up, move_bits, nibbles, store, transpose};
use super::unpack32::widen;
use crate::block::IQ4_VALUES;
use crate::format::Format;
use crate::grids;

/// A scale in a 32-bit lane.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Lane {
    /// Twice, as a pair of 16 bits.
    Pair,
    /// With the next one, as a pair of 16 bits: half as many vectors.
    Two,
    /// Once in the lower 16 bits, 0 above.
    Low,
    /// As 32 bits.
    Whole,
}

/// How a set wants the scales of a format: what lies behind a panel, block by block, in vectors of one lane per row.
#[derive(Clone, Copy)]
pub(crate) struct Side {
    /// Vectors of integer scales.
    pub scales: usize,
    /// How each scale fills its lane.
    pub lane: Lane,
    /// Vectors of pairs of minimums.
    pub mins: usize,
    /// Vectors of pairs of scales times `correction`; 0 or as many as there are pairs.
    pub corrections: usize,
    /// What a sum of activations is multiplied with, beside the scale, to take a bias away again.
    pub correction: i16,
}

impl Side {
    /// Vectors per block: the above, then the scale of the scales, then minus the scale of the minimums.
    pub(crate) const fn vectors(self) -> usize {
        self.scales + self.mins + self.corrections + 1 + (self.mins > 0) as usize
    }
}

/// Unpacks `blocks` blocks of eight rows. Block b's group g goes to `panel + (64 b + g) * STRIDE`, its vectors of
/// scales to `side + b * layout.vectors() * STRIDE` and on.
///
/// # Safety
/// Every row has `blocks` blocks of `Format::ALL[F]`; the targets have room for 32 bytes at each of these places.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) unsafe fn unpack<const F: usize, const STRIDE: usize>(
    layout: Side,
    rows: &Rows,
    blocks: usize,
    panel: *mut u8,
    side: *mut u8,
) {
    for b in 0..blocks {
        let at = b * const { Format::ALL[F].block_bytes() };
        // SAFETY: reads stay inside block `b` of each row, writes inside the caller's room.
        unsafe {
            head::<F, STRIDE>(layout, rows, at, side.add(b * layout.vectors() * STRIDE));
            units::<F>(rows, at, |unit, groups| {
                for (i, v) in groups.into_iter().enumerate() {
                    store(panel.add((b * 64 + unit * 4 + i) * STRIDE), v);
                }
            });
        }
    }
}

/// Writes the scales of the block at `at` of each row.
///
/// # Safety
/// The block is readable; `side` has room for 32 bytes at each of `layout.vectors()` places `STRIDE` apart.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) unsafe fn head<const F: usize, const STRIDE: usize>(layout: Side, rows: &Rows, at: usize, side: *mut u8) {
    // SAFETY: every read is inside the block.
    unsafe {
        match const { Format::ALL[F] } {
            Format::Q2_K => {
                let heads = transpose(rows, at);
                scales::<STRIDE>(layout, &heads.map(|v| nibbles::<0>(v)), side);
                mins::<STRIDE>(layout, &heads.map(|v| nibbles::<4>(v)), side);
                factors::<STRIDE>(layout, gather(rows, at + 80), side);
            }
            Format::Q3_K => {
                // The 12 bytes of scales, in three vectors, and d in the upper half of the fourth.
                let tail = transpose(rows, at + 94);
                let next = |a, b| _mm256_or_si256(_mm256_srli_epi32::<16>(a), _mm256_slli_epi32::<16>(b));
                let (a, b, c) = (next(tail[0], tail[1]), next(tail[1], tail[2]), next(tail[2], tail[3]));
                let with = |low, bit: i32| {
                    let six = _mm256_or_si256(low, move_bits(c, bit, 4, 3));
                    _mm256_sub_epi8(six, _mm256_set1_epi8(32))
                };
                let values = [
                    with(nibbles::<0>(a), 0),
                    with(nibbles::<0>(b), 2),
                    with(nibbles::<4>(a), 4),
                    with(nibbles::<4>(b), 6),
                ];
                scales::<STRIDE>(layout, &values, side);
                factors::<STRIDE>(layout, _mm256_srli_epi32::<16>(tail[3]), side);
            }
            Format::Q4_K | Format::Q5_K => {
                let head = transpose(rows, at);
                let (s, m) = scales_and_mins(&head);
                scales::<STRIDE>(layout, &s, side);
                mins::<STRIDE>(layout, &m, side);
                factors::<STRIDE>(layout, head[0], side);
            }
            Format::Q6_K => {
                scales::<STRIDE>(layout, &transpose(rows, at + 192), side);
                // d is the block's last 2 bytes.
                factors::<STRIDE>(layout, _mm256_srli_epi32::<16>(gather(rows, at + 206)), side);
            }
            Format::IQ4_XS => {
                let (head, low) = (gather(rows, at), gather(rows, at + 4));
                scales::<STRIDE>(layout, &iq4_xs_scales(head, low), side);
                factors::<STRIDE>(layout, head, side);
            }
            format => {
                let blocks = blocks::<F>(rows, at);
                let bytes = blocks.map(|b| grids::scales(format, b));
                let by_four = transpose(&bytes.each_ref().map(|row| row.as_ptr().cast()), 0);
                scales::<STRIDE>(layout, &by_four[..layout.scales / 4], side);
                let d = blocks.map(|b| i32::from(grids::d_bits(format, b)));
                let d = widen(_mm256_setr_epi32(d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7]));
                let d = _mm256_mul_ps(d, _mm256_set1_ps(grids::factor(format)));
                store(side.add((layout.vectors() - 1) * STRIDE), _mm256_castps_si256(d));
            }
        }
    }
}

/// The block at `at` of each row.
///
/// # Safety
/// The block is readable, for as long as the result is used.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn blocks<'a, const F: usize>(rows: &Rows, at: usize) -> [&'a [u8]; 8] {
    let bytes = const { Format::ALL[F].block_bytes() };
    // SAFETY: the caller's promise.
    rows.map(|row| unsafe { std::slice::from_raw_parts(row.add(at), bytes) })
}

/// Calls `each` for all 16 units of 16 values of the block at `at` of each row, in any order: the unit's number and its
/// four groups of 4 k.
///
/// # Safety
/// The block is readable.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) unsafe fn units<const F: usize>(rows: &Rows, at: usize, mut each: impl FnMut(usize, [__m256i; 4])) {
    // SAFETY: every read is inside the block.
    unsafe {
        match const { Format::ALL[F] } {
            // 16 bytes of scales, then twice 32 bytes that hold 2 bits of four times 32 values.
            Format::Q2_K => {
                for (half, part) in PARTS {
                    let v = transpose(rows, at + 16 + half * 32 + part * 16);
                    for j in 0..4 {
                        each(half * 8 + j * 2 + part, v.map(|v| move_bits(v, 2 * j as i32, 0, 3)));
                    }
                }
            }
            // 32 bytes of high bits, one bit per 32 values; then as Q2_K.
            Format::Q3_K => {
                for (half, part) in PARTS {
                    let low = transpose(rows, at + 32 + half * 32 + part * 16);
                    let high = transpose(rows, at + part * 16);
                    for j in 0..4 {
                        let bits = low.map(|v| move_bits(v, 2 * j as i32, 0, 3));
                        each(
                            half * 8 + j * 2 + part,
                            or(bits, high.map(|v| move_bits(v, (half * 4 + j) as i32, 2, 1))),
                        );
                    }
                }
            }
            // Four times 32 bytes: low halves of 32 values, high halves of the next 32.
            Format::Q4_K => {
                for chunk in 0..8 {
                    let v = transpose(rows, at + 16 + chunk * 16);
                    let unit = chunk / 2 * 4 + chunk % 2;
                    each(unit, v.map(|v| nibbles::<0>(v)));
                    each(unit + 2, v.map(|v| nibbles::<4>(v)));
                }
            }
            // 32 bytes of high bits, one bit per 32 values; then as Q4_K.
            Format::Q5_K => {
                for part in 0..2 {
                    let high = transpose(rows, at + 16 + part * 16);
                    for pair in 0..4 {
                        let low = transpose(rows, at + 48 + pair * 32 + part * 16);
                        let top = |j: usize| high.map(|v| move_bits(v, (2 * pair + j) as i32, 4, 1));
                        each(pair * 4 + part, or(low.map(|v| nibbles::<0>(v)), top(0)));
                        each(pair * 4 + part + 2, or(low.map(|v| nibbles::<4>(v)), top(1)));
                    }
                }
            }
            // Twice 64 bytes of low halves; twice 32 bytes with the 2 high bits of four times 32 values.
            Format::Q6_K => {
                for (half, part) in PARTS {
                    let first = transpose(rows, at + half * 64 + part * 16);
                    let second = transpose(rows, at + half * 64 + 32 + part * 16);
                    let high = transpose(rows, at + 128 + half * 32 + part * 16);
                    let top = |bit| high.map(|v| move_bits(v, bit, 4, 3));
                    let unit = half * 8 + part;
                    each(unit, or(first.map(|v| nibbles::<0>(v)), top(0)));
                    each(unit + 2, or(second.map(|v| nibbles::<0>(v)), top(2)));
                    each(unit + 4, or(first.map(|v| nibbles::<4>(v)), top(4)));
                    each(unit + 6, or(second.map(|v| nibbles::<4>(v)), top(6)));
                }
            }
            // 8 times 16 bytes as in Q4_0, through the codebook.
            Format::IQ4_XS => {
                let coded = |v| _mm256_add_epi8(look_up(&IQ4_VALUES, v), _mm256_set1_epi8(-128));
                for chunk in 0..8 {
                    let v = transpose(rows, at + 8 + chunk * 16);
                    each(chunk * 2, v.map(|v| coded(nibbles::<0>(v))));
                    each(chunk * 2 + 1, v.map(|v| coded(nibbles::<4>(v))));
                }
            }
            // Grids: read row by row, and turned afterwards.
            _ => {
                let blocks = blocks::<F>(rows, at);
                let flip = _mm256_set1_epi8(-128);
                let halves = [blocks.map(grids::half::<F, 0>), blocks.map(grids::half::<F, 1>)];
                for (half, words) in halves.iter().enumerate() {
                    let words = words.each_ref().map(|row| row.as_ptr().cast());
                    for part in 0..8 {
                        let v = transpose(&words, part * 16);
                        each(half * 8 + part, v.map(|v| _mm256_xor_si256(v, flip)));
                    }
                }
            }
        }
    }
}

/// Halves of a block and halves of its groups of 32.
const PARTS: [(usize, usize); 4] = [(0, 0), (0, 1), (1, 0), (1, 1)];

/// Bits of both.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn or(a: [__m256i; 4], b: [__m256i; 4]) -> [__m256i; 4] {
    std::array::from_fn(|i| _mm256_or_si256(a[i], b[i]))
}

/// The 6-bit scales and minimums of Q4_K and Q5_K as bytes: scales 0-3, 4-7, minimums 0-3, 4-7.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn scales_and_mins(head: &[__m256i; 4]) -> ([__m256i; 2], [__m256i; 2]) {
    let six = |v| _mm256_and_si256(v, _mm256_set1_epi8(63));
    let top = |v| _mm256_and_si256(_mm256_srli_epi16::<2>(v), _mm256_set1_epi8(0x30));
    let scales = [six(head[1]), _mm256_or_si256(nibbles::<0>(head[3]), top(head[1]))];
    let mins = [six(head[2]), _mm256_or_si256(nibbles::<4>(head[3]), top(head[2]))];
    (scales, mins)
}

/// The 6-bit scales of IQ4_XS, less 32, as bytes: scale j is half j of `low` below bits 2j.. of the upper 16 of `head`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn iq4_xs_scales(head: __m256i, low: __m256i) -> [__m256i; 2] {
    let byte = |j: i32| {
        let l = _mm256_srl_epi32(low, _mm_cvtsi32_si128(4 * j));
        let h = _mm256_srl_epi32(head, _mm_cvtsi32_si128(16 + 2 * j));
        let l = _mm256_and_si256(l, _mm256_set1_epi32(15));
        let h = _mm256_and_si256(h, _mm256_set1_epi32(3));
        let six = _mm256_or_si256(l, _mm256_slli_epi32::<4>(h));
        _mm256_sll_epi32(six, _mm_cvtsi32_si128(8 * (j % 4)))
    };
    [0, 4].map(|j| {
        let (low, high) = (_mm256_or_si256(byte(j), byte(j + 1)), _mm256_or_si256(byte(j + 2), byte(j + 3)));
        _mm256_sub_epi8(_mm256_or_si256(low, high), _mm256_set1_epi8(32))
    })
}

/// Writes integer scales, given as four signed bytes a lane, and their corrections.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn scales<const STRIDE: usize>(layout: Side, bytes: &[__m256i], side: *mut u8) {
    let corrections = (layout.scales + layout.mins) * STRIDE;
    for (i, v) in bytes.iter().enumerate() {
        if layout.lane == Lane::Two {
            // SAFETY: as in `unpack`.
            unsafe { pairs::<STRIDE>(*v, side.add(2 * i * STRIDE)) };
        } else {
            for j in 0..4 {
                let scale = match layout.lane {
                    Lane::Low => spread(*v, j, None),
                    Lane::Whole => _mm256_srai_epi32::<24>(_mm256_sll_epi32(*v, _mm_cvtsi32_si128(24 - 8 * j as i32))),
                    _ => spread(*v, j, Some(j)),
                };
                // SAFETY: as in `unpack`.
                unsafe { store(side.add((4 * i + j) * STRIDE), scale) };
            }
        }
        if layout.corrections > 0 {
            for j in 0..2 {
                let pair = spread(*v, 2 * j, Some(2 * j + 1));
                let pair = _mm256_mullo_epi16(pair, _mm256_set1_epi16(layout.correction));
                // SAFETY: as in `unpack`.
                unsafe { store(side.add(corrections + (2 * i + j) * STRIDE), pair) };
            }
        }
    }
}

/// Writes pairs of minimums, given as four bytes (0..=63) a lane.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn mins<const STRIDE: usize>(layout: Side, bytes: &[__m256i], side: *mut u8) {
    for (i, v) in bytes.iter().enumerate() {
        // SAFETY: as in `unpack`.
        unsafe { pairs::<STRIDE>(*v, side.add((layout.scales + 2 * i) * STRIDE)) };
    }
}

/// Writes the four signed bytes of each lane as two pairs.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn pairs<const STRIDE: usize>(v: __m256i, to: *mut u8) {
    for j in 0..2 {
        // SAFETY: the caller has room for 32 bytes at both places.
        unsafe { store(to.add(j * STRIDE), spread(v, 2 * j, Some(2 * j + 1))) };
    }
}

/// Writes the scale of the scales (the half in the low 16 bits) and minus that of the minimums (in the high 16).
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn factors<const STRIDE: usize>(layout: Side, halves: __m256i, side: *mut u8) {
    let at = layout.scales + layout.mins + layout.corrections;
    // SAFETY: as in `unpack`.
    unsafe {
        store(side.add(at * STRIDE), _mm256_castps_si256(widen(halves)));
        if layout.mins > 0 {
            let dmin = widen(_mm256_srli_epi32::<16>(halves));
            let minus = _mm256_xor_ps(dmin, _mm256_set1_ps(-0.0));
            store(side.add((at + 1) * STRIDE), _mm256_castps_si256(minus));
        }
    }
}

/// Signed byte `low` of each lane as the lower 16 bits, byte `high` (or 0) as the upper 16.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn spread(v: __m256i, low: usize, high: Option<usize>) -> __m256i {
    let (low, high) = (low as i32, high.map_or(0x80, |h| h as i32));
    let index = low << 8 | high << 24 | 0x0080_0080;
    // 4 is added per lane to the source bytes; the 0x80 that clear a byte stay.
    let lane = if high == 0x80 { 0x0000_0400 } else { 0x0400_0400 };
    let index = _mm256_setr_epi32(
        index,
        index + lane,
        index + 2 * lane,
        index + 3 * lane,
        index,
        index + lane,
        index + 2 * lane,
        index + 3 * lane,
    );
    _mm256_srai_epi16::<8>(_mm256_shuffle_epi8(v, index))
}

/// The 4 bytes at `at` of each row.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) unsafe fn gather(rows: &Rows, at: usize) -> __m256i {
    // SAFETY: as in `unpack`.
    let r = rows.map(|row| unsafe { row.add(at).cast::<i32>().read_unaligned() });
    _mm256_setr_epi32(r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7])
}
