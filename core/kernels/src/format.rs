//! The block formats of weight rows: sizes, and which kind of activations they are multiplied with.

use crate::activations::ActivationKind;

/// How the values of a weight row are stored, named as GGUF names them. Layouts: `block.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(non_camel_case_types, reason = "the field knows these formats by these names")]
pub enum Format {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of a single.
    BF16,
    /// 4 bits, scale per 32, bias -8.
    Q4_0,
    /// 4 bits, scale and minimum per 32.
    Q4_1,
    /// 5 bits, scale per 32, bias -16.
    Q5_0,
    /// 5 bits, scale and minimum per 32.
    Q5_1,
    /// Signed 8 bits, scale per 32.
    Q8_0,
    /// 2 bits, 4-bit scale and minimum per 16 inside 256.
    Q2_K,
    /// 3 bits, bias -4, 6-bit signed scale per 16 inside 256.
    Q3_K,
    /// 4 bits, 6-bit scale and minimum per 32 inside 256.
    Q4_K,
    /// 5 bits, 6-bit scale and minimum per 32 inside 256.
    Q5_K,
    /// 6 bits, bias -32, 8-bit signed scale per 16 inside 256.
    Q6_K,
    /// 4 bits through a codebook, scale per 32.
    IQ4_NL,
    /// 4 bits through the same codebook, 6-bit signed scale per 32 inside 256.
    IQ4_XS,
    /// 4-bit floats (E2M1), power-of-two scale per 32.
    MXFP4,
    /// Points of a ternary grid, eighths off it, scale per 32 inside 256: 1.6 bits a value.
    IQ1_S,
    /// The same with a scale per 16: 1.8 bits a value.
    IQ1_M,
    /// Points of a grid of 256 and signs, scale per 32 inside 256: 2.1 bits a value.
    IQ2_XXS,
    /// Points of a grid of 512 and signs, scale per 16 inside 256: 2.3 bits a value.
    IQ2_XS,
    /// Points of a grid of 1024 and signs, scale per 16 inside 256: 2.6 bits a value.
    IQ2_S,
    /// Pairs of points of a grid of 256 and signs, scale per 32 inside 256: 3.1 bits a value.
    IQ3_XXS,
    /// Pairs of points of a grid of 512 and signs, scale per 32 inside 256: 3.4 bits a value.
    IQ3_S,
}

impl Format {
    /// Number of formats: the length of every per-format table.
    pub const COUNT: usize = Self::ALL.len();

    /// Every format; `ALL[f as usize] == f`.
    pub const ALL: [Self; 23] = [
        Self::F32,
        Self::F16,
        Self::BF16,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q8_0,
        Self::Q2_K,
        Self::Q3_K,
        Self::Q4_K,
        Self::Q5_K,
        Self::Q6_K,
        Self::IQ4_NL,
        Self::IQ4_XS,
        Self::MXFP4,
        Self::IQ1_S,
        Self::IQ1_M,
        Self::IQ2_XXS,
        Self::IQ2_XS,
        Self::IQ2_S,
        Self::IQ3_XXS,
        Self::IQ3_S,
    ];

    /// Values in one block.
    pub const fn block_len(self) -> usize {
        match self.activation() {
            ActivationKind::F32 => 1,
            ActivationKind::Q8_32 => 32,
            ActivationKind::Q8_256 => 256,
        }
    }

    /// Bytes of one block.
    pub const fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::Q4_0 | Self::IQ4_NL => 2 + 16,
            Self::Q4_1 => 4 + 16,
            Self::Q5_0 => 2 + 4 + 16,
            Self::Q5_1 => 4 + 4 + 16,
            Self::Q8_0 => 2 + 32,
            Self::Q2_K => 16 + 64 + 4,
            Self::Q3_K => 32 + 64 + 12 + 2,
            Self::Q4_K => 4 + 12 + 128,
            Self::Q5_K => 4 + 12 + 32 + 128,
            Self::Q6_K => 128 + 64 + 16 + 2,
            Self::IQ4_XS => 2 + 2 + 4 + 128,
            Self::MXFP4 => 1 + 16,
            Self::IQ1_S => 2 + 32 + 16,
            Self::IQ1_M => 32 + 16 + 8,
            Self::IQ2_XXS => 2 + 64,
            Self::IQ2_XS => 2 + 64 + 8,
            Self::IQ2_S => 2 + 32 + 32 + 8 + 8,
            Self::IQ3_XXS => 2 + 64 + 32,
            Self::IQ3_S => 2 + 64 + 8 + 32 + 4,
        }
    }

    /// Bytes of a row of `k` values. Panics if `k` is no multiple of the block.
    pub const fn row_bytes(self, k: usize) -> usize {
        assert!(k.is_multiple_of(self.block_len()), "k must be a multiple of the format's block");
        k / self.block_len() * self.block_bytes()
    }

    /// The kind of activations a row of this format is multiplied with.
    pub const fn activation(self) -> ActivationKind {
        match self {
            Self::F32 | Self::F16 | Self::BF16 => ActivationKind::F32,
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 | Self::IQ4_NL | Self::MXFP4 => {
                ActivationKind::Q8_32
            }
            Self::Q2_K | Self::Q3_K | Self::Q4_K | Self::Q5_K | Self::Q6_K | Self::IQ4_XS => ActivationKind::Q8_256,
            Self::IQ1_S | Self::IQ1_M => ActivationKind::Q8_256,
            Self::IQ2_XXS | Self::IQ2_XS | Self::IQ2_S | Self::IQ3_XXS | Self::IQ3_S => ActivationKind::Q8_256,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_lists_every_format_at_its_own_index() {
        for (i, format) in Format::ALL.iter().enumerate() {
            assert_eq!(*format as usize, i, "{format:?}");
        }
    }

    #[test]
    fn row_bytes_count_whole_blocks() {
        assert_eq!(Format::Q4_0.row_bytes(64), 36);
        assert_eq!(Format::Q6_K.row_bytes(512), 420);
        assert_eq!(Format::F16.row_bytes(3), 6);
        assert_eq!(Format::Q4_K.row_bytes(0), 0);
    }
}
