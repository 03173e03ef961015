//! Apple GPUs without one: the shaders under the emulator, the device compiled for Apple's systems.

use crate::error::Result;
use crate::needs::{IOS, MACOS};
use crate::parts::Context;
use crate::process::Program;

/// Lints and runs the tests that need clang, which `cargo test` alone leaves out; then lints what only Apple's systems compile.
pub fn run(context: &Context) -> Result<()> {
    let emulator = ["-p", "sprat-metal", "--test", "emulator", "--locked"];
    let no_warnings = ["--", "-D", "warnings"];
    Program::cargo(context).args(["clippy"]).args(emulator).args(no_warnings).run(context)?;
    Program::cargo(context).args(["test"]).args(emulator).run(context)?;
    // The engine with its feature for GPUs: its own tests, and sessions through the emulator.
    let engine = ["-p", "sprat", "-p", "sprat-tests", "--features", "sprat-tests/metal", "--locked"];
    Program::cargo(context)
        .args(["clippy"])
        .args(engine)
        .args(["--lib", "--test", "gpu"])
        .args(no_warnings)
        .run(context)?;
    Program::cargo(context).args(["test"]).args(engine).args(["--lib", "--", "gpu::", "arena::"]).run(context)?;
    Program::cargo(context).args(["test"]).args(engine).args(["--test", "gpu"]).run(context)?;
    for target in [IOS, MACOS] {
        let device = ["clippy", "-p", "sprat-metal", "-p", "sprat", "--lib", "--features", "sprat/metal", "--locked"];
        Program::cargo(context).args(device).args(["--target", target]).args(no_warnings).run(context)?;
    }
    // The device's own tests, which run on a Mac alone.
    let tests = ["clippy", "-p", "sprat-metal", "--lib", "--tests", "--locked", "--target", IOS];
    Program::cargo(context).args(tests).args(no_warnings).run(context)
}
