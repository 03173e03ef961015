//! What can be wrong with a saved session.

/// What can be wrong with a saved session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SavedFault {
    /// The file is something else.
    #[error("not a saved session")]
    NotASession,
    /// It was written by a version with another layout or other arithmetic.
    #[error("version {found}, this is {supported}")]
    Version {
        /// The file's.
        found: u32,
        /// The only one that can be read.
        supported: u32,
    },
    /// A part of it is missing, or something was appended.
    #[error("{found} bytes instead of {expected}")]
    Truncated {
        /// Length of the file.
        found: u64,
        /// What it should be.
        expected: u64,
    },
    /// Its bytes are not those that were written.
    #[error("the {part} is damaged")]
    Damaged {
        /// Which part.
        part: &'static str,
    },
    /// It was made with another model file.
    #[error("made with another model")]
    OtherModel,
}
