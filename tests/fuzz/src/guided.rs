//! The targets under libFuzzer, which changes inputs and keeps those that reach new code.

use std::fs;
use std::path::Path;

use crate::{LONGEST, Target};

/// A fuzzer's whole source file: the target of a name.
#[macro_export]
macro_rules! guided {
    ($name:literal) => {
        #[cfg(fuzzing)]
        libfuzzer_sys::fuzz_target!(init: $crate::write_seeds($name), |data: &[u8]| { $crate::run_guided($name, data) });

        #[cfg(not(fuzzing))]
        fn main() {
            println!("built without coverage; CONTRIBUTING.md says how to fuzz");
        }
    };
}

/// Adds the good inputs of a target to the corpus that cargo-fuzz keeps for it, before libFuzzer reads that.
pub fn write_seeds(name: &str) {
    let target = Target::named(name).expect("a target's name");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    fs::create_dir_all(&folder).expect("the corpus can be written");
    for (i, seed) in (target.seeds)().iter().enumerate() {
        fs::write(folder.join(format!("seed-{i:02}")), seed).expect("the corpus can be written");
    }
    // What all inputs share is made here, so that no input seems slow for it.
    (target.run)(&(target.seeds)()[0]);
}

/// Runs one input; a panic of any thread ends the process, and so does an input that takes long.
pub fn run_guided(name: &str, data: &[u8]) {
    let target = Target::named(name).expect("a target's name");
    let took = target.time(data);
    assert!(took <= LONGEST, "an input took {took:?}");
}
