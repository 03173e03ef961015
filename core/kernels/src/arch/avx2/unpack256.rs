//! Formats with blocks of 256: eight rows to unsigned bytes in groups of 4 k, lane = row, and their integer scales.

use std::arch::x86_64::*;

use super::unpack::{Rows, look_up, move_bits, nibbles, store, transpose};
use super::unpack32::widen;
use crate::block::IQ4_VALUES;
use crate::format::Format;

/// How a set wants the scales of a format: what lies behind a panel, block by block, in vectors of one lane per row.
#[derive(Clone, Copy)]
pub(crate) struct Side {
    /// Integer scales, one vector each.
    pub scales: usize,
    /// Each scale twice, as a pair of 16 bits; otherwise once, with 0 above it.
    pub doubled: bool,
    /// Vectors of pairs of minimums.
    pub mins: usize,
    /// Vectors of pairs of scales times `correction`; 0 or `scales / 2`.
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
    let format = const { Format::ALL[F] };
    for b in 0..blocks {
        // SAFETY: reads stay inside block `b` of each row, writes inside the caller's room.
        unsafe {
            let at = b * format.block_bytes();
            let to = panel.add(b * 64 * STRIDE);
            let side = side.add(b * layout.vectors() * STRIDE);
            match format {
                Format::Q2_K => q2_k::<STRIDE>(layout, rows, at, to, side),
                Format::Q3_K => q3_k::<STRIDE>(layout, rows, at, to, side),
                Format::Q4_K => q4_k::<STRIDE>(layout, rows, at, to, side),
                Format::Q5_K => q5_k::<STRIDE>(layout, rows, at, to, side),
                Format::Q6_K => q6_k::<STRIDE>(layout, rows, at, to, side),
                _ => iq4_xs::<STRIDE>(layout, rows, at, to, side),
            }
        }
    }
}

/// Q2_K: 16 bytes scale and minimum, 64 bytes of 2-bit values, d, dmin.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn q2_k<const STRIDE: usize>(layout: Side, rows: &Rows, at: usize, to: *mut u8, side: *mut u8) {
    // SAFETY: as in `unpack`.
    unsafe {
        let heads = transpose(rows, at);
        scales::<STRIDE>(layout, &heads.map(|v| nibbles::<0>(v)), side);
        mins::<STRIDE>(layout, &heads.map(|v| nibbles::<4>(v)), side);
        for half in 0..2 {
            for part in 0..2 {
                let v = transpose(rows, at + 16 + half * 32 + part * 16);
                for (i, v) in v.into_iter().enumerate() {
                    for j in 0..4 {
                        let bits = move_bits(v, 2 * j as i32, 0, 3);
                        store(to.add((half * 32 + j * 8 + part * 4 + i) * STRIDE), bits);
                    }
                }
            }
        }
        factors::<STRIDE>(layout, gather(rows, at + 80), side);
    }
}

/// Q3_K: 32 bytes of high bits, 64 bytes of 2-bit values, 12 bytes of scales, d.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn q3_k<const STRIDE: usize>(layout: Side, rows: &Rows, at: usize, to: *mut u8, side: *mut u8) {
    // SAFETY: as in `unpack`; the last 16 bytes of the block begin at 94.
    unsafe {
        for half in 0..2 {
            for part in 0..2 {
                let low = transpose(rows, at + 32 + half * 32 + part * 16);
                let high = transpose(rows, at + part * 16);
                for i in 0..4 {
                    for j in 0..4 {
                        let bits = move_bits(low[i], 2 * j as i32, 0, 3);
                        let top = move_bits(high[i], (half * 4 + j) as i32, 2, 1);
                        store(to.add((half * 32 + j * 8 + part * 4 + i) * STRIDE), _mm256_or_si256(bits, top));
                    }
                }
            }
        }
        // The 12 bytes of scales, in three vectors, and d in the upper half of the fourth.
        let tail = transpose(rows, at + 94);
        let next = |a, b| _mm256_or_si256(_mm256_srli_epi32::<16>(a), _mm256_slli_epi32::<16>(b));
        let (a, b, c) = (next(tail[0], tail[1]), next(tail[1], tail[2]), next(tail[2], tail[3]));
        let with = |low, bit: i32| {
            let six = _mm256_or_si256(low, move_bits(c, bit, 4, 3));
            _mm256_sub_epi8(six, _mm256_set1_epi8(32))
        };
        let values =
            [with(nibbles::<0>(a), 0), with(nibbles::<0>(b), 2), with(nibbles::<4>(a), 4), with(nibbles::<4>(b), 6)];
        scales::<STRIDE>(layout, &values, side);
        factors::<STRIDE>(layout, _mm256_srli_epi32::<16>(tail[3]), side);
    }
}

/// The 6-bit scales and minimums of Q4_K and Q5_K as bytes: scales 0-3, 4-7, minimums 0-3, 4-7.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn scales_and_mins(head: &[__m256i; 4]) -> ([__m256i; 2], [__m256i; 2]) {
    let six = |v| _mm256_and_si256(v, _mm256_set1_epi8(63));
    let top = |v| _mm256_and_si256(_mm256_srli_epi16::<2>(v), _mm256_set1_epi8(0x30));
    let scales = [six(head[1]), _mm256_or_si256(nibbles::<0>(head[3]), top(head[1]))];
    let mins = [six(head[2]), _mm256_or_si256(nibbles::<4>(head[3]), top(head[2]))];
    (scales, mins)
}

/// Q4_K: d, dmin, 12 bytes of scales and minimums, 128 bytes of 4-bit values.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn q4_k<const STRIDE: usize>(layout: Side, rows: &Rows, at: usize, to: *mut u8, side: *mut u8) {
    // SAFETY: as in `unpack`.
    unsafe {
        let head = transpose(rows, at);
        let (s, m) = scales_and_mins(&head);
        scales::<STRIDE>(layout, &s, side);
        mins::<STRIDE>(layout, &m, side);
        factors::<STRIDE>(layout, head[0], side);
        for pair in 0..4 {
            for part in 0..2 {
                let v = transpose(rows, at + 16 + pair * 32 + part * 16);
                for (i, v) in v.into_iter().enumerate() {
                    let to = to.add((pair * 16 + part * 4 + i) * STRIDE);
                    store(to, nibbles::<0>(v));
                    store(to.add(8 * STRIDE), nibbles::<4>(v));
                }
            }
        }
    }
}

/// Q5_K: like Q4_K with 32 bytes of high bits before the values.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn q5_k<const STRIDE: usize>(layout: Side, rows: &Rows, at: usize, to: *mut u8, side: *mut u8) {
    // SAFETY: as in `unpack`.
    unsafe {
        let head = transpose(rows, at);
        let (s, m) = scales_and_mins(&head);
        scales::<STRIDE>(layout, &s, side);
        mins::<STRIDE>(layout, &m, side);
        factors::<STRIDE>(layout, head[0], side);
        for part in 0..2 {
            let high = transpose(rows, at + 16 + part * 16);
            for pair in 0..4 {
                let low = transpose(rows, at + 48 + pair * 32 + part * 16);
                for i in 0..4 {
                    let to = to.add((pair * 16 + part * 4 + i) * STRIDE);
                    let top = |j: usize| move_bits(high[i], (2 * pair + j) as i32, 4, 1);
                    store(to, _mm256_or_si256(nibbles::<0>(low[i]), top(0)));
                    store(to.add(8 * STRIDE), _mm256_or_si256(nibbles::<4>(low[i]), top(1)));
                }
            }
        }
    }
}

/// Q6_K: 128 bytes of low halves, 64 of high bits, 16 scales, d.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn q6_k<const STRIDE: usize>(layout: Side, rows: &Rows, at: usize, to: *mut u8, side: *mut u8) {
    // SAFETY: as in `unpack`.
    unsafe {
        for half in 0..2 {
            for part in 0..2 {
                // Values part * 16.. of each 32: their low halves share two places, their tops one.
                let first = transpose(rows, at + half * 64 + part * 16);
                let second = transpose(rows, at + half * 64 + 32 + part * 16);
                let high = transpose(rows, at + 128 + half * 32 + part * 16);
                for i in 0..4 {
                    let to = to.add((half * 32 + part * 4 + i) * STRIDE);
                    let top = |bit| move_bits(high[i], bit, 4, 3);
                    store(to, _mm256_or_si256(nibbles::<0>(first[i]), top(0)));
                    store(to.add(8 * STRIDE), _mm256_or_si256(nibbles::<0>(second[i]), top(2)));
                    store(to.add(16 * STRIDE), _mm256_or_si256(nibbles::<4>(first[i]), top(4)));
                    store(to.add(24 * STRIDE), _mm256_or_si256(nibbles::<4>(second[i]), top(6)));
                }
            }
        }
        scales::<STRIDE>(layout, &transpose(rows, at + 192), side);
        factors::<STRIDE>(layout, gather_half(rows, at + 208), side);
    }
}

/// IQ4_XS: d, 2 bytes of high scale bits, 4 bytes of low scale halves, 128 bytes of 4-bit codes.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn iq4_xs<const STRIDE: usize>(layout: Side, rows: &Rows, at: usize, to: *mut u8, side: *mut u8) {
    // SAFETY: as in `unpack`.
    unsafe {
        let (head, low) = (gather(rows, at), gather(rows, at + 4));
        // Scale j: half j of `low`, bits 2j.. of the upper 16 bits of `head`.
        let group = |first: i32| {
            let byte = |j: i32| {
                let l = _mm256_srl_epi32(low, _mm_cvtsi32_si128(4 * j));
                let h = _mm256_srl_epi32(head, _mm_cvtsi32_si128(16 + 2 * j));
                let l = _mm256_and_si256(l, _mm256_set1_epi32(15));
                let h = _mm256_and_si256(h, _mm256_set1_epi32(3));
                let six = _mm256_or_si256(l, _mm256_slli_epi32::<4>(h));
                _mm256_sll_epi32(six, _mm_cvtsi32_si128(8 * (j - first)))
            };
            let (a, b) = (byte(first), byte(first + 1));
            let (c, d) = (byte(first + 2), byte(first + 3));
            let six = _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d));
            _mm256_sub_epi8(six, _mm256_set1_epi8(32))
        };
        scales::<STRIDE>(layout, &[group(0), group(4)], side);
        factors::<STRIDE>(layout, head, side);
        for j in 0..8 {
            let v = transpose(rows, at + 8 + j * 16);
            for (i, v) in v.into_iter().enumerate() {
                let to = to.add((j * 8 + i) * STRIDE);
                let coded = |v| _mm256_add_epi8(look_up(&IQ4_VALUES, v), _mm256_set1_epi8(-128));
                store(to, coded(nibbles::<0>(v)));
                store(to.add(4 * STRIDE), coded(nibbles::<4>(v)));
            }
        }
    }
}

/// Writes integer scales, given as four signed bytes a lane, and their corrections.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn scales<const STRIDE: usize>(layout: Side, bytes: &[__m256i], side: *mut u8) {
    let corrections = (layout.scales + layout.mins) * STRIDE;
    for (i, v) in bytes.iter().enumerate() {
        for j in 0..4 {
            let scale = spread(*v, j, if layout.doubled { Some(j) } else { None });
            // SAFETY: as in `unpack`.
            unsafe { store(side.add((4 * i + j) * STRIDE), scale) };
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
        for j in 0..2 {
            let pair = spread(*v, 2 * j, Some(2 * j + 1));
            // SAFETY: as in `unpack`.
            unsafe { store(side.add((layout.scales + 2 * i + j) * STRIDE), pair) };
        }
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
unsafe fn gather(rows: &Rows, at: usize) -> __m256i {
    // SAFETY: as in `unpack`.
    let r = rows.map(|row| unsafe { row.add(at).cast::<i32>().read_unaligned() });
    _mm256_setr_epi32(r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7])
}

/// The 2 bytes at `at` of each row, in the low half of a lane.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn gather_half(rows: &Rows, at: usize) -> __m256i {
    // SAFETY: as in `unpack`.
    let r = rows.map(|row| i32::from(unsafe { row.add(at).cast::<u16>().read_unaligned() }));
    _mm256_setr_epi32(r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7])
}
