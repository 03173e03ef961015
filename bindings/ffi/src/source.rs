//! Where a model's bytes are, and what an app may choose when it opens them.

use std::os::fd::{BorrowedFd, OwnedFd};

use crate::error::FfiError;

/// Where a model's bytes are.
#[derive(Clone, Debug, uniffi::Enum)]
pub enum Source {
    /// A file by its path; that of any part of a split model finds the others beside it.
    Path {
        /// The path.
        path: String,
    },
    /// A part of an open file. The descriptor stays the caller's, who may close it afterwards.
    Descriptor {
        /// The descriptor's number.
        descriptor: i32,
        /// Where the model begins, any multiple of 4.
        offset_bytes: u64,
        /// How long it is.
        len_bytes: u64,
    },
    /// The parts of a split model, in their order.
    Parts {
        /// Paths or descriptors.
        parts: Vec<Source>,
    },
}

impl TryFrom<Source> for sprat::Source {
    type Error = FfiError;

    fn try_from(source: Source) -> Result<Self, FfiError> {
        Ok(match source {
            Source::Path { path } => Self::Path(path.into()),
            Source::Descriptor { descriptor, offset_bytes, len_bytes } => {
                Self::Descriptor { descriptor: duplicate(descriptor)?, offset_bytes, len_bytes }
            }
            Source::Parts { parts } => {
                Self::Parts(parts.into_iter().map(TryInto::try_into).collect::<Result<_, FfiError>>()?)
            }
        })
    }
}

fn duplicate(descriptor: i32) -> Result<OwnedFd, FfiError> {
    if descriptor < 0 {
        return Err(FfiError::CannotOpen { reason: format!("{descriptor} is no file descriptor") });
    }
    // SAFETY: not -1, and only borrowed for the duplication, which the system refuses if it is not open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
    borrowed.try_clone_to_owned().map_err(|error| FfiError::CannotOpen { reason: error.to_string() })
}

/// A chat template in place of the file's own.
#[derive(Clone, Debug, uniffi::Enum)]
pub enum TemplateChoice {
    /// A built-in one.
    Builtin {
        /// Its name.
        name: String,
    },
    /// The text of one, in Jinja.
    Text {
        /// The text.
        text: String,
    },
}

impl From<TemplateChoice> for sprat::TemplateChoice {
    fn from(choice: TemplateChoice) -> Self {
        match choice {
            TemplateChoice::Builtin { name } => Self::Builtin(name),
            TemplateChoice::Text { text } => Self::Text(text),
        }
    }
}

/// What computes a model's passes. The same text comes of all wherever the two likeliest tokens were not nearly alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Backend {
    /// The GPU reads prompts and writes where it is faster; the CPU does what it cannot.
    Auto,
    /// The CPU.
    Cpu,
    /// The GPU, and the CPU where it refuses and in the background. Opening fails where there is none for the model.
    Gpu,
}

impl From<Backend> for sprat::Backend {
    fn from(backend: Backend) -> Self {
        match backend {
            Backend::Auto => Self::Auto,
            Backend::Cpu => Self::Cpu,
            Backend::Gpu => Self::Gpu,
        }
    }
}

/// Choices when a model is opened.
#[derive(Clone, Debug, Default, uniffi::Record)]
pub struct OpenOptions {
    /// The chat template; none for the file's own, or the built-in one for its kind.
    pub template: Option<TemplateChoice>,
    /// Anonymous bytes that all sessions of the model together may allocate; none for no limit.
    pub max_anonymous_bytes: Option<u64>,
    /// What computes; none for the engine's choice.
    pub backend: Option<Backend>,
}

impl From<OpenOptions> for sprat::OpenOptions {
    fn from(options: OpenOptions) -> Self {
        let max_anonymous_bytes = options.max_anonymous_bytes.and_then(|bytes| usize::try_from(bytes).ok());
        let backend = options.backend.map(Into::into).unwrap_or_default();
        Self { template: options.template.map(Into::into), max_anonymous_bytes, backend }
    }
}
