//! Tests for arm64 under qemu user mode, on the newest CPU it knows and on one without dotprod and i8mm.

use crate::error::Result;
use crate::needs::{ARM64, QEMU_PROGRAM};
use crate::parts::Context;
use crate::process::Program;

/// What depends on the instruction set. The test profile optimizes the kernels fully, so no further one is needed.
const PACKAGES: &[&str] = &["sprat-gguf", "sprat-kernels", "sprat-tests"];

/// `max` has every extension qemu knows; Cortex-A53 (2012) is plain ARMv8.0, the least that Android's arm64 promises.
const CPUS: &[&str] = &["max", "cortex-a53"];

/// Builds once, runs once per CPU.
pub fn run(context: &Context) -> Result<()> {
    for cpu in CPUS {
        // Debian's cross libraries live apart from the host's; -L tells qemu where the dynamic linker is.
        let runner = format!("{QEMU_PROGRAM} -L /usr/aarch64-linux-gnu -cpu {cpu}");
        let packages = PACKAGES.iter().flat_map(|name| ["-p", name]);
        Program::cargo(context)
            .args(["test", "--locked", "--target", ARM64, "--lib", "--tests"])
            .args(packages)
            .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER", runner)
            // The house rules are the same on every CPU.
            .args(["--", "--skip", "tidy::"])
            .run(context)?;
    }
    Ok(())
}
