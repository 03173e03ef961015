//! What can be wrong with a GGUF file.

use crate::tensor::TensorKind;
use crate::value::{Quoted, ValueKind};

/// A fault in a file, with the facts. Names from the file are shown quoted and cut: they may hold anything.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file does not begin with `GGUF`.
    #[error("not a GGUF file: it begins with {found:02x?}")]
    Magic {
        /// Its first bytes, at most four.
        found: Vec<u8>,
    },
    /// The version is not 2 or 3.
    #[error("GGUF version {version} is not supported (supported: 2 and 3)")]
    Version {
        /// What the file says.
        version: u32,
    },
    /// The file is written in big-endian order.
    #[error("big-endian GGUF files are not supported")]
    BigEndian,
    /// The bytes end inside the header. Where `needed` is above the file's length, the file itself is cut off or lies;
    /// else more of it has to be fetched. Arrays of strings are walked one by one, so fetch rather twice as much than
    /// just what is missing.
    #[error("the file is cut off: at least {needed} bytes are needed, there are {available}")]
    Truncated {
        /// How many bytes must be there for the header to go on.
        needed: u64,
        /// How many there are.
        available: u64,
    },
    /// There is no memory for the table of contents.
    #[error("no memory for {bytes} bytes of the table of contents")]
    Memory {
        /// How many were asked for.
        bytes: u64,
    },
    /// A count or length is above its limit.
    #[error("{what} is {found}, the limit is {limit}")]
    TooLarge {
        /// What is counted.
        what: &'static str,
        /// What the file says.
        found: u64,
        /// The bound of [`crate::limits`].
        limit: u64,
    },
    /// A value's type number is unknown.
    #[error("metadata key {}: value type {kind} is unknown", Quoted(.key))]
    ValueKind {
        /// The key.
        key: String,
        /// The number.
        kind: u32,
    },
    /// A key, a name or a string value is not UTF-8.
    #[error("{what} at byte {offset} is not UTF-8")]
    Utf8 {
        /// What it is.
        what: &'static str,
        /// Where it begins.
        offset: u64,
    },
    /// A bool, alone or in an array, is neither 0 nor 1.
    #[error("metadata key {}: {found} is not a bool", Quoted(.key))]
    Bool {
        /// The key.
        key: String,
        /// The byte.
        found: u8,
    },
    /// A key or a tensor stands twice in the file.
    #[error("{what} {} stands twice in the file", Quoted(.name))]
    Duplicate {
        /// Key or tensor.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A metadata value has another type than asked for.
    #[error("metadata key {}: expected {expected}, the file has {found}", Quoted(.key))]
    WrongKind {
        /// The key.
        key: String,
        /// What was asked for.
        expected: &'static str,
        /// What is there.
        found: ValueKind,
    },
    /// `general.alignment` is not a power of two from 8 to [`crate::limits::ALIGNMENT`].
    #[error("general.alignment {found} is not usable")]
    Alignment {
        /// What the file says.
        found: u64,
    },
    /// A tensor's type is one that ggml has given up.
    #[error("tensor {}: type {kind} ({was}) was removed from ggml; convert the model again", Quoted(.name))]
    RemovedTensorKind {
        /// The tensor.
        name: String,
        /// The number.
        kind: u32,
        /// What it stood for.
        was: &'static str,
    },
    /// A tensor's type number is unknown.
    #[error("tensor {}: type {kind} is unknown", Quoted(.name))]
    TensorKind {
        /// The tensor.
        name: String,
        /// The number.
        kind: u32,
    },
    /// A tensor has no dimensions, an empty one, a product that overflows, or rows that are not whole blocks.
    #[error("tensor {}: shape {shape:?} is not usable for type {kind}", Quoted(.name))]
    Shape {
        /// The tensor.
        name: String,
        /// Innermost first.
        shape: Vec<u64>,
        /// Its type.
        kind: TensorKind,
    },
    /// A tensor's data does not begin at a multiple of the alignment.
    #[error("tensor {}: offset {offset} is not a multiple of {alignment}", Quoted(.name))]
    Misaligned {
        /// The tensor.
        name: String,
        /// Relative to the data section.
        offset: u64,
        /// The file's alignment.
        alignment: u64,
    },
    /// A tensor's data lies outside the file.
    #[error("tensor {}: bytes {start}..{end} lie outside the file of {file_len} bytes", Quoted(.name))]
    OutOfBounds {
        /// The tensor.
        name: String,
        /// Where it would begin.
        start: u64,
        /// Where it would end.
        end: u64,
        /// The file's length.
        file_len: u64,
    },
    /// Two tensors share bytes.
    #[error("tensors {} and {} overlap", Quoted(.first), Quoted(.second))]
    Overlap {
        /// The one that begins first.
        first: String,
        /// The one that begins inside it.
        second: String,
    },
}
