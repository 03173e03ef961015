//! Checks of the shared libraries in an Android package.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::link::{self, ABIS, PAGE_BYTES};
use crate::elf::{self, Elf};
use crate::package::{Check, Verdict, files, replace};

/// Promise 8 of ARCHITECTURE.md, for phones.
const LIMIT_BYTES: u64 = 4_000_000;

/// Where an unpacked package has its libraries, one folder for each processor.
pub const FOLDER: &str = "aar/jni";

/// What Android offers every app, and what the library may ask for.
const SYSTEM: &[&str] = &["libc.so", "libm.so", "libdl.so", "liblog.so"];

/// How the names begin that uniffi makes.
const EXPORTS: &[&str] = &["uniffi_", "ffi_sprat_", "UNIFFI_META_"];

/// All of them, for the libraries of any number of processors.
pub const CHECKS: &[Check] = &[
    Check {
        what: "processors",
        run: |root| {
            each(root, |path, elf| {
                let abi = ABIS.iter().find(|abi| self::abi(path) == abi.name).ok_or("an unknown processor")?;
                if elf.machine == abi.machine {
                    Ok(abi.name.into())
                } else {
                    Err(format!("{} for {}", elf.machine, abi.name))
                }
            })
        },
        fault: |root| spoil(root, |bytes| bytes[18] ^= 1),
    },
    Check {
        what: "size, stripped",
        run: |root| {
            each(root, |path, elf| {
                let bytes = fs::metadata(path).map_err(|error| error.to_string())?.len();
                let figure = format!("{:.2} MB", bytes as f64 / 1e6);
                // The limit is for phones; the emulator has more instruction sets to carry.
                if elf.machine == elf::ARM64 && bytes > LIMIT_BYTES {
                    Err(format!("{figure}, {bytes} bytes"))
                } else {
                    Ok(figure)
                }
            })
        },
        fault: |root| spoil(root, |bytes| bytes.resize(LIMIT_BYTES as usize + 1, 0)),
    },
    Check {
        what: "pages of 16 KB",
        run: |root| each(root, |_, elf| aligned(elf)),
        fault: |root| spoil(root, |bytes| align_to_4_kb(bytes)),
    },
    Check {
        what: "needed libraries",
        run: |root| {
            each(root, |_, elf| match elf.needed.iter().find(|name| !SYSTEM.contains(&name.as_str())) {
                Some(stranger) => Err(format!("{stranger} is not Android's")),
                None if elf.needed.is_empty() => Err("none: Android's linker would find no function".into()),
                None => Ok(elf.needed.join(" ")),
            })
        },
        fault: |root| patch(root, b"\0libdl.so\0", b"\0libgo.so\0"),
    },
    Check {
        what: "imports, of Android 8.0",
        run: |root| {
            each(root, |_, elf| {
                let known = |wanted: &String| link::imports().any(|(_, name)| name == wanted);
                match elf.imported.iter().find(|name| !known(name)) {
                    Some(stranger) => Err(format!("{stranger} is not in imports.txt")),
                    None => Ok(format!("{} names", elf.imported.len())),
                }
            })
        },
        fault: |root| patch(root, b"\0posix_memalign\0", b"\0posix_memfdget\0"),
    },
    Check {
        what: "exports, nothing but uniffi's",
        run: |root| {
            each(root, |_, elf| {
                let ours = |name: &String| EXPORTS.iter().any(|begin| name.starts_with(begin));
                match elf.exported.iter().find(|name| !ours(name)) {
                    Some(stranger) => Err(format!("{stranger} is exported")),
                    None if elf.exported.is_empty() => Err("nothing is exported".into()),
                    None => Ok(format!("{} names", elf.exported.len())),
                }
            })
        },
        fault: |root| patch(root, b"\0uniffi_", b"\0strayf_"),
    },
    Check {
        what: "the library's own name",
        run: |root| {
            each(root, |path, elf| match &elf.soname {
                Some(name) if path.ends_with(name) => Ok(name.clone()),
                other => Err(format!("{other:?}")),
            })
        },
        fault: |root| patch(root, b"\0libsprat_ffi.so\0", b"\0libsprat_ffi_so\0"),
    },
    Check {
        what: "no text relocations",
        run: |root| {
            each(root, |_, elf| if elf.text_relocations { Err("there are some".into()) } else { Ok("none".into()) })
        },
        // The entry DT_FLAGS with DF_BIND_NOW, to which DF_TEXTREL is added.
        fault: |root| patch(root, &entry(30, 8), &entry(30, 8 | 4)),
    },
    Check {
        what: "no executable stack",
        run: |root| each(root, |_, elf| if elf.executable_stack { Err("it is".into()) } else { Ok("none".into()) }),
        // The program header PT_GNU_STACK, readable and writable.
        fault: |root| patch(root, &stack(6), &stack(7)),
    },
    Check {
        what: "names of inner functions",
        run: |root| each(root, |_, elf| if elf.has_symbols { Err("are in it".into()) } else { Ok("stripped".into()) }),
        // A section of any other kind is called a table of symbols.
        fault: |root| {
            spoil(root, |bytes| {
                let headers = u64::from_le_bytes(bytes[40..48].try_into().expect("8 bytes")) as usize;
                bytes[headers + 64 + 4] = 2;
            })
        },
    },
    Check {
        what: "build id",
        run: |root| {
            each(root, |_, elf| match &elf.build_id {
                Some(id) => Ok(id.iter().take(4).map(|byte| format!("{byte:02x}")).collect()),
                None => Err("none: a crash could not be told from another build's".into()),
            })
        },
        fault: |root| patch(root, b"\x03\0\0\0GNU\0", b"\x09\0\0\0GNU\0"),
    },
];

/// Whether every segment can be mapped where pages have 16 KB.
pub fn aligned(elf: &Elf) -> Verdict {
    let least = elf.alignments.iter().min().copied().unwrap_or(0);
    if least >= PAGE_BYTES && elf.congruent {
        Ok(format!("{} KB", least / 1024))
    } else {
        Err(format!("{least} bytes"))
    }
}

/// Says of every loaded segment that it is for pages of 4 KB.
pub fn align_to_4_kb(bytes: &mut [u8]) {
    let number = |bytes: &[u8], at: usize, len: usize| {
        bytes[at..at + len].iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte))
    };
    let (begin, size, count) = (number(bytes, 32, 8), number(bytes, 54, 2), number(bytes, 56, 2));
    for header in (0..count).map(|i| begin + i * size) {
        if number(bytes, header, 4) == 1 {
            bytes[header + 48..header + 56].copy_from_slice(&4096u64.to_le_bytes());
        }
    }
}

fn entry(tag: u64, value: u64) -> Vec<u8> {
    [tag.to_le_bytes(), value.to_le_bytes()].concat()
}

fn stack(flags: u32) -> Vec<u8> {
    [0x6474_e551, flags].map(u32::to_le_bytes).concat()
}

fn libraries(root: &Path) -> Vec<PathBuf> {
    files(&root.join(FOLDER))
}

/// The first library: the phone's.
fn library(root: &Path) -> io::Result<PathBuf> {
    libraries(root).into_iter().next().ok_or_else(|| io::Error::other("no library to spoil"))
}

/// Puts as many other bytes in the place of `old` in the first library.
fn patch(root: &Path, old: &[u8], new: &[u8]) -> io::Result<()> {
    assert_eq!(old.len(), new.len(), "what follows must stay where it is");
    replace(&library(root)?, old, new, false)
}

fn spoil(root: &Path, change: impl Fn(&mut Vec<u8>)) -> io::Result<()> {
    let path = library(root)?;
    let mut bytes = fs::read(&path)?;
    change(&mut bytes);
    fs::write(path, bytes)
}

/// Android's name of the processor, which is the folder's.
fn abi(path: &Path) -> String {
    path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned()
}

/// Looks at each library; what is said of all, once if it is the same.
fn each(root: &Path, look: impl Fn(&Path, &Elf) -> Verdict) -> Verdict {
    let libraries = libraries(root);
    if libraries.is_empty() {
        return Err("there is no library".into());
    }
    let mut said: Vec<String> = Vec::new();
    for path in libraries {
        let elf = elf::read(&path).map_err(|error| error.to_string())?;
        let text = look(&path, &elf).map_err(|fault| format!("{}: {fault}", abi(&path)))?;
        if !said.contains(&text) {
            said.push(text);
        }
    }
    Ok(said.join(", "))
}
