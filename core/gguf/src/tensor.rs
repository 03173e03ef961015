//! Tensors: their types, by block, and where their bytes are.

use std::fmt;
use std::ops::Range;

/// One tensor of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// Its dimensions, innermost (row length) first, as in the file.
    pub shape: Vec<u64>,
    /// How its values are stored.
    pub kind: TensorKind,
    /// Its bytes in the file.
    pub range: Range<u64>,
}

macro_rules! kinds {
    ($($name:ident = $id:literal: $len:literal, $bytes:literal;)*) => {
        /// The types of ggml: name, number in the file, values and bytes of a block.
        /// Source: `type_traits` in ggml.c (the `gguf` package on PyPI has the same numbers, but an old one for Q8_1).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(non_camel_case_types, missing_docs, reason = "the field knows these types by these names")]
        pub enum TensorKind { $($name = $id,)* }

        impl TensorKind {
            /// Every type.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its name, as ggml's tools write it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// The type of a number in the file; none for numbers that ggml never used or has dropped.
            pub fn from_id(id: u32) -> Option<Self> {
                match id { $($id => Some(Self::$name),)* _ => None }
            }

            /// Values in a block.
            pub fn block_len(self) -> u64 {
                match self { $(Self::$name => $len,)* }
            }

            /// Bytes of a block.
            pub fn block_bytes(self) -> u64 {
                match self { $(Self::$name => $bytes,)* }
            }
        }
    };
}

kinds! {
    F32 = 0: 1, 4;
    F16 = 1: 1, 2;
    Q4_0 = 2: 32, 18;
    Q4_1 = 3: 32, 20;
    Q5_0 = 6: 32, 22;
    Q5_1 = 7: 32, 24;
    Q8_0 = 8: 32, 34;
    Q8_1 = 9: 32, 36;
    Q2_K = 10: 256, 84;
    Q3_K = 11: 256, 110;
    Q4_K = 12: 256, 144;
    Q5_K = 13: 256, 176;
    Q6_K = 14: 256, 210;
    Q8_K = 15: 256, 292;
    IQ2_XXS = 16: 256, 66;
    IQ2_XS = 17: 256, 74;
    IQ3_XXS = 18: 256, 98;
    IQ1_S = 19: 256, 50;
    IQ4_NL = 20: 32, 18;
    IQ3_S = 21: 256, 110;
    IQ2_S = 22: 256, 82;
    IQ4_XS = 23: 256, 136;
    I8 = 24: 1, 1;
    I16 = 25: 1, 2;
    I32 = 26: 1, 4;
    I64 = 27: 1, 8;
    F64 = 28: 1, 8;
    IQ1_M = 29: 256, 56;
    BF16 = 30: 1, 2;
    TQ1_0 = 34: 256, 54;
    TQ2_0 = 35: 256, 66;
    MXFP4 = 39: 32, 17;
    NVFP4 = 40: 64, 36;
    Q1_0 = 41: 128, 18;
}

/// Numbers that ggml has given up, with the type they stood for. Source: `enum ggml_type` in ggml.h.
const REMOVED: [(u32, &str); 8] = [
    (4, "Q4_2"),
    (5, "Q4_3"),
    (31, "Q4_0_4_4"),
    (32, "Q4_0_4_8"),
    (33, "Q4_0_8_8"),
    (36, "IQ4_NL_4_4"),
    (37, "IQ4_NL_4_8"),
    (38, "IQ4_NL_8_8"),
];

/// The name of a type that ggml once had; none for numbers in use and for those never used.
pub(crate) fn removed(id: u32) -> Option<&'static str> {
    REMOVED.iter().find(|(gone, _)| *gone == id).map(|(_, name)| *name)
}

impl TensorKind {
    /// The type of a name, in capitals or not.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.name().eq_ignore_ascii_case(name))
    }

    /// The number in the file.
    pub fn id(self) -> u32 {
        self as u32
    }

    /// Bytes of a row of `len` values; none if it is not whole blocks, or too long to count.
    pub fn row_bytes(self, len: u64) -> Option<u64> {
        if !len.is_multiple_of(self.block_len()) {
            return None;
        }
        (len / self.block_len()).checked_mul(self.block_bytes())
    }

    /// Bytes of a tensor; none if the shape is empty, holds a zero, overflows, or its rows are not whole blocks.
    pub fn tensor_bytes(self, shape: &[u64]) -> Option<u64> {
        let (&row, outer) = shape.split_first()?;
        if shape.contains(&0) {
            return None;
        }
        // The values are counted too: bytes of a row may be fewer than its values.
        outer.iter().try_fold(row, |n, &d| n.checked_mul(d))?;
        outer.iter().try_fold(self.row_bytes(row)?, |bytes, &d| bytes.checked_mul(d))
    }
}

impl fmt::Display for TensorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
