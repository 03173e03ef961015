//! The few errors an app can act on. The engine's own are many and precise; they go into `reason`.

use sprat::error::{ChatError, Error, SavedFault, TokenizerError};

/// What went wrong, by what an app can do about it.
#[derive(Debug, thiserror::Error, uniffi::Error)]
pub enum FfiError {
    /// The file is not there, or the app may not read or write it: look at the path.
    #[error("{reason}")]
    CannotOpen {
        /// What the system said.
        reason: String,
    },
    /// The file is damaged or incomplete: fetch it again, or begin the session anew.
    #[error("{reason}")]
    Damaged {
        /// What is wrong in it.
        reason: String,
    },
    /// The file is sound, but not for this version, or the saved session not of this model: choose another.
    #[error("{reason}")]
    Unsupported {
        /// What is not supported.
        reason: String,
    },
    /// The file's chat template cannot be used: name a built-in one in the session's options.
    #[error("{reason}")]
    Template {
        /// What is wrong with it.
        reason: String,
    },
    /// An argument is out of range or empty: a mistake of the caller.
    #[error("{reason}")]
    InvalidArgument {
        /// Which one, and its range.
        reason: String,
    },
    /// The conversation and the reply do not fit the context: shorten, or start anew.
    #[error("{reason}")]
    ContextFull {
        /// The same in words.
        reason: String,
        /// Tokens needed.
        used: u64,
        /// Tokens the session may hold.
        limit: u64,
    },
    /// The system has no memory for this: close something, or choose a smaller model.
    #[error("{reason}")]
    OutOfMemory {
        /// What it was for.
        reason: String,
        /// How much was asked for.
        bytes: u64,
    },
    /// The session is still answering: wait for it, or stop it.
    #[error("the session is still answering")]
    Busy,
    /// The model or session was closed.
    #[error("closed")]
    Closed,
    /// A fault of the library; the turn is lost, the app is not.
    #[error("{reason}")]
    Internal {
        /// Where.
        reason: String,
    },
}

impl From<Error> for FfiError {
    fn from(error: Error) -> Self {
        let reason = error.to_string();
        match error {
            Error::Open { .. } | Error::Save { .. } => Self::CannotOpen { reason },
            Error::Architecture { .. } | Error::TensorType { .. } | Error::InstructionSet { .. } | Error::Gpu(_) => {
                Self::Unsupported { reason }
            }
            Error::Tokenizer(TokenizerError::UnknownModel { .. } | TokenizerError::UnknownPreTokenizer { .. }) => {
                Self::Unsupported { reason }
            }
            Error::Saved { fault: SavedFault::OtherModel | SavedFault::Version { .. }, .. } => {
                Self::Unsupported { reason }
            }
            Error::Gguf(_)
            | Error::Tokenizer(TokenizerError::File(_))
            | Error::MissingKey { .. }
            | Error::BadKey { .. }
            | Error::MissingTensor { .. }
            | Error::WrongShape { .. }
            | Error::Split { .. }
            | Error::FileLost
            | Error::CacheLost
            | Error::Saved { .. } => Self::Damaged { reason },
            Error::Chat(ChatError::UnknownTemplate { .. }) => Self::InvalidArgument { reason },
            Error::Chat(ChatError::NoStack { stack_bytes: bytes } | ChatError::NoMemory { bytes })
            | Error::Tokenizer(TokenizerError::NoMemory { bytes }) => Self::OutOfMemory { reason, bytes: bytes as u64 },
            Error::Chat(_) | Error::NoTemplate => Self::Template { reason },
            Error::Options(_)
            | Error::EmptyPrompt
            | Error::BadToken { .. }
            | Error::Tokenizer(_)
            | Error::KvFormat { .. }
            | Error::CannotMove { .. }
            | Error::Transcript { .. } => Self::InvalidArgument { reason },
            Error::ContextFull { used, limit } => Self::ContextFull { reason, used: used as u64, limit: limit as u64 },
            Error::OutOfMemory { bytes, .. } | Error::OverBudget { bytes, .. } => {
                Self::OutOfMemory { reason, bytes: bytes as u64 }
            }
            Error::NoThread { .. } => Self::OutOfMemory { reason, bytes: 0 },
            Error::Busy => Self::Busy,
            Error::Closed => Self::Closed,
            _ => Self::Internal { reason },
        }
    }
}
