//! Formats with blocks of 32: eight rows to unsigned bytes in groups of 4 k, lane = row, and their scales as floats.

use std::arch::x86_64::*;
use std::mem::MaybeUninit;

use super::unpack::{Rows, look_up, nibbles, store, transpose};
use super::unpack256::gather;
use crate::block::{IQ4_VALUES, MXFP4_VALUES};
use crate::format::Format;

/// What is added to the integers of a format to make them unsigned; the tile takes it away again.
pub(crate) const fn bias(format: Format) -> i32 {
    match format {
        Format::Q4_0 => 8,
        Format::Q5_0 => 16,
        Format::Q8_0 | Format::IQ4_NL => 128,
        Format::MXFP4 => 12,
        _ => 0,
    }
}

/// Whether a format has a minimum beside its scale.
pub(crate) const fn has_min(format: Format) -> bool {
    matches!(format, Format::Q4_1 | Format::Q5_1)
}

/// Most blocks of a row unpacked at a time.
const MAX_BLOCKS: usize = 64;

/// Unpacks `blocks` blocks of eight rows. Block b's group g goes to `panel + (8 b + g) * STRIDE`, its scales to
/// `side + b * STRIDE`, or `side + 2 b * STRIDE` with the minimums `STRIDE` behind them.
///
/// # Safety
/// Every row has `blocks` (at most 64) blocks of `Format::ALL[F]`; the targets have room for 32 bytes at each of these
/// places.
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) unsafe fn unpack<const F: usize, const STRIDE: usize>(
    rows: &Rows,
    blocks: usize,
    panel: *mut u8,
    side: *mut u8,
) {
    let format = const { Format::ALL[F] };
    let bytes = format.block_bytes();
    // Heads of the blocks, gathered one value at a time on the scalar units and widened afterwards.
    let mut scales = [const { MaybeUninit::<u32>::uninit() }; MAX_BLOCKS * 8];
    let mut tops = [const { MaybeUninit::<u32>::uninit() }; MAX_BLOCKS * 8];
    assert!(blocks <= MAX_BLOCKS, "a piece of 32-value formats is at most 64 blocks");
    for b in 0..blocks {
        for (r, row) in rows.iter().enumerate() {
            // SAFETY: block `b` of the row is readable.
            let head = unsafe { row.add(b * bytes) };
            // SAFETY: the reads stay inside the block, which begins with what is read.
            unsafe {
                let scale = match format {
                    Format::MXFP4 => u32::from(*head),
                    Format::Q4_1 | Format::Q5_1 => head.cast::<u32>().read_unaligned(),
                    _ => u32::from(head.cast::<u16>().read_unaligned()),
                };
                scales[b * 8 + r].write(scale);
                match format {
                    Format::Q5_0 => _ = tops[b * 8 + r].write(head.add(2).cast::<u32>().read_unaligned()),
                    Format::Q5_1 => _ = tops[b * 8 + r].write(head.add(4).cast::<u32>().read_unaligned()),
                    _ => (),
                }
            }
        }
    }
    for b in 0..blocks {
        // SAFETY: the first loop filled the 8 entries of block `b`; targets are the caller's promise.
        unsafe {
            let to = panel.add(b * 8 * STRIDE);
            let top = tops.as_ptr().add(b * 8).cast();
            let top = if matches!(format, Format::Q5_0 | Format::Q5_1) {
                _mm256_loadu_si256(top)
            } else {
                _mm256_setzero_si256()
            };
            let groups = groups::<F>(values::<F>(rows, b * bytes), top);
            for (g, v) in groups.into_iter().enumerate() {
                store(to.add(g * STRIDE), v);
            }
            let head = _mm256_loadu_si256(scales.as_ptr().add(b * 8).cast());
            let (d, m) = factors::<F>(head);
            if has_min(format) {
                store(side.add(2 * b * STRIDE), _mm256_castps_si256(d));
                store(side.add((2 * b + 1) * STRIDE), _mm256_castps_si256(m));
            } else {
                store(side.add(b * STRIDE), _mm256_castps_si256(d));
            }
        }
    }
}

/// What a block of each of eight rows holds, a row in each lane.
#[derive(Clone, Copy)]
pub(crate) struct Raw {
    /// The first 4 bytes.
    pub head: __m256i,
    /// The 32 high bits of 5-bit formats.
    pub top: __m256i,
    /// 16 bytes of values, or 32 of Q8_0.
    pub values: [__m256i; 8],
}

/// Reads the block at `at` of each row.
///
/// # Safety
/// The block is readable.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) unsafe fn read<const F: usize>(rows: &Rows, at: usize) -> Raw {
    // SAFETY: every read is inside the block.
    unsafe {
        let top = match const { Format::ALL[F] } {
            Format::Q5_0 => gather(rows, at + 2),
            Format::Q5_1 => gather(rows, at + 4),
            _ => _mm256_setzero_si256(),
        };
        Raw { head: gather(rows, at), top, values: values::<F>(rows, at) }
    }
}

/// The bytes of the values of the block at `at` of each row.
///
/// # Safety
/// The block is readable.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn values<const F: usize>(rows: &Rows, at: usize) -> [__m256i; 8] {
    let start = match const { Format::ALL[F] } {
        Format::MXFP4 => 1,
        Format::Q4_1 => 4,
        Format::Q5_0 => 6,
        Format::Q5_1 => 8,
        _ => 2,
    };
    // SAFETY: every read is inside the block.
    unsafe {
        let [a, b, c, d] = transpose(rows, at + start);
        let [e, f, g, h] = match const { Format::ALL[F] } {
            Format::Q8_0 => transpose(rows, at + start + 16),
            _ => [_mm256_setzero_si256(); 4],
        };
        [a, b, c, d, e, f, g, h]
    }
}

/// The unsigned values: 8 groups of 4 k.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn groups<const F: usize>(values: [__m256i; 8], top: __m256i) -> [__m256i; 8] {
    match const { Format::ALL[F] } {
        Format::Q4_0 | Format::Q4_1 => halves(values),
        Format::Q5_0 | Format::Q5_1 => with_tops(halves(values), top),
        Format::IQ4_NL => coded(halves(values), &IQ4_VALUES, 128),
        Format::MXFP4 => coded(halves(values), &MXFP4_VALUES, 12),
        _ => {
            let flip = _mm256_set1_epi8(-128);
            values.map(|v| _mm256_xor_si256(v, flip))
        }
    }
}

/// The scale, and the minimum or nothing of use, from the first 4 bytes of a block (MXFP4: from its first byte).
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn factors<const F: usize>(head: __m256i) -> (__m256, __m256) {
    match const { Format::ALL[F] } {
        Format::MXFP4 => (power_of_two(head), _mm256_setzero_ps()),
        format if has_min(format) => (widen(head), widen(_mm256_srli_epi32::<16>(head))),
        _ => (widen(head), _mm256_setzero_ps()),
    }
}

/// 16 bytes of each row as the 8 groups of their low, then high halves.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn halves(v: [__m256i; 8]) -> [__m256i; 8] {
    [
        nibbles::<0>(v[0]),
        nibbles::<0>(v[1]),
        nibbles::<0>(v[2]),
        nibbles::<0>(v[3]),
        nibbles::<4>(v[0]),
        nibbles::<4>(v[1]),
        nibbles::<4>(v[2]),
        nibbles::<4>(v[3]),
    ]
}

/// [`halves`], the high ones 16 times too large.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn unshifted(v: [__m256i; 8]) -> [__m256i; 8] {
    let (low, high) = (_mm256_set1_epi8(0x0F), _mm256_set1_epi8(0xF0_u8 as i8));
    std::array::from_fn(|g| _mm256_and_si256(v[g % 4], if g < 4 { low } else { high }))
}

/// Adds bit i of `tops` as bit 4 of value i.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn with_tops(groups: [__m256i; 8], tops: __m256i) -> [__m256i; 8] {
    // Group g needs bits 4g..4g+4: spread byte g / 2 over the lane, keep one bit in each byte, make it 16.
    let (low, high) = (_mm256_set1_epi32(0x0804_0201), _mm256_set1_epi32(0x8040_2010u32 as i32));
    let lanes = _mm256_setr_epi32(0, 0x0404_0404, 0x0808_0808, 0x0C0C_0C0C, 0, 0x0404_0404, 0x0808_0808, 0x0C0C_0C0C);
    let mut out = groups;
    for (g, out) in out.iter_mut().enumerate() {
        let byte = _mm256_shuffle_epi8(tops, _mm256_add_epi8(lanes, _mm256_set1_epi8((g / 2) as i8)));
        let bit = if g % 2 == 0 { low } else { high };
        let set = _mm256_cmpeq_epi8(_mm256_and_si256(byte, bit), bit);
        *out = _mm256_or_si256(*out, _mm256_and_si256(set, _mm256_set1_epi8(16)));
    }
    out
}

/// Replaces 4-bit codes by their values plus a bias that makes them unsigned.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn coded(groups: [__m256i; 8], values: &[i8; 16], bias: u8) -> [__m256i; 8] {
    let bias = _mm256_set1_epi8(bias as i8);
    groups.map(|v| _mm256_add_epi8(look_up(values, v), bias))
}

/// The half-precision numbers in the low 16 bits of each lane.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn widen(v: __m256i) -> __m256 {
    let low = _mm256_and_si256(v, _mm256_set1_epi32(0xFFFF));
    let packed = _mm256_permute4x64_epi64::<0b1000>(_mm256_packus_epi32(low, low));
    _mm256_cvtph_ps(_mm256_castsi256_si128(packed))
}

/// `block::e8m0_half` of each lane.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn power_of_two(e: __m256i) -> __m256 {
    let e = _mm256_and_si256(e, _mm256_set1_epi32(0xFF));
    let normal = _mm256_slli_epi32::<23>(_mm256_sub_epi32(e, _mm256_set1_epi32(1)));
    let tiny = _mm256_sllv_epi32(_mm256_set1_epi32(0x0020_0000), e);
    _mm256_castsi256_ps(_mm256_blendv_epi8(tiny, normal, _mm256_cmpgt_epi32(e, _mm256_set1_epi32(1))))
}
