//! The formats with a scale per 32 values: from block bytes to 8-bit weights, scales and minimums. Layouts: `block.rs`.

use super::intrinsics::*;

use super::load::{bytes16_at, table};
use crate::block;

/// One format of blocks of 32 values in `N` bytes.
pub(crate) trait Block32<const N: usize> {
    /// `weights` are this much above the format's integers. The caller takes `BIAS` times the sum of the activations
    /// off its dot product, one instruction for four rows.
    const BIAS: i8 = 0;
    /// Whether there is a minimum.
    const MIN: bool = false;
    /// Bytes of scale and minimum at the start of a block: 1, 2 or 4.
    const HEAD: usize = if Self::MIN { 4 } else { 2 };
    /// So many bytes before a block begin the two or three whole registers that end with it.
    const LEAD: usize = (if N < 32 { 32 } else { 48 }) - N;
    /// Most tokens that are cheaper one by one than with rows unpacked for all of them: by instructions and, where those are near
    /// each other, by cycles.
    const ONE_BY_ONE: usize = 2;

    /// The 32 integers, `BIAS` too large, of a block and what its values are packed in: its last 32 bytes, where it is longer than
    /// that, else its last 16 twice.
    fn unpack(b: &[u8; N], q: [uint8x16_t; 2]) -> [int8x16_t; 2];

    /// The 32 integers, `BIAS` too large.
    #[inline(always)]
    fn weights(b: &[u8; N]) -> [int8x16_t; 2] {
        Self::unpack(b, packed(b))
    }

    /// Scales and minimums of 4 rows, whose first `HEAD` bytes are the first four lanes of that width.
    #[inline(always)]
    fn scales(heads: uint8x16_t) -> [float32x4_t; 2] {
        if Self::MIN {
            let heads = vreinterpretq_u32_u8(heads);
            halves([vmovn_u32(heads), vshrn_n_u32::<16>(heads)])
        } else {
            halves([vget_low_u16(vreinterpretq_u16_u8(heads)); 2])
        }
    }
}

/// What `unpack` takes of a block.
#[inline(always)]
fn packed<const N: usize>(b: &[u8; N]) -> [uint8x16_t; 2] {
    let last = bytes16_at(b, N - 16);
    [if N < 32 { last } else { bytes16_at(b, N - 32) }, last]
}

/// Half-precision numbers as floats.
#[inline(always)]
pub(crate) fn halves(bits: [uint16x4_t; 2]) -> [float32x4_t; 2] {
    bits.map(|bits| vcvt_f32_f16(vreinterpret_f16_u16(bits)))
}

/// Low and high 4 bits of 16 bytes, 0..=15.
#[inline(always)]
pub(crate) fn nibbles(q: uint8x16_t) -> [uint8x16_t; 2] {
    [vandq_u8(q, vdupq_n_u8(15)), vshrq_n_u8::<4>(q)]
}

/// As signed bytes.
#[inline(always)]
pub(crate) fn signed<const R: usize>(q: [uint8x16_t; R]) -> [int8x16_t; R] {
    q.map(vreinterpretq_s8_u8)
}

/// The codebook's entries for the low and high 4 bits.
#[inline(always)]
pub(crate) fn looked_up(q: uint8x16_t, codebook: uint8x16_t) -> [int8x16_t; 2] {
    let [low, high] = nibbles(q);
    signed([vqtbl1q_u8(codebook, low), vqtbl1q_u8(codebook, high)])
}

/// A codebook as bytes.
pub(crate) const fn as_bytes(values: [i8; 16]) -> [u8; 16] {
    let mut bytes = [0; 16];
    let mut i = 0;
    while i < 16 {
        bytes[i] = values[i] as u8;
        i += 1;
    }
    bytes
}

/// What the 4 bits of IQ4_NL and IQ4_XS stand for.
pub(crate) static IQ4_BYTES: [u8; 16] = as_bytes(block::IQ4_VALUES);

/// Twice what the 4 bits of MXFP4 stand for.
static MXFP4_BYTES: [u8; 16] = as_bytes(block::MXFP4_VALUES);

/// 5 bits less 16: nibbles and the 32 high bits at byte `AT`.
#[inline(always)]
fn five_bits<const AT: usize, const N: usize>(b: &[u8; N], q: uint8x16_t) -> [int8x16_t; 2] {
    static BIT: [u8; 16] = [1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128];
    static BYTE: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1];
    let bits = u32::from_le_bytes([b[AT], b[AT + 1], b[AT + 2], b[AT + 3]]);
    // A set bit of the complement becomes -1 and, shifted in above the nibble, -16.
    let clear = vreinterpretq_u8_u32(vdupq_n_u32(!bits));
    let (bit, byte) = (table(&BIT), table(&BYTE));
    let low_clear = vtstq_u8(vqtbl1q_u8(clear, byte), bit);
    let high_clear = vtstq_u8(vqtbl1q_u8(clear, vaddq_u8(byte, vdupq_n_u8(2))), bit);
    let [low, high] = nibbles(q);
    signed([vsliq_n_u8::<4>(low, low_clear), vsliq_n_u8::<4>(high, high_clear)])
}

/// 4 bits, bias -8.
pub(crate) struct Q4_0;

impl Block32<18> for Q4_0 {
    const BIAS: i8 = 8;

    #[inline(always)]
    fn unpack(_: &[u8; 18], [_, q]: [uint8x16_t; 2]) -> [int8x16_t; 2] {
        signed(nibbles(q))
    }
}

/// 4 bits and a minimum.
pub(crate) struct Q4_1;

impl Block32<20> for Q4_1 {
    const MIN: bool = true;

    #[inline(always)]
    fn unpack(_: &[u8; 20], [_, q]: [uint8x16_t; 2]) -> [int8x16_t; 2] {
        signed(nibbles(q))
    }
}

/// 5 bits, bias -16.
pub(crate) struct Q5_0;

impl Block32<22> for Q5_0 {
    const ONE_BY_ONE: usize = 1;

    #[inline(always)]
    fn unpack(b: &[u8; 22], [_, q]: [uint8x16_t; 2]) -> [int8x16_t; 2] {
        five_bits::<2, 22>(b, q)
    }
}

/// 5 bits and a minimum.
pub(crate) struct Q5_1;

impl Block32<24> for Q5_1 {
    const ONE_BY_ONE: usize = 1;
    const BIAS: i8 = -16;
    const MIN: bool = true;

    #[inline(always)]
    fn unpack(b: &[u8; 24], [_, q]: [uint8x16_t; 2]) -> [int8x16_t; 2] {
        five_bits::<4, 24>(b, q)
    }
}

/// 8 bits.
pub(crate) struct Q8_0;

impl Block32<34> for Q8_0 {
    const ONE_BY_ONE: usize = 3;

    #[inline(always)]
    fn unpack(_: &[u8; 34], q: [uint8x16_t; 2]) -> [int8x16_t; 2] {
        signed(q)
    }
}

/// 4 bits through a codebook.
pub(crate) struct Iq4Nl;

impl Block32<18> for Iq4Nl {
    #[inline(always)]
    fn unpack(_: &[u8; 18], [_, q]: [uint8x16_t; 2]) -> [int8x16_t; 2] {
        looked_up(q, table(&IQ4_BYTES))
    }
}

/// 4-bit floats with a power of two.
pub(crate) struct Mxfp4;

impl Block32<17> for Mxfp4 {
    const HEAD: usize = 1;

    #[inline(always)]
    fn unpack(_: &[u8; 17], [_, q]: [uint8x16_t; 2]) -> [int8x16_t; 2] {
        looked_up(q, table(&MXFP4_BYTES))
    }

    #[inline(always)]
    fn scales(heads: uint8x16_t) -> [float32x4_t; 2] {
        let e = vmovl_u16(vget_low_u16(vmovl_u8(vget_low_u8(heads))));
        // 2^(e - 128): exponent e - 1, and the two subnormals below it.
        let normal = vshlq_n_u32::<23>(vsubq_u32(e, vdupq_n_u32(1)));
        let subnormal = vshlq_u32(vdupq_n_u32(0x0020_0000), vreinterpretq_s32_u32(e));
        let is_normal = vcgtq_u32(e, vdupq_n_u32(1));
        [vreinterpretq_f32_u32(vbslq_u32(is_normal, normal, subnormal)); 2]
    }
}
