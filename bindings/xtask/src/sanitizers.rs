//! The part `sanitizers`: unsafe code under Miri, AddressSanitizer and ThreadSanitizer, with a nightly compiler.
//!
//! What is left out, and why: Miri interprets, so it gets what holds pointers and threads, with sizes and samples that tests choose
//! under `cfg(miri)`; it maps no file and has no vector instructions. Tests of limits and signals (`limits`, `lost_file`, `kill`, `small_memory`, `machine`) end or measure whole
//! processes, of which the sanitizers' own memory and handlers are a part.

use crate::error::Result;
use crate::parts::Context;
use crate::process::Program;

/// Parts of the engine that Miri runs: those that hold pointers or threads, map nothing and ask for no impossible memory.
const MIRI_ENGINE: [&str; 3] = ["backend::cpu::pool", "backend::cpu::ticket", "backend::cpu::ledger"];

/// What several threads run through: single passes, and sessions beside each other.
const THREADS: [&str; 5] = ["backend::", "session::", "forward::", "sessions::", "events::"];

/// All three, one after the other.
pub fn run(context: &Context) -> Result<()> {
    miri(context)?;
    address(context)?;
    thread(context)
}

fn nightly(context: &Context) -> Program {
    Program::new(context, "rustup").args(["run", "nightly", "cargo"])
}

fn miri(context: &Context) -> Result<()> {
    nightly(context)
        .args(["miri", "test", "--locked", "--tests", "-p", "sprat-gguf", "-p", "sprat-kernels"])
        .run(context)?;
    nightly(context).args(["miri", "test", "--locked", "-p", "sprat", "--lib", "--"]).args(MIRI_ENGINE).run(context)
}

/// Tests built with a sanitizer. Naming the target keeps build scripts and macros out of it.
fn sanitized(context: &Context, name: &str) -> Program {
    nightly(context)
        .args(["test", "--locked", "--profile", "sanitize", "--target", "host-tuple"])
        .env("RUSTFLAGS", format!("-Zsanitizer={name}"))
        // Some tests ask for more memory than there is, and expect to be told.
        .env("ASAN_OPTIONS", "allocator_may_return_null=1")
        .env("TSAN_OPTIONS", "allocator_may_return_null=1")
        .env("CARGO_TARGET_DIR", context.target.join(name))
}

fn address(context: &Context) -> Result<()> {
    sanitized(context, "address")
        .args(["--tests", "-p", "sprat-gguf", "-p", "sprat-kernels", "-p", "sprat"])
        .run(context)?;
    sanitized(context, "address").args(["-p", "sprat-tests", "--test", "all", "--", "--skip", "tidy::"]).run(context)
}

/// With a standard library that is built the same way: its locks and channels would be seen as races otherwise.
fn thread(context: &Context) -> Result<()> {
    sanitized(context, "thread")
        .args(["-Zbuild-std", "-p", "sprat", "-p", "sprat-tests", "--lib", "--test", "all", "--"])
        .args(THREADS)
        .run(context)
}
