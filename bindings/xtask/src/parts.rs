//! The table of parts, and how they are run, timed and summed up.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::needs::{self, Need};
use crate::{aarch64, android, checks, conformance, fuzz, ios, kotlin, metal, sanitizers, size, swift};

/// When a part belongs to the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// In `cargo xtask test` and in `cargo xtask full`.
    Always,
    /// Takes too long for every day: in `cargo xtask full`, or by name.
    Full,
}

/// One line of the table.
pub struct Part {
    /// What `--only` calls it.
    pub name: &'static str,
    /// One line for the help text.
    pub what: &'static str,
    /// Minutes it may take on two cores and a clean clone; over them it fails. Twice what was seen, since machines are
    /// shared; all parts of [`When::Always`] together have [`EVERYDAY_MINUTES`].
    pub minutes: u64,
    /// When it runs.
    pub when: When,
    /// What has to be installed for it.
    pub needs: &'static [Need],
    /// Does it.
    pub run: fn(&Context) -> Result<()>,
}

const ANDROID_NEEDS: &[Need] =
    &[needs::ANDROID_STD, needs::ANDROID_EMULATOR_STD, needs::ARM64_GCC, needs::X86_64_GCC, needs::MAVEN, needs::JDK];

const IOS_NEEDS: &[Need] = if cfg!(target_os = "macos") {
    &[needs::ZIP, needs::IOS_STD, needs::MACOS_STD, needs::IOS_SIMULATOR_STD]
} else {
    &[needs::ZIP, needs::IOS_STD]
};

/// What is built to be handed out: commands of their own.
pub const PACKAGES: &[Part] = &[
    Part {
        name: "android",
        what: "the Android package for a Maven repository, in target/packages/android",
        minutes: 30,
        when: When::Full,
        needs: ANDROID_NEEDS,
        run: android::package,
    },
    Part {
        name: "ios",
        what: "the Swift package with its xcframework, in target/packages/ios",
        minutes: 30,
        when: When::Full,
        needs: IOS_NEEDS,
        run: ios::package,
    },
];

/// All parts, cheap ones first. The builds follow each other so that each finds what the one before compiled.
pub const PARTS: &[Part] = &[
    Part {
        name: "fmt",
        what: "the sources are formatted",
        minutes: 1,
        when: When::Always,
        needs: &[needs::RUSTFMT],
        run: checks::fmt,
    },
    Part {
        name: "clippy",
        what: "no warnings, for this machine and for arm64",
        minutes: 10,
        when: When::Always,
        needs: &[needs::CLIPPY, needs::ARM64_STD],
        run: checks::clippy,
    },
    Part {
        name: "doc",
        what: "the documentation builds without warnings",
        minutes: 4,
        when: When::Always,
        needs: &[],
        run: checks::doc,
    },
    Part {
        name: "tidy",
        what: "the house rules a machine can check",
        minutes: 6,
        when: When::Always,
        needs: &[],
        run: checks::tidy,
    },
    Part {
        name: "unit",
        what: "unit and integration tests of all packages",
        minutes: 18,
        when: When::Always,
        needs: &[],
        run: checks::unit,
    },
    Part {
        name: "aarch64",
        what: "kernels and engine for arm64 under qemu, with and without dotprod and i8mm",
        minutes: 20,
        when: When::Always,
        needs: &[needs::ARM64_STD, needs::ARM64_GCC, needs::QEMU],
        run: aarch64::run,
    },
    Part {
        name: "metal",
        what: "shaders for Apple GPUs, emulated under sanitizers; the device compiled",
        minutes: 16,
        when: When::Always,
        needs: &[needs::CLANG, needs::CLIPPY, needs::IOS_STD, needs::MACOS_STD],
        run: metal::run,
    },
    Part {
        name: "size",
        what: "the Android library stays small, and is such that Android loads it",
        minutes: 8,
        when: When::Always,
        needs: &[needs::ANDROID_STD, needs::ARM64_GCC],
        run: size::run,
    },
    Part {
        name: "kotlin",
        what: "the Kotlin API compiles strictly and passes its tests on the JVM",
        minutes: 10,
        when: When::Always,
        needs: &[needs::MAVEN, needs::JDK],
        run: kotlin::run,
    },
    Part {
        name: "android",
        what: "the Android package has its form, each check of it sees its fault, and an app compiles against it",
        minutes: 12,
        when: When::Always,
        needs: ANDROID_NEEDS,
        run: android::check,
    },
    Part {
        name: "swift",
        what: "the Swift package builds without warnings and passes its tests",
        minutes: 12,
        when: When::Always,
        needs: &[needs::DEBOOTSTRAP],
        run: swift::run,
    },
    Part {
        name: "ios",
        what: "the Swift package for Apple's systems has its form, and each check of it sees its fault",
        minutes: 8,
        when: When::Always,
        needs: IOS_NEEDS,
        run: ios::check,
    },
    Part {
        name: "fuzz",
        what: "what comes from outside, fuzzed for five minutes, guided by coverage",
        minutes: 20,
        when: When::Full,
        needs: &[needs::CPP_COMPILER],
        run: fuzz::run,
    },
    Part {
        name: "deny",
        what: "licences, duplicates, build scripts and sources of all dependencies; known faults where there is a network",
        minutes: 3,
        when: When::Full,
        needs: &[needs::DENY],
        run: checks::deny,
    },
    Part {
        name: "miri",
        what: "GGUF, scalar kernels and the engine's threads under Miri",
        minutes: 30,
        when: When::Full,
        needs: &[needs::NIGHTLY],
        run: sanitizers::miri,
    },
    Part {
        name: "address",
        what: "kernels, engine and sessions under AddressSanitizer",
        minutes: 40,
        when: When::Full,
        needs: &[needs::NIGHTLY],
        run: sanitizers::address,
    },
    Part {
        name: "thread",
        what: "the pool and sessions under ThreadSanitizer",
        minutes: 40,
        when: When::Full,
        needs: &[needs::NIGHTLY],
        run: sanitizers::thread,
    },
    Part {
        name: "conformance",
        what: "logits beside llama.cpp's, on generated files",
        minutes: 45,
        when: When::Full,
        needs: &[needs::PYTHON_VENV, needs::CPP_COMPILER],
        run: conformance::run,
    },
];

/// Minutes that the everyday run may take as a whole.
const EVERYDAY_MINUTES: u64 = 60;

/// Installing what the parts need comes first and is itself called this.
pub const SETUP: &str = "setup";

/// Minutes it may take.
const SETUP_MINUTES: u64 = 5;

/// What every part is given.
pub struct Context {
    /// The workspace's folder.
    pub root: PathBuf,
    /// Where cargo builds.
    pub target: PathBuf,
    /// How long the part may take.
    pub budget: Duration,
    /// When its time is over.
    pub deadline: Instant,
}

impl Context {
    /// The workspace we were built from, and a deadline `budget` from now.
    pub fn new(budget: Duration) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let root = root.canonicalize().unwrap_or(root);
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir));
        Self { root, target, budget, deadline: Instant::now() + budget }
    }
}

struct Outcome {
    name: &'static str,
    seconds: u64,
    minutes: u64,
    error: Option<Error>,
}

/// Installs what `prepared` need, runs `parts` in order, all of them even after a failure, and prints the table.
/// True when everything passed.
pub fn run(prepared: &[&Part], parts: &[&Part]) -> bool {
    let mut outcomes = vec![timed(SETUP, SETUP_MINUTES, |context| {
        needs::install(context, prepared.iter().flat_map(|part| part.needs))
    })];
    for part in parts {
        outcomes.push(timed(part.name, part.minutes, part.run));
    }
    print!("{}", table(&outcomes));
    let everyday = parts.iter().all(|part| part.when == When::Always);
    let over = everyday && is_over(&outcomes);
    if over {
        println!("xtask: over the {EVERYDAY_MINUTES} minutes that the everyday run may take");
    }
    !over && outcomes.iter().all(|outcome| outcome.error.is_none())
}

fn is_over(outcomes: &[Outcome]) -> bool {
    outcomes.iter().map(|outcome| outcome.seconds).sum::<u64>() > 60 * EVERYDAY_MINUTES
}

fn timed(name: &'static str, minutes: u64, work: impl FnOnce(&Context) -> Result<()>) -> Outcome {
    println!("\n== {name}");
    let start = Instant::now();
    let context = Context::new(Duration::from_secs(60 * minutes));
    let mut error = work(&context).err();
    // Work between two programs is not interrupted; it counts all the same.
    if error.is_none() && Instant::now() > context.deadline {
        error = Some(Error::OverBudget { budget: context.budget });
    }
    if let Some(error) = &error {
        println!("xtask: {name}: {error}");
    }
    Outcome { name, seconds: start.elapsed().as_secs(), minutes, error }
}

fn table(outcomes: &[Outcome]) -> String {
    let mut text = format!("\n{:12} {:6} {:>7} {:>7}\n", "part", "result", "seconds", "budget");
    for outcome in outcomes {
        let result = if outcome.error.is_some() { "FAILED" } else { "ok" };
        text += &format!("{:12} {result:6} {:7} {:7}", outcome.name, outcome.seconds, 60 * outcome.minutes);
        if let Some(error) = &outcome.error {
            text += &format!("  {error}");
        }
        text.push('\n');
    }
    let total: u64 = outcomes.iter().map(|outcome| outcome.seconds).sum();
    text += &format!("{:12} {:6} {total:7}\n", "all", "");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_everyday_run_fits_an_hour() {
        let outcome = |seconds| Outcome { name: "part", seconds, minutes: 40, error: None };
        assert!(!is_over(&[outcome(1800), outcome(1800)]));
        assert!(is_over(&[outcome(1800), outcome(1801)]));
    }

    #[test]
    fn a_part_that_takes_too_long_fails() {
        let outcome = timed("slow", 0, |_| Ok(()));
        assert!(matches!(outcome.error, Some(Error::OverBudget { .. })));
        assert!(table(&[outcome]).contains("slow         FAILED"));
    }

    #[test]
    fn a_part_within_its_minutes_passes() {
        let outcome = timed("quick", 1, |_| Ok(()));
        assert!(outcome.error.is_none());
        assert!(table(&[outcome]).contains("quick        ok"));
    }
}
