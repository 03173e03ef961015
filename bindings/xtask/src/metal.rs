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
    for target in [IOS, MACOS] {
        let device = ["clippy", "-p", "sprat-metal", "--lib", "--locked", "--target", target];
        Program::cargo(context).args(device).args(no_warnings).run(context)?;
    }
    Ok(())
}
