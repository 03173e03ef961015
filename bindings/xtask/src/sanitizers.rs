//! The part `sanitizers`: unsafe code under Miri, AddressSanitizer and ThreadSanitizer, with a nightly compiler.
//!
//! What is left out, and why: Miri interprets, so it gets what holds pointers and threads, but maps no file and has no vector
//! instructions. Tests of limits and signals (`limits`, `lost_file`, `kill`, `small_memory`, `machine`) end or measure whole
//! processes, of which the sanitizers' own memory and handlers are a part.

use crate::error::Result;
use crate::parts::Context;
use crate::process::Program;

/// Parts of the engine that Miri runs: those that hold pointers or threads, map nothing and ask for no impossible memory.
const MIRI_ENGINE: [&str; 3] = ["backend::cpu::pool", "backend::cpu::ticket", "backend::cpu::ledger"];

/// Tests that Miri leaves out: it has no set of kernels but the scalar one to compare, times nothing, takes minutes for whole pages
/// of attention, and numbers by the hundred thousand, or a file parsed anew for each of its bytes, show nothing that a few do not.
const NOT_MIRI: [&str; 8] = [
    "choice::",
    "attention::tests",
    "every_item_of_every_stage_is_done_once",
    "every_set_gives_the_bits_of_scalar",
    "agree_with_std",
    "errors_stay_within",
    "every_half_precision",
    "a_prefix_that_holds_the_header_is_enough",
];

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
        .args(["miri", "test", "--locked", "--tests", "-p", "sprat-gguf", "-p", "sprat-kernels", "--"])
        .args(NOT_MIRI.iter().flat_map(|name| ["--skip", name]))
        .run(context)?;
    nightly(context)
        .args(["miri", "test", "--locked", "-p", "sprat", "--lib", "--"])
        .args(MIRI_ENGINE)
        .args(NOT_MIRI.iter().flat_map(|name| ["--skip", name]))
        .run(context)
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
