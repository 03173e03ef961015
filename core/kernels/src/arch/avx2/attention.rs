//! Attention with AVX2.

use crate::arch::avx2::float::Ymm;
use crate::attention::AttentionOps;
use crate::attention::stamp::attention_ops;

/// The AVX2 attention table.
pub(crate) const ATTENTION: AttentionOps = attention_ops!(
    #[target_feature(enable = "avx2,fma,f16c")]
    Ymm
);
