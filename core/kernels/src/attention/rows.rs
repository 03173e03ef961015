//! Keys and values of every format as floats.

use crate::attention::format::BLOCK;
use crate::attention::{KvFormat, MAX_HEAD_DIM};
use crate::float::load_f16;
use crate::float::vector::Vector;

/// Widens rows of `dim` values, exactly, to rows padded with zeros to a multiple of 16.
#[inline(always)]
pub(crate) fn widen<V: Vector>(format: KvFormat, rows: &[u16], dim: usize, wide: &mut [f32]) {
    let stride = dim.next_multiple_of(16);
    if format == KvFormat::F16 && stride == dim {
        return load_f16::<V>(rows, wide);
    }
    for (row, wide) in rows.chunks_exact(format.row_len(dim)).zip(wide.chunks_exact_mut(stride)) {
        match format {
            KvFormat::F16 => load_f16::<V>(row, &mut wide[..dim]),
            KvFormat::Q8_0 => blocks::<V, 17>(row, wide, q8_0),
            KvFormat::Q4_0 => blocks::<V, 9>(row, wide, q4_0),
        }
        wide[dim..].fill(0.0);
    }
}

/// Decodes a row of blocks of `N` words, of which the first is the scale.
#[inline(always)]
fn blocks<V: Vector, const N: usize>(
    row: &[u16],
    wide: &mut [f32],
    decode: impl Fn(&[u16; N], f32, &mut [f32; BLOCK]),
) {
    const MOST: usize = MAX_HEAD_DIM / BLOCK;
    let row = row.as_chunks::<N>().0;
    let (mut bits, mut scales) = ([0; MOST], [0.0; MOST]);
    for (bits, block) in bits.iter_mut().zip(row) {
        *bits = block[0];
    }
    load_f16::<V>(&bits, &mut scales);
    for ((block, wide), d) in row.iter().zip(wide.as_chunks_mut().0).zip(scales) {
        decode(block, d, wide);
    }
}

/// 8 bits: an integer times a scale of 11 bits is exact.
#[inline(always)]
fn q8_0(block: &[u16; 17], d: f32, wide: &mut [f32; BLOCK]) {
    for (word, wide) in block[1..].iter().zip(wide.as_chunks_mut::<2>().0) {
        *wide = word.to_le_bytes().map(|q| d * f32::from(q as i8));
    }
}

/// 4 bits less 8: low halves first, then high halves.
#[inline(always)]
fn q4_0(block: &[u16; 9], d: f32, wide: &mut [f32; BLOCK]) {
    let (low, high) = wide.split_at_mut(BLOCK / 2);
    for (i, word) in block[1..].iter().enumerate() {
        for (j, byte) in word.to_le_bytes().into_iter().enumerate() {
            low[2 * i + j] = d * (f32::from(byte & 15) - 8.0);
            high[2 * i + j] = d * (f32::from(byte >> 4) - 8.0);
        }
    }
}
