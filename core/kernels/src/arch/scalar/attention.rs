//! Attention without vector instructions: the reference.

use crate::arch::scalar::float::Lanes;
use crate::attention::AttentionOps;
use crate::attention::stamp::attention_ops;

/// The scalar attention table.
pub(crate) const ATTENTION: AttentionOps = attention_ops!(Lanes);
