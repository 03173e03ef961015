//! Tests for arm64 under qemu user mode, on the newest CPU it knows and on one without dotprod and i8mm.

use crate::error::Result;
use crate::needs::{ARM64, QEMU_PROGRAM};
use crate::parts::Context;
use crate::process::Program;

/// One run: on a CPU that qemu knows, the tests of some packages.
struct Run {
    cpu: &'static str,
    packages: &'static [&'static str],
    /// Which tests; none for all.
    filter: &'static [&'static str],
}

/// `max` has every extension qemu knows; Cortex-A53 (2012) is plain ARMv8.0, the least that Android's arm64 promises. The
/// tests go through all sets that a CPU has, so `max` covers the lesser ones too, and the A53 shows that nothing
/// beyond them is used: for the engine its logits beside llama.cpp's and the bundled model's replies suffice. What the
/// engine does above the forward pass is the same code on every CPU.
const RUNS: &[Run] = &[
    Run { cpu: "max", packages: &["sprat-gguf", "sprat-kernels"], filter: &[] },
    Run {
        cpu: "max",
        packages: &["sprat-tests"],
        filter: &["conformance::", "forward::", "states::", "tiny::", "costs"],
    },
    // The bundled model's replies on the set between: dotprod without i8mm (2018).
    Run { cpu: "cortex-a76", packages: &["sprat-tests"], filter: &["tiny::"] },
    Run { cpu: "cortex-a53", packages: &["sprat-kernels"], filter: &[] },
    Run { cpu: "cortex-a53", packages: &["sprat-tests"], filter: &["conformance::", "tiny::"] },
];

/// Builds once. The test profile optimizes the kernels fully, so no further one is needed.
pub fn run(context: &Context) -> Result<()> {
    for Run { cpu, packages, filter } in RUNS {
        // Debian's cross libraries live apart from the host's; -L tells qemu where the dynamic linker is.
        let runner = format!("{QEMU_PROGRAM} -L /usr/aarch64-linux-gnu -cpu {cpu}");
        Program::cargo(context)
            .args(["test", "--locked", "--target", ARM64, "--lib", "--tests"])
            .args(packages.iter().flat_map(|name| ["-p", name]))
            .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER", runner)
            .args(["--"])
            .args(*filter)
            .run(context)?;
    }
    Ok(())
}
