//! The formats whose weights are points of a grid, IQ1, IQ2 and IQ3: one reader for every set, in plain 64-bit arithmetic.
//!
//! A block stores, for every eight weights, the number of a point (IQ3: of two points of four values) and, apart from it, the
//! signs; read it becomes bytes and integer scales like any other block of 256. `GROUP` values share a scale.
//! Source of layouts and points: `gguf/quants.py` of the `gguf` Python package (0.19), which took them from llama.cpp.

use crate::format::Format;

/// Which points belong to a grid: one bit for each that its values could form, lowest first. The number of a point in a grid
/// is its rank; the number among all is read as digits, the first value's lowest. Grids follow in the order of the statics
/// below, each from a new byte on.
const MEMBERS: &[u8; 4 * BYTES_OF_8 + 2 * BYTES_OF_4] = include_bytes!("grids.bin");

/// Bits of points of 8 of 3 values, and of 4 of 8 values, as bytes.
const BYTES_OF_8: usize = 3usize.pow(8).div_ceil(8);
const BYTES_OF_4: usize = 8usize.pow(4).div_ceil(8);

/// The magnitudes in IQ2, in IQ3_XXS and in IQ3_S.
const IQ2_VALUES: [u8; 3] = [8, 25, 43];
const IQ3_XXS_VALUES: [u8; 8] = [4, 12, 20, 28, 36, 44, 52, 62];
const IQ3_S_VALUES: [u8; 8] = [1, 3, 5, 7, 9, 11, 13, 15];

/// -8, 0 and 8 plus 128 + 9: so much, that taking 8 or 10 away borrows from no other byte.
const IQ1_VALUES: [u8; 3] = [129, 137, 145];

static IQ2_XXS: [u64; 256] = points(0, IQ2_VALUES, 8);
static IQ2_XS: [u64; 512] = points(BYTES_OF_8, IQ2_VALUES, 8);
static IQ2_S: [u64; 1024] = points(2 * BYTES_OF_8, IQ2_VALUES, 8);
static IQ1: [u64; 2048] = points(3 * BYTES_OF_8, IQ1_VALUES, 8);
static IQ3_XXS: [u32; 256] = fours(points(4 * BYTES_OF_8, IQ3_XXS_VALUES, 4));
static IQ3_S: [u32; 512] = fours(points(4 * BYTES_OF_8 + BYTES_OF_4, IQ3_S_VALUES, 4));

/// All bits of byte i where bit i of the index is set.
static SIGNS: [u64; 256] = {
    let mut signs = [0; 256];
    let mut i = 0;
    while i < 256 {
        signs[i] = signs_of(i);
        i += 1;
    }
    signs
};

/// The same of 7 bits, below an eighth that makes their number even.
static EVEN_SIGNS: [u64; 128] = {
    let mut signs = [0; 128];
    let mut i = 0;
    while i < 128 {
        signs[i] = signs_of(i | (i.count_ones() as usize % 2) << 7);
        i += 1;
    }
    signs
};

/// The points of a grid whose bits start at byte `at`, value i of `len` in byte i.
const fn points<const N: usize, const VALUES: usize>(at: usize, values: [u8; VALUES], len: usize) -> [u64; N] {
    let mut points = [0; N];
    let (mut rank, mut number) = (0, 0);
    while rank < N {
        if MEMBERS[at + number / 8] >> (number % 8) & 1 == 1 {
            let (mut digits, mut i) = (number, 0);
            while i < len {
                points[rank] |= (values[digits % VALUES] as u64) << (8 * i);
                digits /= VALUES;
                i += 1;
            }
            rank += 1;
        }
        number += 1;
    }
    points
}

/// Points of four values in half the space.
const fn fours<const N: usize>(points: [u64; N]) -> [u32; N] {
    let mut fours = [0; N];
    let mut i = 0;
    while i < N {
        fours[i] = points[i] as u32;
        i += 1;
    }
    fours
}

const fn signs_of(bits: usize) -> u64 {
    let (mut signs, mut i) = (0, 0);
    while i < 8 {
        signs |= (0xFF * (bits as u64 >> i & 1)) << (8 * i);
        i += 1;
    }
    signs
}

/// Values that share a scale, 16 or 32; 0 for formats without a grid.
pub(crate) const fn group(format: Format) -> usize {
    use Format::*;
    match format {
        IQ1_M | IQ2_XS | IQ2_S => 16,
        IQ1_S | IQ2_XXS | IQ3_XXS | IQ3_S => 32,
        _ => 0,
    }
}

/// What a block's half-precision number is multiplied with, so that scales are odd integers and values are integers.
pub(crate) const fn factor(format: Format) -> f32 {
    match format {
        Format::IQ3_S => 1.0,
        Format::IQ3_XXS => 0.25,
        _ => 0.125,
    }
}

/// The bits of a block's half-precision number.
#[inline(always)]
pub(crate) fn d_bits(format: Format, b: &[u8]) -> u16 {
    if matches!(format, Format::IQ1_M) {
        // Four bits at the top of each of the last four words.
        let b: &[u8; 56] = block(b);
        return (0..4).fold(0, |bits, i| bits | u16::from(b[49 + 2 * i] >> 4) << (4 * i));
    }
    u16::from_le_bytes([b[0], b[1]])
}

/// The scales of the groups of a block: 16, or 8 and then zeros.
#[inline(always)]
pub(crate) fn scales(format: Format, b: &[u8]) -> [i8; 16] {
    let odd = |bits: u8| (2 * bits + 1) as i8;
    let nibble = |b: &[u8], j: usize| odd(b[j / 2] >> (4 * (j % 2)) & 15);
    // Formats with a word of four bytes for every 32 values, the scale on top.
    let top = |b: &[u8], stride: usize, j: usize| odd(b[stride * j] >> 4);
    let eight = |scale: &dyn Fn(usize) -> i8| std::array::from_fn(|j| if j < 8 { scale(j) } else { 0 });
    match format {
        Format::IQ2_XXS => eight(&|j| top(&block::<66>(b)[9..], 8, j)),
        Format::IQ2_XS => std::array::from_fn(|j| nibble(&block::<74>(b)[66..], j)),
        Format::IQ2_S => std::array::from_fn(|j| nibble(&block::<82>(b)[74..], j)),
        Format::IQ3_XXS => eight(&|j| top(&block::<98>(b)[69..], 4, j)),
        Format::IQ3_S => eight(&|j| nibble(&block::<110>(b)[106..], j)),
        Format::IQ1_S => eight(&|j| odd(block::<50>(b)[35 + 2 * j] >> 4 & 7)),
        Format::IQ1_M => {
            let b: &[u8; 56] = block(b);
            std::array::from_fn(|j| odd((word16(&b[48 + j / 4 * 2..]) >> (3 * (j % 4)) & 7) as u8))
        }
        _ => panic!("{format:?} has no grid"),
    }
}

/// The 128 integers of one half of a block, eight a word, lowest byte first. Not inlined: seven formats times all the places
/// that unpack would be a tenth of a megabyte.
#[inline(never)]
pub(crate) fn half<const F: usize, const HALF: usize>(b: &[u8]) -> [u64; 16] {
    match const { Format::ALL[F] } {
        // For every 32 values: 4 points, then 4 times 7 bits of signs below the scale.
        Format::IQ2_XXS => {
            let b: &[u8; 66] = block(b);
            words::<HALF>(|g, i| signed(IQ2_XXS[usize::from(b[2 + 8 * g + i])], even(word32(&b[6 + 8 * g..]), i)))
        }
        // 9 bits of a point and 7 of signs.
        Format::IQ2_XS => {
            let b: &[u8; 74] = block(b);
            words::<HALF>(|g, i| {
                let word = usize::from(word16(&b[2 + 8 * g + 2 * i..]));
                signed(IQ2_XS[word % 512], EVEN_SIGNS[word / 512])
            })
        }
        // 32 bytes of points, 32 of signs, 8 with the 2 high bits of points.
        Format::IQ2_S => {
            let b: &[u8; 82] = block(b);
            words::<HALF>(|g, i| {
                let high = usize::from(b[66 + g] >> (2 * i) & 3);
                signed(IQ2_S[usize::from(b[2 + 4 * g + i]) | high << 8], SIGNS[usize::from(b[34 + 4 * g + i])])
            })
        }
        // 64 bytes of points, then signs and scales as in IQ2_XXS.
        Format::IQ3_XXS => {
            let b: &[u8; 98] = block(b);
            words::<HALF>(|g, i| {
                let [low, high] = [0, 1].map(|j| IQ3_XXS[usize::from(b[2 + 8 * g + 2 * i + j])]);
                signed(u64::from(low) | u64::from(high) << 32, even(word32(&b[66 + 4 * g..]), i))
            })
        }
        // 64 bytes of points, 8 with their high bits, 32 of signs.
        Format::IQ3_S => {
            let b: &[u8; 110] = block(b);
            words::<HALF>(|g, i| {
                let [low, high] = [2 * i, 2 * i + 1].map(|j| {
                    let ninth = usize::from(b[66 + g] >> j & 1);
                    IQ3_S[usize::from(b[2 + 8 * g + j]) | ninth << 8]
                });
                signed(u64::from(low) | u64::from(high) << 32, SIGNS[usize::from(b[74 + 4 * g + i])])
            })
        }
        // 32 bytes of points; for every 32 values 4 times 3 high bits, the scale, and which way all values lie off the grid.
        Format::IQ1_S => {
            let b: &[u8; 50] = block(b);
            words::<HALF>(|g, i| {
                let high = usize::from(word16(&b[34 + 2 * g..]));
                beside(usize::from(b[2 + 4 * g + i]) | (high >> (3 * i) & 7) << 8, high >> 15)
            })
        }
        // The same with 4 bits a point.
        Format::IQ1_M => {
            let b: &[u8; 56] = block(b);
            words::<HALF>(|g, i| {
                let high = usize::from(b[32 + 2 * g + i / 2] >> (4 * (i % 2)));
                beside(usize::from(b[4 * g + i]) | (high & 7) << 8, high >> 3 & 1)
            })
        }
        format => panic!("{format:?} has no grid"),
    }
}

/// The words of one half, each from which 32 values of the block and which 8 of these it holds. In fours, because the compiler
/// unrolls four and not sixteen, and i is a constant then.
#[inline(always)]
fn words<const HALF: usize>(word: impl Fn(usize, usize) -> u64) -> [u64; 16] {
    let mut words = [0; 16];
    for (g, four) in words.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        *four = std::array::from_fn(|i| word(4 * HALF + g, i));
    }
    words
}

/// A block of known size, which the compiler then tests once and not at every read.
#[inline(always)]
fn block<const N: usize>(b: &[u8]) -> &[u8; N] {
    b.try_into().expect("callers hand over one block of the format")
}

#[inline(always)]
fn word16(b: &[u8]) -> u16 {
    u16::from_le_bytes([b[0], b[1]])
}

#[inline(always)]
fn word32(b: &[u8]) -> u32 {
    u32::from_le_bytes([b[0], b[1], b[2], b[3]])
}

/// The signs of point `i` of four in a word with 7 bits for each.
#[inline(always)]
fn even(word: u32, i: usize) -> u64 {
    EVEN_SIGNS[(word >> (7 * i) & 127) as usize]
}

/// The bytes of `point` (none is 0), negated where `signs` has all bits.
#[inline(always)]
fn signed(point: u64, signs: u64) -> u64 {
    // A byte that is not 0 has a complement below 255: adding 1 to it carries nothing on.
    (point ^ signs).wrapping_add(signs & 0x0101_0101_0101_0101)
}

/// A point of IQ1 in eighths of its unit, one eighth up or (`down` = 1) down.
#[inline(always)]
fn beside(point: usize, down: usize) -> u64 {
    let off = 0x0808_0808_0808_0808 + 0x0202_0202_0202_0202 * down as u64;
    IQ1[point].wrapping_sub(off) ^ 0x8080_8080_8080_8080
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FNV-1a of the points' bytes, first value first.
    fn hash(bytes: impl Iterator<Item = u8>) -> u64 {
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
    }

    fn hash8(points: &[u64]) -> u64 {
        hash(points.iter().flat_map(|point| point.to_le_bytes()))
    }

    fn hash4(points: &[u32]) -> u64 {
        hash(points.iter().flat_map(|point| point.to_le_bytes()))
    }

    /// The expected hashes are of the arrays `gguf.quants.IQ2_XXS.grid` and so on (IQ1: times 8, plus 137).
    #[test]
    #[cfg_attr(miri, ignore = "a hash of tables, without a pointer")]
    fn every_point_is_that_of_the_gguf_package() {
        assert_eq!(hash8(&IQ2_XXS), 0xbb4e_e025_b5ac_6e8e);
        assert_eq!(hash8(&IQ2_XS), 0xc9b1_ee61_e799_09bd);
        assert_eq!(hash8(&IQ2_S), 0x123e_dd38_a3b6_2b90);
        assert_eq!(hash8(&IQ1), 0x0d7e_0c6f_7d0f_c02d);
        assert_eq!(hash4(&IQ3_XXS), 0xdfa5_dc83_d6a1_55d5);
        assert_eq!(hash4(&IQ3_S), 0xfa37_020c_25b4_4829);
    }
}
