//! The byte layout of every quantized block, read the plain way: the specification the fast kernels are tested against.
//!
//! Source: the GGUF block structures as llama.cpp and the `gguf` Python package define them.

use half::f16;

use crate::format::Format;
use crate::grids;

/// 32 values: `d * q[i] + m`.
#[derive(Clone, Debug)]
pub(crate) struct Block32 {
    /// The integers with the format's bias applied.
    pub q: [i8; 32],
    /// Scale.
    pub d: f32,
    /// What is added to every value; only Q4_1 and Q5_1 have it.
    pub m: Option<f32>,
}

/// 256 values in 16 groups of 16: `d * scale[j] * q[16 * j + i] - dmin * min[j]`.
#[derive(Clone, Debug)]
pub(crate) struct Block256 {
    /// The integers with the format's bias applied.
    pub q: [i8; 256],
    /// Integer scale of each 16 values (formats with a scale per 32 repeat it).
    pub scale: [i16; 16],
    /// Integer minimum of each 16 values.
    pub min: [i16; 16],
    /// Scale of the scales.
    pub d: f32,
    /// Scale of the minimums; only Q2_K, Q4_K and Q5_K have it.
    pub dmin: Option<f32>,
}

/// What the 4 bits of IQ4_NL and IQ4_XS stand for.
pub(crate) const IQ4_VALUES: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// Twice what the 4 bits of MXFP4 (E2M1) stand for; the factor 1/2 is in `e8m0_half`.
pub(crate) const MXFP4_VALUES: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// Reads a half-precision number.
pub(crate) fn f16_at(bytes: &[u8], at: usize) -> f32 {
    f16::from_bits(u16::from_le_bytes([bytes[at], bytes[at + 1]])).to_f32()
}

/// Half of the power of two an MXFP4 block's first byte stands for: `2^(e - 128)`, subnormal for 0 and 1.
pub(crate) fn e8m0_half(e: u8) -> f32 {
    match e {
        0 => f32::from_bits(0x0020_0000),
        1 => f32::from_bits(0x0040_0000),
        _ => f32::from_bits(u32::from(e - 1) << 23),
    }
}

/// The 8 scales and 8 minimums of Q4_K and Q5_K, 6 bits each in 12 bytes.
pub(crate) fn scales_and_mins(packed: &[u8]) -> ([u8; 8], [u8; 8]) {
    let (mut scale, mut min) = ([0; 8], [0; 8]);
    for j in 0..4 {
        scale[j] = packed[j] & 63;
        min[j] = packed[j + 4] & 63;
        scale[j + 4] = packed[j + 8] & 15 | packed[j] >> 6 << 4;
        min[j + 4] = packed[j + 8] >> 4 | packed[j + 4] >> 6 << 4;
    }
    (scale, min)
}

/// The 16 biased (0..=63) scales of Q3_K, 6 bits each in 12 bytes: 4 low bits in the first 8, 2 high bits in the last 4.
pub(crate) fn q3_k_scales(packed: &[u8]) -> [u8; 16] {
    std::array::from_fn(|j| {
        let low = packed[j % 8] >> (4 * (j / 8)) & 15;
        let high = packed[8 + j % 4] >> (2 * (j / 4)) & 3;
        low | high << 4
    })
}

/// Reads one block of a format with 32 values. Panics on another format or a wrong length.
pub(crate) fn read32(format: Format, b: &[u8]) -> Block32 {
    assert_eq!(b.len(), format.block_bytes());
    // Nibble i: the low halves of the 16 bytes first, then the high halves.
    let nibble = |at: usize, i: usize| (b[at + i % 16] >> (4 * (i / 16)) & 15) as i8;
    // Bit i of the 32 high bits of the 5-bit formats.
    let high = |at: usize, i: usize| ((b[at + i / 8] >> (i % 8) & 1) << 4) as i8;
    let make = |d, m, q: &dyn Fn(usize) -> i8| Block32 { q: std::array::from_fn(q), d, m };
    match format {
        Format::Q4_0 => make(f16_at(b, 0), None, &|i| nibble(2, i) - 8),
        Format::Q4_1 => make(f16_at(b, 0), Some(f16_at(b, 2)), &|i| nibble(4, i)),
        Format::Q5_0 => make(f16_at(b, 0), None, &|i| (nibble(6, i) | high(2, i)) - 16),
        Format::Q5_1 => make(f16_at(b, 0), Some(f16_at(b, 2)), &|i| nibble(8, i) | high(4, i)),
        Format::Q8_0 => make(f16_at(b, 0), None, &|i| b[2 + i] as i8),
        Format::IQ4_NL => make(f16_at(b, 0), None, &|i| IQ4_VALUES[nibble(2, i) as usize]),
        Format::MXFP4 => make(e8m0_half(b[0]), None, &|i| MXFP4_VALUES[nibble(1, i) as usize]),
        _ => panic!("{format:?} has no blocks of 32"),
    }
}

/// Reads one block of a format with 256 values. Panics on another format or a wrong length.
pub(crate) fn read256(format: Format, b: &[u8]) -> Block256 {
    assert_eq!(b.len(), format.block_bytes());
    match format {
        Format::Q2_K => Block256 {
            // 16 bytes scale|min, then 2 x 32 bytes: bits 0-1 of all 32, bits 2-3 of all 32, ...
            q: std::array::from_fn(|i| (b[16 + i / 128 * 32 + i % 32] >> (2 * (i % 128 / 32)) & 3) as i8),
            scale: std::array::from_fn(|j| i16::from(b[j] & 15)),
            min: std::array::from_fn(|j| i16::from(b[j] >> 4)),
            d: f16_at(b, 80),
            dmin: Some(f16_at(b, 82)),
        },
        Format::Q3_K => {
            let scale = q3_k_scales(&b[96..108]);
            Block256 {
                // 32 bytes of high bits (bit i / 32), then low bits laid out like Q2_K.
                q: std::array::from_fn(|i| {
                    let low = b[32 + i / 128 * 32 + i % 32] >> (2 * (i % 128 / 32)) & 3;
                    let high = b[i % 32] >> (i / 32) & 1;
                    (low | high << 2) as i8 - 4
                }),
                scale: std::array::from_fn(|j| i16::from(scale[j]) - 32),
                min: [0; 16],
                d: f16_at(b, 108),
                dmin: None,
            }
        }
        Format::Q4_K | Format::Q5_K => {
            let (scale, min) = scales_and_mins(&b[4..16]);
            let five = format == Format::Q5_K;
            let qs = if five { 48 } else { 16 };
            Block256 {
                // Each 32 bytes hold two groups of 32: low halves first. Q5_K: bit i / 32 of 32 more bytes on top.
                q: std::array::from_fn(|i| {
                    let low = b[qs + i / 64 * 32 + i % 32] >> (4 * (i % 64 / 32)) & 15;
                    let high = if five { b[16 + i % 32] >> (i / 32) & 1 } else { 0 };
                    (low | high << 4) as i8
                }),
                scale: std::array::from_fn(|j| i16::from(scale[j / 2])),
                min: std::array::from_fn(|j| i16::from(min[j / 2])),
                d: f16_at(b, 0),
                dmin: Some(f16_at(b, 2)),
            }
        }
        Format::Q6_K => Block256 {
            // Two halves of 128: 64 bytes of low nibbles (first 64 values low, next 64 high), 32 bytes of 2-bit tops.
            q: std::array::from_fn(|i| {
                let (h, i) = (i / 128, i % 128);
                let low = b[h * 64 + i % 64] >> (4 * (i / 64)) & 15;
                let high = b[128 + h * 32 + i % 32] >> (2 * (i / 32)) & 3;
                (low | high << 4) as i8 - 32
            }),
            scale: std::array::from_fn(|j| i16::from(b[192 + j] as i8)),
            min: [0; 16],
            d: f16_at(b, 208),
            dmin: None,
        },
        Format::IQ4_XS => Block256 {
            q: std::array::from_fn(|i| IQ4_VALUES[(b[8 + i / 32 * 16 + i % 16] >> (4 * (i % 32 / 16)) & 15) as usize]),
            scale: std::array::from_fn(|j| {
                let j = j / 2;
                let low = b[4 + j / 2] >> (4 * (j % 2)) & 15;
                let high = b[2 + j / 4] >> (2 * (j % 4)) & 3;
                i16::from(low | high << 4) - 32
            }),
            min: [0; 16],
            d: f16_at(b, 0),
            dmin: None,
        },
        Format::IQ1_S => on_grid::<{ Format::IQ1_S as usize }>(b),
        Format::IQ1_M => on_grid::<{ Format::IQ1_M as usize }>(b),
        Format::IQ2_XXS => on_grid::<{ Format::IQ2_XXS as usize }>(b),
        Format::IQ2_XS => on_grid::<{ Format::IQ2_XS as usize }>(b),
        Format::IQ2_S => on_grid::<{ Format::IQ2_S as usize }>(b),
        Format::IQ3_XXS => on_grid::<{ Format::IQ3_XXS as usize }>(b),
        Format::IQ3_S => on_grid::<{ Format::IQ3_S as usize }>(b),
        _ => panic!("{format:?} has no blocks of 256"),
    }
}

/// Reads one block of a format with a grid.
fn on_grid<const F: usize>(b: &[u8]) -> Block256 {
    let format = const { Format::ALL[F] };
    let halves = [grids::half::<F, 0>(b), grids::half::<F, 1>(b)];
    let scale = grids::scales(format, b);
    Block256 {
        q: std::array::from_fn(|i| halves[i / 128][i % 128 / 8].to_le_bytes()[i % 8] as i8),
        scale: std::array::from_fn(|j| i16::from(scale[16 * j / grids::group(format)])),
        min: [0; 16],
        d: f16::from_bits(grids::d_bits(format, b)).to_f32() * grids::factor(format),
        dmin: None,
    }
}
