//! The parts that are one or two calls of cargo.

use crate::error::Result;
use crate::needs::ARM64;
use crate::parts::Context;
use crate::process::Program;

/// Formatting of all packages.
pub fn fmt(context: &Context) -> Result<()> {
    Program::cargo(context).args(["fmt", "--all", "--check"]).run(context)
}

/// Lints of all packages and targets; the kernels once more for arm64, whose files this machine does not compile.
pub fn clippy(context: &Context) -> Result<()> {
    Program::cargo(context)
        .args(["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])
        .run(context)?;
    Program::cargo(context)
        .args(["clippy", "-p", "sprat-kernels", "--all-targets", "--locked", "--target", ARM64, "--", "-D", "warnings"])
        .run(context)
}

/// Documentation of the libraries. The command-line programs have none, and one of them shares the engine's name.
pub fn doc(context: &Context) -> Result<()> {
    Program::cargo(context)
        .args(["doc", "--workspace", "--lib", "--no-deps", "--locked"])
        .env("RUSTDOCFLAGS", "-D warnings")
        .run(context)
}

/// The house rules, which are tests of their own so that `cargo test` alone sees them too.
pub fn tidy(context: &Context) -> Result<()> {
    Program::cargo(context).args(["test", "-p", "sprat-tests", "--test", "all", "--locked", "tidy::"]).run(context)
}

/// All tests of all packages in the one profile that compiles kernels fully and keeps overflow checks.
pub fn unit(context: &Context) -> Result<()> {
    Program::cargo(context).args(["test", "--workspace", "--locked"]).run(context)
}

/// All that comes with us, as deny.toml says. Faults that became known since are looked up where their database can be had.
pub fn deny(context: &Context) -> Result<()> {
    let deny = |args: &[&str]| Program::cargo(context).args(["deny", "--locked"]).args(args);
    deny(&["check", "bans", "licenses", "sources"]).run(context)?;
    if deny(&["fetch", "db"]).output().is_err() {
        println!("NOT CHECKED: known faults of dependencies, because their database cannot be reached");
        return Ok(());
    }
    deny(&["check", "advisories"]).run(context)
}
