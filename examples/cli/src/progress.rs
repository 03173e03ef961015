//! A progress line on standard error, for what takes long; silent where nobody watches.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often the line is redrawn.
const REDRAW: Duration = Duration::from_millis(100);

/// One line that says how far a command is.
pub struct Progress {
    what: &'static str,
    total: usize,
    watched: bool,
    drawn: Option<Instant>,
}

impl Progress {
    /// Over `total` steps of `what`.
    pub fn new(what: &'static str, total: usize) -> Self {
        Self { what, total, watched: std::io::stderr().is_terminal(), drawn: None }
    }

    /// Shows that `done` steps are done.
    pub fn show(&mut self, done: usize) {
        if !self.watched || self.drawn.is_some_and(|at| at.elapsed() < REDRAW) {
            return;
        }
        self.drawn = Some(Instant::now());
        let filled = 30 * done / self.total.max(1);
        eprint!("\r{} [{:30}] {done}/{}", self.what, "=".repeat(filled.min(30)), self.total);
        let _unseen = std::io::stderr().flush();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            eprint!("\r\x1b[K");
        }
    }
}
