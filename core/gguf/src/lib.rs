//! GGUF: from a file's bytes to its table of contents, and back.
//!
//! Reads versions 2 and 3, little-endian. Nothing here opens files or holds on to bytes: values are owned where they
//! are small, arrays and tensors are byte ranges of the file, so that a caller may map it, read it or receive it in part.
//! Source: the GGUF specification, <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.
#![forbid(unsafe_code)]

mod contents;
mod error;
mod read;
mod tensor;
mod value;
mod write;

pub use contents::Contents;
pub use error::Error;
pub use tensor::{Tensor, TensorKind};
pub use value::{Array, Value, ValueKind};
pub use write::Writer;

/// The first four bytes of every GGUF file.
pub const MAGIC: [u8; 4] = *b"GGUF";

/// Where tensor data begins unless the file says otherwise. Source: the specification.
pub const DEFAULT_ALIGNMENT: u64 = 32;

/// Bounds on what a file may claim, far above real files, so that a lying one is refused before it costs anything.
pub mod limits {
    /// Metadata keys. Real files have under a hundred.
    pub const KEYS: u64 = 1 << 16;
    /// Tensors. A mixture of experts stored expert by expert has some ten thousand.
    pub const TENSORS: u64 = 1 << 17;
    /// Bytes of a key or a tensor's name. The specification says 65,535 and 64.
    pub const NAME_BYTES: u64 = 65_535;
    /// Bytes of a string value outside an array. Chat templates have some 30 KB.
    pub const STRING_BYTES: u64 = 16 << 20;
    /// Dimensions of a tensor. ggml has four.
    pub const DIMENSIONS: u32 = 4;
    /// Arrays inside arrays. No known file has any; each level is a level of recursion.
    pub const NESTING: usize = 4;
    /// Alignment of tensor data. Memory pages have at most 64 KB; more would only pad the file.
    pub const ALIGNMENT: u64 = 1 << 20;
}
