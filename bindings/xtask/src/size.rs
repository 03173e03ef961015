//! How large the engine is as a stripped Android library, and whether it keeps its promise.
//!
//! Links without an NDK, for measuring alone: the result is never loaded anywhere. Android's system libraries are
//! stood in for by empty ones, since a shared library may leave their symbols open, and the unwinder is Debian's libgcc,
//! which does the same work as the NDK's.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::needs::{ANDROID, ARM64_COMPILER};
use crate::parts::Context;
use crate::process::Program;

/// Promise 8 of ARCHITECTURE.md.
const LIMIT_BYTES: u64 = 4_000_000;

/// The package whose library reaches everything an app can call.
const PACKAGE: &str = "sprat-size";

/// What Rust's standard library and the engine ask of the system.
const SYSTEM_LIBRARIES: &[&str] = &["libc", "libm", "libdl", "liblog"];

/// How a library for phones is linked: pages of 16 KB, as new devices have; no symbols; relocations packed the way every
/// Android since 6 reads them (320 KB less).
const SHIPPED: &[&str] = &["-z", "max-page-size=16384", "--strip-all", "--pack-dyn-relocs=android"];

/// Links, measures, judges.
pub fn run(context: &Context) -> Result<()> {
    let stand_ins = stand_ins(context)?;
    let linker = rust_lld(context)?;
    let native = format!("native={}", stand_ins.display());
    Program::cargo(context)
        .args(["rustc", "-p", PACKAGE, "--release", "--locked", "--target", ANDROID, "--"])
        .args(["-C", "linker-flavor=ld.lld", "-L", &native])
        // Not ours to define here: it comes with the NDK's start files.
        .args(["-C", "link-arg=--defsym=__dso_handle=0"])
        .args(SHIPPED.iter().flat_map(|arg| ["-C".to_owned(), format!("link-arg={arg}")]))
        .env("CARGO_TARGET_AARCH64_LINUX_ANDROID_LINKER", linker)
        .run(context)?;
    let library = context.target.join(ANDROID).join("release/libsprat_size.so");
    let bytes = fs::metadata(&library).map_err(|source| Error::File { path: library, source })?.len();
    println!("stripped arm64 library: {bytes} bytes = {:.2} MB (limit {LIMIT_BYTES})", bytes as f64 / 1e6);
    judge(bytes)
}

fn judge(bytes: u64) -> Result<()> {
    if bytes > LIMIT_BYTES { Err(Error::TooLarge { bytes, limit: LIMIT_BYTES }) } else { Ok(()) }
}

/// A folder with what the linker is asked for by name.
fn stand_ins(context: &Context) -> Result<PathBuf> {
    let folder = context.target.join("xtask/android");
    let in_file = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::File { path, source }
    };
    fs::create_dir_all(&folder).map_err(in_file(&folder))?;
    for name in SYSTEM_LIBRARIES {
        let path = folder.join(format!("{name}.so"));
        // An empty linker script: found, and nothing in it.
        fs::write(&path, "/* nothing */\n").map_err(in_file(&path))?;
    }
    let unwinder = Program::new(context, ARM64_COMPILER).args(["-print-file-name=libgcc_eh.a"]).output()?;
    let path = folder.join("libunwind.a");
    fs::copy(&unwinder, &path).map_err(in_file(Path::new(&unwinder)))?;
    Ok(folder)
}

/// The linker that rustup installs beside the compiler.
fn rust_lld(context: &Context) -> Result<PathBuf> {
    let libraries = Program::new(context, "rustc").args(["--print", "target-libdir"]).output()?;
    let path = Path::new(&libraries).with_file_name("bin").join("rust-lld");
    if path.is_file() {
        Ok(path)
    } else {
        Err(Error::Missing { what: path.display().to_string(), install: "rustup toolchain install stable".into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_over_the_limit_fails() {
        assert!(judge(LIMIT_BYTES).is_ok());
        assert!(matches!(judge(LIMIT_BYTES + 1), Err(Error::TooLarge { .. })));
    }
}
