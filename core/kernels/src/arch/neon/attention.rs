//! Attention with NEON.

use crate::arch::neon::float::Quad;
use crate::attention::AttentionOps;
use crate::attention::stamp::attention_ops;

/// The NEON attention table.
pub(crate) const ATTENTION: AttentionOps = attention_ops!(
    #[target_feature(enable = "neon")]
    Quad
);
