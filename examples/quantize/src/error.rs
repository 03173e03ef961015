//! What can go wrong between a model's file and its quantized copy.

use std::path::PathBuf;

use sprat_gguf::TensorKind;

/// A fault, with the facts.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The output cannot be written.
    #[error("{}: {source}", path.display())]
    Write {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A GGUF file is faulty.
    #[error("{}: {source}", path.display())]
    Gguf {
        /// Which one.
        path: PathBuf,
        /// What is wrong with it.
        source: sprat_gguf::Error,
    },
    /// A safetensors file is faulty.
    #[error("{}: {source}", path.display())]
    Safetensors {
        /// Which one.
        path: PathBuf,
        /// What is wrong with it.
        source: crate::safetensors::Fault,
    },
    /// Tensors of safetensors without metadata.
    #[error("{}: safetensors have no metadata; name a GGUF file that has it with --metadata-from", path.display())]
    NoMetadata {
        /// Which file.
        path: PathBuf,
    },
    /// The tensors have other names than GGUF's.
    #[error("{}: there is no tensor `token_embd.weight`; names of other formats are not converted", path.display())]
    Names {
        /// Which file.
        path: PathBuf,
    },
    /// Only a part of a model.
    #[error("{}: this is one of {parts} parts; join them first", path.display())]
    Split {
        /// Which file.
        path: PathBuf,
        /// How many there are.
        parts: u64,
    },
    /// A key that the choice of types needs is of another type.
    #[error("{source}")]
    Metadata {
        /// Which one.
        source: sprat_gguf::Error,
    },
    /// A key that the choice of types needs is not there.
    #[error("metadata key `{key}` is missing")]
    MissingKey {
        /// Which one.
        key: String,
    },
    /// A tensor's blocks cannot be read.
    #[error("tensor {name:?}: values of type {kind} cannot be read")]
    Unreadable {
        /// Its name.
        name: String,
        /// Its type.
        kind: TensorKind,
    },
    /// A weight is NaN, infinite, or too large for the 16-bit scales of the block formats.
    #[error("tensor {name:?}: value {index} is {value}, no weight that can be quantized")]
    Value {
        /// The tensor's name.
        name: String,
        /// Which of its values.
        index: u64,
        /// What it is.
        value: f32,
    },
    /// The quantizer refused.
    #[error("tensor {name:?}: {source}")]
    Quantizer {
        /// The tensor's name.
        name: String,
        /// What it says.
        source: candle_core::Error,
    },
}
