//! The Kotlin API: compiled strictly and tested on this machine's JVM, against this machine's library.

use std::fs;

use crate::bindings::{mirror, prepare, readme};
use crate::error::{Error, Result};
use crate::parts::Context;
use crate::process::Program;

/// Maven's build, which fetches the compiler, JNA and JUnit.
const POM: &str = "android/pom.xml";

/// Puts what Rust made where Maven looks, and lets Maven compile and test.
pub fn run(context: &Context) -> Result<()> {
    let prepared = prepare(context)?;
    let folder = context.target.join("xtask/kotlin");
    mirror(&prepared.generated.join("kotlin"), &folder.join("generated"))?;
    readme(context, "kotlin", &folder.join("readme/Readme.kt"))?;
    // JNA looks in a jar for a folder named after the system and the processor.
    let native = format!("native/{}-{}", jna_name(std::env::consts::OS), jna_name(std::env::consts::ARCH));
    prepared.library_into(&folder.join(native))?;
    // A class whose source is gone would stay, and stand in the public API.
    let classes = folder.join("sdk/classes");
    if classes.exists() {
        fs::remove_dir_all(&classes).map_err(|source| Error::File { path: classes, source })?;
    }
    Program::new(context, "mvn")
        .args(["-B", "-ntp", "-q", "-f", POM, "verify"])
        .args([format!("-Dsprat.target={}", context.target.display())])
        .run(context)
}

/// What JNA calls a system or a processor.
fn jna_name(name: &str) -> &str {
    match name {
        "macos" => "darwin",
        "x86_64" => "x86-64",
        other => other,
    }
}
