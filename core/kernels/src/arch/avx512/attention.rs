//! Attention with AVX-512.

use crate::arch::avx512::float::Zmm;
use crate::attention::AttentionOps;
use crate::attention::stamp::attention_ops;

/// The AVX-512 attention table.
pub(crate) const ATTENTION: AttentionOps = attention_ops!(
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
    Zmm
);
