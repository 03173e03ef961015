//! What makes each model family different, as data: one `Spec` each.

use sprat_kernels::{Activation, Pairing};

use crate::error::Error;

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

const LLAMA: Spec =
    Spec { name: "llama", norm: NormKind::Rms, pairing: Pairing::Adjacent, activation: Activation::Silu };

/// Every family, in the order in which error messages list them.
static FAMILIES: &[Spec] = &[
    LLAMA,
    Spec { name: "qwen2", pairing: Pairing::Halves, ..LLAMA },
    Spec { name: "qwen3", pairing: Pairing::Halves, ..LLAMA },
];

/// The family of an architecture name.
pub fn find(name: &str) -> Result<&'static Spec, Error> {
    FAMILIES.iter().find(|f| f.name == name).ok_or_else(|| Error::Architecture {
        name: name.to_owned(),
        supported: FAMILIES.iter().map(|f| f.name).collect::<Vec<_>>().join(", "),
    })
}
