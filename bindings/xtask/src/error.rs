//! Why a part failed.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

/// Why a part failed; printed beside its name.
#[derive(Debug)]
pub enum Error {
    /// The program is not there or may not be run.
    NotStarted { program: String, source: io::Error },
    /// The program ran and reported failure.
    Failed { program: String, status: ExitStatus },
    /// The part used up its minutes; its processes were ended.
    OverBudget { budget: Duration },
    /// Something has to be installed and could not be.
    Missing { what: String, install: String },
    /// A file of the build could not be read or written.
    File { path: PathBuf, source: io::Error },
    /// What was built is not as it must be.
    Fault(String),
}

/// The result of a part.
pub type Result<T> = std::result::Result<T, Error>;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted { program, source } => write!(f, "cannot start {program}: {source}"),
            Self::Failed { program, status } => write!(f, "{program} ended with {status}"),
            Self::OverBudget { budget } => {
                write!(f, "over its budget of {} minutes", budget.as_secs() / 60)
            }
            Self::Missing { what, install } => {
                write!(f, "{what} is missing; install it with: {install}")
            }
            Self::File { path, source } => write!(f, "{}: {source}", path.display()),
            Self::Fault(what) => f.write_str(what),
        }
    }
}
