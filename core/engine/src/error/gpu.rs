//! Why no GPU computes for a model.

/// Why no GPU computes for a model. The CPU does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GpuFault {
    /// The app chose the CPU.
    #[error("the CPU was asked for")]
    NotWanted,
    /// Only builds for Apple's systems have this backend.
    #[error("this build has no GPU backend")]
    NotBuilt,
    /// There are no shaders for something that the model has.
    #[error("there are no shaders for {what}")]
    Unsupported {
        /// What it has.
        what: &'static str,
    },
    /// There is no GPU, or it refused the shaders or the file.
    #[error("{reason}")]
    Refused {
        /// What it, or the system, says.
        reason: String,
    },
}
