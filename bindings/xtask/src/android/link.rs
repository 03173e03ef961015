//! The library for a phone: with an NDK as it is shipped, without one linked against stand-ins, for measuring and checking alone.
//!
//! The stand-ins are empty functions under the names in `imports.txt`, in libraries named as Android's, and the unwinder is
//! that of Debian's compiler, which does the same work as the NDK's. Nothing linked this way has ever been loaded.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::needs::{ANDROID, ANDROID_EMULATOR, ARM64_COMPILER, X86_64_COMPILER};
use crate::parts::Context;
use crate::process::Program;
use crate::{bindings, elf};

/// The oldest Android that is supported: 8.0.
pub const MIN_SDK: u32 = 26;

/// Libraries and the names that may be taken of each, in lines.
pub const IMPORTS: &str = include_str!("imports.txt");

/// Pages of 16 KB, as new devices have.
pub const PAGE_BYTES: u64 = 16 * 1024;

/// How a library for phones is linked. Relocations are packed the way every Android since 6 reads them (320 KB less) and equal
/// functions are one (90 KB less): no code of ours asks where a function lies.
const SHIPPED: &[&str] = &[
    "-z",
    "max-page-size=16384",
    "-z",
    "common-page-size=16384",
    "-z",
    "defs",
    "-soname=libsprat_ffi.so",
    "--build-id=sha1",
    "--pack-dyn-relocs=android",
    "--icf=all",
    "--hash-style=gnu",
    "-O2",
];

/// One kind of processor that Android runs on.
#[derive(Debug)]
pub struct Abi {
    /// Android's name.
    pub name: &'static str,
    /// Rust's name.
    pub target: &'static str,
    /// ELF's number.
    pub machine: u16,
    /// Debian's compiler for it.
    compiler: &'static str,
}

/// Phones, and the emulator on a PC.
pub const ABIS: [&Abi; 2] = [&ARM64, &EMULATOR];
pub const ARM64: Abi = Abi { name: "arm64-v8a", target: ANDROID, machine: elf::ARM64, compiler: ARM64_COMPILER };
const EMULATOR: Abi = Abi { name: "x86_64", target: ANDROID_EMULATOR, machine: elf::X86_64, compiler: X86_64_COMPILER };

/// Compiles in `profile`, links and strips. Returns the library as linked and as shipped.
pub fn library(context: &Context, abi: &Abi, profile: &str) -> Result<(PathBuf, PathBuf)> {
    let mut arguments: Vec<String> = Vec::new();
    let linker = match ndk() {
        Some(ndk) => {
            arguments.extend(SHIPPED.iter().map(|arg| format!("link-arg=-Wl,{arg}")));
            ndk.join(format!("{}{MIN_SDK}-clang", abi.target))
        }
        None => {
            let folder = stand_ins(context, abi)?;
            // Not ours to define here: they come with the NDK's start files, and with another C library.
            let absent = ["--defsym=__dso_handle=0", "--defsym=_dl_find_object=0"];
            arguments.push("linker-flavor=ld.lld".into());
            arguments.push(format!("link-arg=-L{}", folder.display()));
            arguments.extend(SHIPPED.iter().chain(&absent).map(|arg| format!("link-arg={arg}")));
            rust_lld(context)?
        }
    };
    let variable = format!("CARGO_TARGET_{}_LINKER", abi.target.to_uppercase().replace('-', "_"));
    Program::cargo(context)
        .args(["rustc", "-p", "sprat-ffi", "--lib", "--crate-type", "cdylib", "--locked"])
        .args(["--profile", profile, "--target", abi.target, "--"])
        .args(arguments.iter().flat_map(|argument| ["-C", argument]))
        .env(&variable, linker)
        .run(context)?;
    let name = format!("lib{}.so", bindings::LIBRARY);
    let linked = context.target.join(abi.target).join(profile).join(&name);
    let stripped = context.target.join("xtask/android").join(profile).join(abi.name).join(&name);
    let folder = stripped.parent().unwrap_or(&stripped);
    fs::create_dir_all(folder).map_err(|source| Error::File { path: folder.to_owned(), source })?;
    let strip = match ndk() {
        Some(ndk) => ndk.join("llvm-strip"),
        None => abi.compiler.replace("-gcc", "-strip").into(),
    };
    Program::new(context, strip)
        .args(["--strip-all".as_ref(), "-o".as_ref(), stripped.as_os_str(), linked.as_os_str()])
        .run(context)?;
    Ok((linked, stripped))
}

/// The programs of an NDK, where the environment names one.
pub fn ndk() -> Option<PathBuf> {
    let home = ["ANDROID_NDK_HOME", "ANDROID_NDK_ROOT"].iter().find_map(std::env::var_os)?;
    // Its folder for Macs is called x86_64 on all of them.
    let system = if cfg!(target_os = "macos") { "darwin-x86_64" } else { "linux-x86_64" };
    Some(PathBuf::from(home).join("toolchains/llvm/prebuilt").join(system).join("bin"))
}

/// A folder with what the linker is asked for by name.
fn stand_ins(context: &Context, abi: &Abi) -> Result<PathBuf> {
    let folder = context.target.join("xtask/android/stand-ins").join(abi.name);
    let in_file = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::File { path, source }
    };
    fs::create_dir_all(&folder).map_err(in_file(&folder))?;
    for library in ["libc", "libm", "libdl", "liblog"] {
        let functions: String =
            imports().filter(|(of, _)| *of == library).map(|(_, name)| format!("void {name}(void) {{}}\n")).collect();
        let source = folder.join(format!("{library}.c"));
        fs::write(&source, functions).map_err(in_file(&source))?;
        Program::new(context, abi.compiler)
            .args(["-w", "-fno-builtin", "-nostdlib", "-shared", "-o"])
            .args([folder.join(format!("{library}.so")), source])
            .args([format!("-Wl,-soname,{library}.so")])
            .run(context)?;
    }
    let unwinder = Program::new(context, abi.compiler).args(["-print-file-name=libgcc_eh.a"]).output()?;
    let path = folder.join("libunwind.a");
    fs::copy(&unwinder, &path).map_err(in_file(Path::new(&unwinder)))?;
    Ok(folder)
}

/// Every (library, name) of [`IMPORTS`].
pub fn imports() -> impl Iterator<Item = (&'static str, &'static str)> {
    IMPORTS.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(' '))
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
