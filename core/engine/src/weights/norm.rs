//! Weights of norms.

use super::tensor::Vector;

/// A norm of a vector.
#[derive(Clone, Debug)]
pub struct Norm {
    /// Factors.
    pub weight: Vector,
    /// Added after them; only layer norms have it.
    pub bias: Option<Vector>,
}

/// A norm of queries or keys.
#[derive(Clone, Debug)]
pub enum HeadNorm {
    /// Each head by itself, all with the same weights, `[head_dim]`.
    Shared(Norm),
    /// Each head by itself, with weights of its own.
    Each(Vec<Norm>),
    /// All heads as one vector, `[heads * head_dim]`.
    Whole(Norm),
}
