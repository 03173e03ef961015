//! The table of model families: one `Spec` each.

use sprat_kernels::{Activation, Pairing};

use super::spec::{NormKind, Spec};
use crate::error::Error;

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
