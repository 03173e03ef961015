//! What can differ between model families, as data.

use sprat_kernels::{Activation, Pairing};

/// The facts of a family that its files do not state. What the tensors themselves show (biases, tied embeddings,
/// q/k norms, fused projections) is read from the tensors.
#[derive(Debug)]
pub struct Spec {
    /// `general.architecture` of its files.
    pub name: &'static str,
    /// Which norm the layers use.
    pub norm: NormKind,
    /// Which values of a head rotate together.
    pub pairing: Pairing,
    /// The nonlinearity of the feed-forward part.
    pub activation: Activation,
}

/// A kind of normalization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// Root mean square only. Source: arXiv 1910.07467.
    Rms,
}
