//! Everything that comes from outside, as targets for fuzzing: each takes any bytes, and a panic is a finding.

mod allocations;
mod bytes;
mod calls;
mod gguf;
mod guided;
mod models;
mod open;
mod options;
mod records;
mod restore;
mod template;
mod tokenizer;

pub use guided::{run_guided, write_seeds};

use std::time::{Duration, Instant};

use sprat_tests::process;

/// One kind of input from outside.
pub struct Target {
    /// What the command line calls it.
    pub name: &'static str,
    /// Takes one input.
    pub run: fn(&[u8]),
    /// Good inputs to begin with, made by the engine itself and by the files in the repository.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// How many blind changes an everyday test run tries: a few seconds each on two busy cores.
    pub everyday_runs: usize,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "gguf", run: gguf::run, seeds: gguf::seeds, everyday_runs: 100_000 },
    Target { name: "open", run: open::run, seeds: open::seeds, everyday_runs: 1_000 },
    Target { name: "tokenizer", run: tokenizer::run, seeds: tokenizer::seeds, everyday_runs: 5_000 },
    Target { name: "template", run: template::run, seeds: template::seeds, everyday_runs: 1_000 },
    Target { name: "restore", run: restore::run, seeds: restore::seeds, everyday_runs: 5_000 },
    Target { name: "options", run: options::run, seeds: options::seeds, everyday_runs: 5_000 },
    Target { name: "calls", run: calls::run, seeds: calls::seeds, everyday_runs: 20 },
];

/// What an input may take at most.
pub const LONGEST: Duration = Duration::from_secs(1);

impl Target {
    /// The target of this name.
    pub fn named(name: &str) -> Option<&'static Target> {
        TARGETS.iter().find(|target| target.name == name)
    }

    /// Runs one input and returns what it took. One that took too long is run again, and what it computes counts: on a busy
    /// machine threads wait for a core.
    pub fn time(&self, input: &[u8]) -> Duration {
        let start = Instant::now();
        (self.run)(input);
        let took = start.elapsed();
        if took <= LONGEST {
            return took;
        }
        let (start, computed) = (Instant::now(), process::computed());
        (self.run)(input);
        match (computed, process::computed()) {
            (Some(before), Some(after)) => after - before,
            _ => start.elapsed(),
        }
    }
}
