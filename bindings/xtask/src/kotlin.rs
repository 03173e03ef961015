//! The Kotlin side: compiled strictly and tested on this machine's JVM, compiled for Android, and compiled against from outside.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::bindings::{Block, KOTLIN, mirror, prepare, shown};
use crate::error::Result;
use crate::package::clear;
use crate::parts::Context;
use crate::process::Program;

/// Maven's build, which fetches the compiler, JNA and JUnit.
const POM: &str = "android/pom.xml";
/// A project that has nothing of the workspace but the package.
const CONSUMER: &str = "android/consumer/pom.xml";

/// How a model is fetched.
const DOWNLOAD: Block = Block("docs/shipping.md", "kotlin", 2);

/// Whether this process has compiled everything already.
static BUILT: AtomicBool = AtomicBool::new(false);

/// What an Android package is made of, but for the libraries.
pub struct Classes {
    /// Folders with compiled classes.
    pub folders: Vec<PathBuf>,
    /// Generated sources.
    pub generated: PathBuf,
    /// JNA for Android.
    pub jna: PathBuf,
    /// Pages about the API, where they were asked for.
    pub pages: Option<PathBuf>,
}

/// Compiles and tests all of it.
pub fn run(context: &Context) -> Result<()> {
    prepare_maven(context)?;
    maven(context, POM).args(["verify"]).run(context)?;
    BUILT.store(true, Ordering::Relaxed);
    Ok(())
}

/// Compiles what goes into an Android package, unless [`run`] has; with pages about it, which take longer than all else.
pub fn classes(context: &Context, with_pages: bool) -> Result<Classes> {
    let built = BUILT.load(Ordering::Relaxed);
    if !built {
        prepare_maven(context)?;
    }
    if !built && !with_pages {
        maven(context, POM).args(["-pl", "bindings,platform", "package"]).run(context)?;
    }
    let build = folder(context);
    let pages = build.join("platform/dokka");
    clear(&pages)?;
    if with_pages {
        maven(context, POM).args(["-pl", "bindings,platform", "-Ppages", "package"]).run(context)?;
    }
    Ok(Classes {
        folders: vec![build.join("bindings/classes"), build.join("platform/classes")],
        generated: build.join("generated"),
        jna: build.join("platform/jna.aar"),
        pages: with_pages.then_some(pages),
    })
}

/// Compiles README.md's program against the classes of the unpacked package in `unpacked`, and nothing else of ours.
pub fn consumer(context: &Context, unpacked: &Path) -> Result<()> {
    maven(context, CONSUMER).args([format!("-Dsprat.package={}", unpacked.display())]).args(["compile"]).run(context)
}

/// Puts what Rust made where Maven looks.
fn prepare_maven(context: &Context) -> Result<()> {
    let prepared = prepare(context)?;
    let folder = folder(context);
    mirror(&prepared.generated.join("kotlin"), &folder.join("generated"))?;
    shown(context, &KOTLIN, &[], &folder.join("readme/Readme.kt"))?;
    shown(context, &DOWNLOAD, &[], &folder.join("readme/Download.kt"))?;
    // JNA looks in a jar for a folder named after the system and the processor.
    let native = format!("native/{}-{}", jna_name(std::env::consts::OS), jna_name(std::env::consts::ARCH));
    prepared.library_into(&folder.join(native))?;
    // A class whose source is gone would stay, and stand in the public API.
    for classes in ["sdk/classes", "platform/classes"].map(|name| folder.join(name)) {
        clear(&classes)?;
    }
    Ok(())
}

fn folder(context: &Context) -> PathBuf {
    context.target.join("xtask/kotlin")
}

fn maven(context: &Context, pom: &str) -> Program {
    Program::new(context, "mvn")
        .args(["-B", "-ntp", "-q", "-f", pom])
        .args([format!("-Dsprat.target={}", context.target.display())])
}

/// What JNA calls a system or a processor.
fn jna_name(name: &str) -> &str {
    match name {
        "macos" => "darwin",
        "x86_64" => "x86-64",
        other => other,
    }
}
