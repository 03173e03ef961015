//! Apple GPUs without one: the shaders under the emulator.

use crate::error::Result;
use crate::parts::Context;
use crate::process::Program;

/// Lints and runs the tests that need clang, which `cargo test` alone leaves out.
pub fn run(context: &Context) -> Result<()> {
    let emulator = ["-p", "sprat-metal", "--test", "emulator", "--locked"];
    Program::cargo(context).args(["clippy"]).args(emulator).args(["--", "-D", "warnings"]).run(context)?;
    Program::cargo(context).args(["test"]).args(emulator).run(context)
}
