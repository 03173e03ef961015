//! Block formats of weight rows that the shaders read (`formats.metal`).

/// How the values of a row are stored, named as GGUF names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    /// 4 bits, 6-bit scale and minimum per 32 inside 256.
    Q4_K,
    /// 5 bits, 6-bit scale and minimum per 32 inside 256.
    Q5_K,
    /// 6 bits, bias -32, 8-bit signed scale per 16 inside 256.
    Q6_K,
    /// 4 bits through a codebook, scale per 32.
    IQ4_NL,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 12] = [
        Self::F32,
        Self::F16,
        Self::BF16,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q8_0,
        Self::Q4_K,
        Self::Q5_K,
        Self::Q6_K,
        Self::IQ4_NL,
    ];

    /// Pairs of which one kernel multiplies: two matrices of the first format and one of the second.
    pub const PAIRS: [(Self, Self); 5] = [
        (Self::Q4_K, Self::Q6_K),
        (Self::Q4_K, Self::Q5_K),
        (Self::Q5_K, Self::Q6_K),
        (Self::Q5_0, Self::Q8_0),
        (Self::Q5_1, Self::Q8_0),
    ];

    /// The format of a GGUF tensor type's name; none where there is no shader for it.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format!("{format:?}") == name)
    }

    /// What a kernel's name ends in.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::BF16 => "bf16",
            Self::Q4_0 => "q4_0",
            Self::Q4_1 => "q4_1",
            Self::Q5_0 => "q5_0",
            Self::Q5_1 => "q5_1",
            Self::Q8_0 => "q8_0",
            Self::Q4_K => "q4_k",
            Self::Q5_K => "q5_k",
            Self::Q6_K => "q6_k",
            Self::IQ4_NL => "iq4_nl",
        }
    }

    /// (values, bytes) of a block. Floats count as blocks of 16, since the kernels take 16 values at a time.
    pub const fn block(self) -> (u32, u32) {
        match self {
            Self::F32 => (16, 64),
            Self::F16 | Self::BF16 => (16, 32),
            Self::Q4_0 | Self::IQ4_NL => (32, 18),
            Self::Q4_1 => (32, 20),
            Self::Q5_0 => (32, 22),
            Self::Q5_1 => (32, 24),
            Self::Q8_0 => (32, 34),
            Self::Q4_K => (256, 144),
            Self::Q5_K => (256, 176),
            Self::Q6_K => (256, 210),
        }
    }

    /// Bytes of a row of `k` values. Panics if `k` is no multiple of the block.
    pub const fn row_bytes(self, k: u32) -> u32 {
        let (len, bytes) = self.block();
        assert!(k.is_multiple_of(len), "k must be a multiple of the format's block");
        k / len * bytes
    }
}
