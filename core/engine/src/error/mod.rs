//! Every error of the engine, one variant per fault, carrying the facts and never any prompt or reply text.

mod chat;
mod gpu;
pub(crate) mod memory;
mod options;
mod saved;
mod tokenizer;

use std::path::PathBuf;

use sprat_kernels::KvFormat;

pub use chat::ChatError;
pub use gpu::GpuFault;
pub use options::OptionsError;
pub use saved::SavedFault;
pub use tokenizer::TokenizerError;

/// What can go wrong when a model is opened or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file could not be opened, measured or mapped.
    #[error("cannot open {path}: {source}")]
    Open {
        /// The path, or a description of the descriptor.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A part of a split model is missing or does not fit.
    #[error("split model, part {part}: {reason}")]
    Split {
        /// Number of the part, from 1; 0 for the whole.
        part: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// The model's file was shortened, or its storage is gone, while it was open. The model answers nothing any more.
    #[error("the model's file was shortened or lost while it was open: open it again")]
    FileLost,
    /// The file that the session was restored from was shortened, or its storage is gone. The turn is undone, and the next
    /// one reads the transcript anew.
    #[error("the saved session's file was shortened or lost: the next turn reads the transcript anew")]
    CacheLost,
    /// The guard of mapped files could not be installed.
    #[error("cannot guard mapped files: {source}")]
    Guard {
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not a GGUF file that can be trusted.
    #[error(transparent)]
    Gguf(#[from] sprat_gguf::Error),
    /// The file's vocabulary or a text cannot be used.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The file's chat template or a conversation cannot be used.
    #[error(transparent)]
    Chat(#[from] ChatError),
    /// A generation option is out of range.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// The file's `general.architecture` is not one that Sprat runs.
    #[error("architecture `{name}` is not supported (supported: {supported})")]
    Architecture {
        /// The name in the file.
        name: String,
        /// All names that would do.
        supported: String,
    },
    /// A metadata key that the architecture needs is missing.
    #[error("metadata key {key} is missing")]
    MissingKey {
        /// The key.
        key: String,
    },
    /// A metadata value is out of range or contradicts another.
    #[error("metadata key {key}: {value} is not usable: {reason}")]
    BadKey {
        /// The key.
        key: String,
        /// Its value.
        value: String,
        /// Why it cannot be used.
        reason: &'static str,
    },
    /// A tensor that the architecture needs is missing.
    #[error("tensor {name} is missing")]
    MissingTensor {
        /// The tensor.
        name: String,
    },
    /// A tensor's shape does not fit the metadata.
    #[error("tensor {name}: expected shape {expected:?}, the file has {found:?}")]
    WrongShape {
        /// The tensor.
        name: String,
        /// Rows and row length the metadata asks for.
        expected: Vec<usize>,
        /// What the file says.
        found: Vec<usize>,
    },
    /// A tensor is of a type that has no kernel, or that cannot serve in its place.
    #[error("tensor {name}: type {kind} is not supported here")]
    TensorType {
        /// The tensor.
        name: String,
        /// Its type.
        kind: String,
    },
    /// The file has no chat template, and none of the built-in ones is known to fit.
    #[error("the file has no chat template: name a built-in one in the session's options")]
    NoTemplate,
    /// This CPU cannot run the kernels that were asked for.
    #[error("this CPU has no instruction set `{name}`, or there are no kernels for it")]
    InstructionSet {
        /// The name that was asked for.
        name: String,
    },
    /// The GPU was asked for and cannot compute for the model.
    #[error("no GPU for this model: {0}")]
    Gpu(GpuFault),
    /// The model's heads cannot be stored in this format.
    #[error("a KV cache of {format:?} needs heads of whole blocks of {}, the model's have {head_dim} values", format.multiple())]
    KvFormat {
        /// The format that was asked for.
        format: KvFormat,
        /// Length of a head of the model.
        head_dim: usize,
    },
    /// What the cache holds cannot be moved to other positions, as [`crate::WhenFull::SlideCached`] asks for.
    #[error("cached keys cannot be moved to other positions: {reason}")]
    CannotMove {
        /// What stands against it.
        reason: &'static str,
    },
    /// There is nothing to run: no token was given.
    #[error("the prompt is empty")]
    EmptyPrompt,
    /// A token id is outside the vocabulary.
    #[error("token {id} is outside the vocabulary of {vocabulary}")]
    BadToken {
        /// The id.
        id: u32,
        /// Size of the vocabulary.
        vocabulary: usize,
    },
    /// The context has no room for what is asked.
    #[error("the context is full: {used} tokens needed, {limit} available")]
    ContextFull {
        /// Tokens that would be in the context.
        used: usize,
        /// What the session may hold.
        limit: usize,
    },
    /// The system gave no memory for the cache or a buffer.
    #[error("no memory for {bytes} bytes of {what}")]
    OutOfMemory {
        /// What it was for.
        what: &'static str,
        /// How much.
        bytes: usize,
    },
    /// The system gave no thread, for lack of memory or because the app has as many as it may.
    #[error("no thread: {source}")]
    NoThread {
        /// What the system said.
        source: std::io::Error,
    },
    /// It would take more anonymous memory than the app allows the model.
    #[error("{bytes} bytes of {what} on top of {used} exceed the {limit} that the model may allocate")]
    OverBudget {
        /// What it was for.
        what: &'static str,
        /// How much.
        bytes: usize,
        /// What is allocated already.
        used: usize,
        /// `OpenOptions::max_anonymous_bytes`.
        limit: usize,
    },
    /// A session could not be written; the file is as it was before.
    #[error("cannot save to {path}: {source}")]
    Save {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A saved session cannot be used.
    #[error("the saved session {path}: {fault}")]
    Saved {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        fault: SavedFault,
    },
    /// A turn runs: one at a time, and nothing else changes the conversation meanwhile.
    #[error("a turn is running")]
    Busy,
    /// The session or its model was closed.
    #[error("closed")]
    Closed,
    /// What was asked for does not fit the messages there are.
    #[error("the transcript does not allow this: {reason}")]
    Transcript {
        /// Why not.
        reason: &'static str,
    },
    /// The work was stopped on request.
    #[error("stopped")]
    Stopped,
    /// A worker met an internal fault; the turn is lost, the process is not.
    #[error("internal fault: {what}")]
    Internal {
        /// Which part.
        what: &'static str,
    },
}
