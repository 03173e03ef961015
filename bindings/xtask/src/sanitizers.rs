//! The parts `miri`, `address` and `thread`: unsafe code under Miri and two sanitizers, with a nightly compiler.
//!
//! What is left out, and why: Miri interprets, so it gets what holds pointers and threads, with sizes and samples that tests choose
//! under `cfg(miri)`; it maps no file and has no vector instructions. Tests of limits and signals (`limits`, `lost_file`, `kill`,
//! `small_memory`, `machine`) end or measure whole processes, of which the sanitizers' own memory and handlers are a part.

use crate::error::Result;
use crate::parts::Context;
use crate::process::Program;

/// Parts of the engine that Miri runs: those that hold pointers or threads, map nothing and ask for no impossible memory.
const MIRI_ENGINE: [&str; 3] = ["backend::cpu::pool", "backend::cpu::ticket", "backend::cpu::ledger"];

/// What several threads run through: single passes, and sessions beside each other.
const THREADS: [&str; 5] = ["backend::", "session::", "forward::", "sessions::", "events::"];

/// What ThreadSanitizer would spend an hour on: the plain forward pass of a single thread that these compare with. The passes
/// themselves are those of `bits_do_not_depend_on_threads_pieces_or_batches`.
const OF_ONE_THREAD: [&str; 2] = ["float_files_give_the_logits", "quantized_files_are_as_near"];

fn nightly(context: &Context) -> Program {
    Program::new(context, "rustup").args(["run", "nightly", "cargo"])
}

/// GGUF, the scalar kernels of every format, and the threads of the engine.
pub fn miri(context: &Context) -> Result<()> {
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

/// Shows how deep a template gets on the stack that it has. AddressSanitizer's frames are several times as large: 3 KB for a level
/// that may take 2.
const OF_STACK: &str = "neither_deep_values_nor_deep_nesting_overflow_the_stack";

/// Integration tests that run under AddressSanitizer: all that neither end nor measure their process.
const TESTS: [&str; 4] = ["gguf", "formats", "matmul", "all"];

/// What they test, under AddressSanitizer. One call of cargo: others would unite features otherwise and build all twice.
pub fn address(context: &Context) -> Result<()> {
    sanitized(context, "address")
        .args(["-p", "sprat-gguf", "-p", "sprat-kernels", "-p", "sprat", "-p", "sprat-tests", "--lib"])
        .args(TESTS.iter().flat_map(|test| ["--test", test]))
        .args(["--", "--skip", OF_STACK, "--skip", "tidy::"])
        .run(context)
}

/// What several threads run through, under ThreadSanitizer. With a standard library that is built the same way: its locks and
/// channels would be seen as races otherwise.
pub fn thread(context: &Context) -> Result<()> {
    sanitized(context, "thread")
        .args(["-Zbuild-std", "-p", "sprat", "-p", "sprat-tests", "--lib", "--test", "all", "--"])
        .args(THREADS)
        .args(OF_ONE_THREAD.iter().flat_map(|test| ["--skip", test]))
        .run(context)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    #[test]
    fn no_integration_test_of_gguf_or_kernels_is_left_out() {
        let core = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../core");
        for folder in ["gguf/tests", "kernels/tests"] {
            for entry in fs::read_dir(core.join(folder)).expect("it has tests").flatten() {
                let path = entry.path();
                let name = path.file_stem().and_then(|name| name.to_str()).expect("a name of ASCII");
                let is_test = path.extension().is_some_and(|kind| kind == "rs") || path.join("main.rs").is_file();
                assert!(!is_test || TESTS.contains(&name), "{name}");
            }
        }
    }
}
