//! What a command can fail with: one line, and an exit code by kind.

use std::fmt;
use std::io::Write;
use std::path::Path;

/// A command's failure.
pub enum Failure {
    /// The command line is wrong: exit code 2.
    Usage(String),
    /// The engine refused.
    Engine(sprat::Error),
    /// A file or the terminal failed.
    Io { what: String, source: std::io::Error },
    /// No model was named, and the one of the repository is not where it was when this program was built.
    NoModel { path: &'static Path },
    /// The turn was cancelled by Ctrl-C.
    Cancelled,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(what) => write!(f, "{what}"),
            Self::Engine(error) => write!(f, "{error}"),
            Self::Io { what, source } => write!(f, "{what}: {source}"),
            Self::NoModel { path } => {
                write!(f, "no model was named with --model FILE, and there is none in {}", path.display())
            }
            Self::Cancelled => write!(f, "cancelled"),
        }
    }
}

impl<E: Into<sprat::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Engine(error.into())
    }
}

/// Names the file in an I/O error.
pub fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Failure + '_ {
    move |source| Failure::Io { what: path.display().to_string(), source }
}

/// Writes a command's whole output. A reader that has gone away, as `head` does, is no failure.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(source) if source.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::Io { what: "standard output".to_owned(), source })
        }
        _ => Ok(()),
    }
}
