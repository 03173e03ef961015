//! What the parts need on the machine, and how to get it on Debian with rustup.

use std::path::Path;

use crate::error::{Error, Result};
use crate::parts::Context;
use crate::process::Program;

/// Something a part needs to be installed.
#[derive(Debug, PartialEq, Eq)]
pub enum Need {
    /// A program, and the Debian packages that make it work.
    Command { program: &'static str, packages: &'static [&'static str] },
    /// A module of Python's standard library, and the Debian package that has it.
    Module { module: &'static str, package: &'static str },
    /// Rust's standard library for another target.
    Target(&'static str),
    /// A cargo subcommand, and the rustup component that has it.
    Component { subcommand: &'static str, component: &'static str },
    /// A cargo subcommand of a package of its own.
    Subcommand { name: &'static str, package: &'static str },
    /// The newest compiler, with what checks unsafe code.
    Nightly,
}

/// The target of arm64 Linux, which qemu can run.
pub const ARM64: &str = "aarch64-unknown-linux-gnu";
/// The target of arm64 Android.
pub const ANDROID: &str = "aarch64-linux-android";
/// The target of Android's emulator on a PC.
pub const ANDROID_EMULATOR: &str = "x86_64-linux-android";

/// The targets of iPhones and of Macs with Apple's chips: checked here, not linked.
pub const IOS: &str = "aarch64-apple-ios";
pub const MACOS: &str = "aarch64-apple-darwin";
/// The target of the simulator on such a Mac.
pub const IOS_SIMULATOR: &str = "aarch64-apple-ios-sim";

/// Runs arm64 programs here.
pub const QEMU_PROGRAM: &str = "qemu-aarch64-static";
/// Debian's compiler for arm64: links for qemu, and brings an unwinder for the Android library.
pub const ARM64_COMPILER: &str = "aarch64-linux-gnu-gcc";
/// The same for x86_64.
pub const X86_64_COMPILER: &str = "x86_64-linux-gnu-gcc";

pub const RUSTFMT: Need = Need::Component { subcommand: "fmt", component: "rustfmt" };
pub const CLIPPY: Need = Need::Component { subcommand: "clippy", component: "clippy" };
pub const ARM64_STD: Need = Need::Target(ARM64);
pub const ANDROID_STD: Need = Need::Target(ANDROID);
pub const ANDROID_EMULATOR_STD: Need = Need::Target(ANDROID_EMULATOR);
pub const IOS_STD: Need = Need::Target(IOS);
/// Only a Mac has a use for it.
pub const IOS_SIMULATOR_STD: Need = Need::Target(IOS_SIMULATOR);
pub const MACOS_STD: Need = Need::Target(MACOS);
pub const ARM64_GCC: Need =
    Need::Command { program: ARM64_COMPILER, packages: &["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"] };
pub const X86_64_GCC: Need = Need::Command {
    program: X86_64_COMPILER,
    // Where it is the machine's own compiler it has no package of that name.
    packages: if cfg!(target_arch = "x86_64") { &["gcc"] } else { &["gcc-x86-64-linux-gnu"] },
};
pub const QEMU: Need = Need::Command { program: QEMU_PROGRAM, packages: &["qemu-user-static"] };
/// Python with the module that makes virtual environments, which Debian packs apart.
pub const PYTHON_VENV: Need = Need::Module { module: "ensurepip", package: "python3-venv" };
/// Compiles the shaders as C++ with sanitizers, whose runtime Debian packs apart.
pub const CLANG: Need = Need::Command { program: "clang++", packages: &["clang", "libclang-rt-14-dev"] };
/// Builds the Kotlin side, and fetches its compiler.
pub const MAVEN: Need = Need::Command { program: "mvn", packages: &["maven"] };
/// Java's class library for compiling against, and the machine that runs the tests.
pub const JDK: Need = Need::Command { program: "javac", packages: &["default-jdk-headless"] };
/// Packs the library for Swift packages.
pub const ZIP: Need = Need::Command { program: "zip", packages: &["zip"] };
/// Makes the folder that Swift's compiler runs in.
pub const DEBOOTSTRAP: Need = Need::Command { program: "debootstrap", packages: &["debootstrap"] };
/// For the sanitizers, which stable Rust does not have.
pub const NIGHTLY: Need = Need::Nightly;
/// Reads deny.toml.
pub const DENY: Need = Need::Subcommand { name: "deny", package: "cargo-deny" };
/// Builds llama.cpp; cmake comes through pip.
pub const CPP_COMPILER: Need = Need::Command { program: "c++", packages: &["g++"] };

/// Installs what is absent. Leaves a machine that has everything untouched, also without a network.
pub fn install<'a>(context: &Context, needs: impl Iterator<Item = &'a Need>) -> Result<()> {
    let mut packages = Vec::new();
    let mut seen: Vec<&Need> = Vec::new();
    for need in needs {
        if seen.contains(&need) {
            continue;
        }
        seen.push(need);
        match need {
            Need::Command { program, packages: wanted } => {
                if !on_path(program) {
                    packages.extend(*wanted);
                }
            }
            Need::Module { module, package } => {
                let import = format!("import {module}");
                if Program::new(context, "python3").args(["-c", &import]).output().is_err() {
                    packages.push(*package);
                }
            }
            Need::Target(triple) => {
                if !has_target(context, triple)? {
                    rustup(context, ["target", "add", *triple])?;
                }
            }
            Need::Component { subcommand, component } => {
                if Program::cargo(context).args([*subcommand, "--version"]).output().is_err() {
                    rustup(context, ["component", "add", *component])?;
                }
            }
            Need::Subcommand { name, package } => {
                if Program::cargo(context).args([*name, "--version"]).output().is_err() {
                    let missing = || Error::Missing {
                        what: (*package).into(),
                        install: format!("cargo install --locked {package}"),
                    };
                    let install = Program::cargo(context).args(["install", "--locked", *package]);
                    install.run(context).map_err(|error| explained(error, missing))?;
                }
            }
            Need::Nightly => nightly(context)?,
        }
    }
    if packages.is_empty() { Ok(()) } else { apt(context, &packages) }
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn has_target(context: &Context, triple: &str) -> Result<bool> {
    let folder = Program::new(context, "rustc").args(["--print", "target-libdir", "--target", triple]).output()?;
    Ok(Path::new(&folder).is_dir())
}

fn rustup<const N: usize>(context: &Context, args: [&str; N]) -> Result<()> {
    let missing = || Error::Missing { what: args[N - 1].into(), install: format!("rustup {}", args.join(" ")) };
    if !on_path("rustup") {
        return Err(missing());
    }
    Program::new(context, "rustup").args(args).run(context).map_err(|error| explained(error, missing))
}

/// Nothing stands in for it: a part that cannot have it fails, and says how to get it.
fn nightly(context: &Context) -> Result<()> {
    let missing = || Error::Missing {
        what: "a nightly Rust with Miri and the standard library's source".into(),
        install: "rustup toolchain install nightly --component miri,rust-src".into(),
    };
    if !on_path("rustup") {
        return Err(missing());
    }
    let run = |args: &[&str]| Program::new(context, "rustup").args(["run", "nightly"]).args(args).output();
    let has_source = run(&["rustc", "--print", "sysroot"])
        .is_ok_and(|sysroot| Path::new(&sysroot).join("lib/rustlib/src/rust/library/Cargo.lock").is_file());
    if has_source && run(&["cargo", "miri", "--version"]).is_ok() {
        return Ok(());
    }
    let args = ["toolchain", "install", "nightly", "--profile", "minimal", "--component", "miri,rust-src"];
    Program::new(context, "rustup").args(args).run(context).map_err(|error| explained(error, missing))
}

/// An installer that failed has said why above; the summary says what to install.
fn explained(error: Error, missing: impl Fn() -> Error) -> Error {
    if matches!(error, Error::Failed { .. }) { missing() } else { error }
}

/// Installs Debian packages as root, or through sudo where it asks no password.
fn apt(context: &Context, packages: &[&str]) -> Result<()> {
    let missing = || Error::Missing {
        what: packages.join(", "),
        install: format!("sudo apt-get install {}", packages.join(" ")),
    };
    let is_root = Program::new(context, "id").args(["-u"]).output()? == "0";
    let can_sudo = || Program::new(context, "sudo").args(["-n", "true"]).output().is_ok();
    if !on_path("apt-get") || !(is_root || can_sudo()) {
        return Err(missing());
    }
    let apt_get = |args: &[&str]| {
        let program =
            if is_root { Program::new(context, "env") } else { Program::new(context, "sudo").args(["-n", "env"]) };
        program.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y"]).args(args).run(context)
    };
    // A stale list still serves when the mirror is out of reach; the installation itself tells.
    let _ = apt_get(&["update"]);
    let mut install = vec!["install", "--no-install-recommends"];
    install.extend(packages);
    apt_get(&install).map_err(|error| explained(error, missing))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_present_program_is_found_and_an_absent_one_is_not() {
        assert!(on_path("sh"));
        assert!(!on_path("no-such-program"));
    }

    #[test]
    fn the_target_we_run_on_counts_as_installed() {
        let context = Context::new(Duration::from_secs(20));
        let version = Program::new(&context, "rustc").args(["-vV"]).output().expect("rustc runs");
        let host = version.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc names its host");
        assert!(has_target(&context, host).expect("rustc knows its host"));
    }
}
