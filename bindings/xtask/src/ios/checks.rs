//! Checks of a Swift package for Apple's systems.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::macho::{self, Library};
use super::{MODULE, Slice, slices};
use crate::package::{Check, Verdict, replace, text};

/// Functions whose use has to be declared with a reason, and the kind of the declaration; from Apple's "Describing use of
/// required reason API".
const DECLARED: &[(&str, &[&str])] = &[
    (
        "NSPrivacyAccessedAPICategoryFileTimestamp",
        &["stat", "fstat", "lstat", "fstatat", "getattrlist", "fgetattrlist"],
    ),
    ("NSPrivacyAccessedAPICategorySystemBootTime", &["mach_absolute_time"]),
    ("NSPrivacyAccessedAPICategoryDiskSpace", &["statfs", "statvfs", "fstatfs", "fstatvfs"]),
];

/// All of them.
pub const CHECKS: &[Check] = &[
    Check {
        what: "Info.plist names what is there",
        run: |root| {
            let info = text(&xcframework(root).join("Info.plist"))?;
            for slice in slices() {
                for (key, value) in
                    [("LibraryIdentifier", slice.name), ("LibraryPath", super::ARCHIVE), ("HeadersPath", "Headers")]
                {
                    if !info.contains(&format!("<key>{key}</key>\n\t\t\t<string>{value}</string>")) {
                        return Err(format!("{key} {value} is missing"));
                    }
                }
                let folder = folder(root, slice);
                for part in [super::ARCHIVE, "Headers"] {
                    if !folder.join(part).exists() {
                        return Err(format!("{} is missing", folder.join(part).display()));
                    }
                }
            }
            let named = info.matches("<key>LibraryIdentifier</key>").count();
            if named == slices().len() {
                Ok(format!("{named} of {named}"))
            } else {
                Err(format!("{named} slices are named"))
            }
        },
        fault: |root| fs::rename(folder(root, &slices()[0]), folder(root, &slices()[0]).with_file_name("ios-armv7")),
    },
    Check {
        what: "processor and system",
        run: |root| {
            each(root, |slice, library| {
                if !library.processors.iter().eq([&macho::ARM64])
                    || !library.systems.iter().all(|id| *id == slice.system)
                {
                    return Err(format!("processors {:x?}, systems {:?}", library.processors, library.systems));
                }
                Ok(format!("{}, {} objects", slice.name, library.objects))
            })
        },
        // The processor in the first object's header becomes x86_64.
        fault: |root| patch(root, &[0xcf, 0xfa, 0xed, 0xfe, 0x0c], &[0xcf, 0xfa, 0xed, 0xfe, 0x07]),
    },
    Check {
        what: "oldest system",
        run: |root| {
            each(root, |slice, library| {
                let (asked, figure) =
                    (library.least_system, format!("{}.{}", library.least_system.0, library.least_system.1));
                if asked == slice.oldest {
                    Ok(figure)
                } else {
                    Err(format!("{figure} is asked for, not {:?}", slice.oldest))
                }
            })
        },
        fault: |root| {
            let Slice { system, oldest, .. } = slices()[0];
            let version = |major: u32| [0x32, 24, system, major << 16].map(u32::to_le_bytes).concat();
            patch(root, &version(oldest.0), &version(27))
        },
    },
    Check {
        what: "module map, where no other's can be",
        run: |root| {
            for slice in slices() {
                let map = text(&headers(root, slice).join("module.modulemap"))?;
                // `framework module` is for bundles; a map directly in Headers/ clashes with that of any other package.
                if !map.starts_with(&format!("module {MODULE} {{")) || !map.contains(&format!("header \"{MODULE}.h\""))
                {
                    return Err(map.replace('\n', " "));
                }
            }
            Ok(format!("Headers/{MODULE}/module.modulemap"))
        },
        fault: |root| {
            replace(&headers(root, &slices()[0]).join("module.modulemap"), b"module", b"framework module", false)
        },
    },
    Check {
        what: "functions that the header declares",
        run: |root| {
            each(root, |slice, library| {
                let declared = functions(&text(&headers(root, slice).join(format!("{MODULE}.h")))?);
                match declared.iter().find(|name| !library.defined.contains(*name)) {
                    Some(name) => Err(format!("{name} is not in the library")),
                    None if declared.is_empty() => Err("none was found".into()),
                    None => Ok(format!("{}, all defined", declared.len())),
                }
            })
        },
        fault: |root| {
            let header = headers(root, &slices()[0]).join(format!("{MODULE}.h"));
            replace(&header, b"uniffi_sprat_ffi_fn_func_version(", b"uniffi_sprat_ffi_fn_func_versiom(", true)
        },
    },
    Check {
        what: "privacy manifest",
        run: |root| {
            each(root, |slice, library| {
                let manifest = text(&folder(root, slice).join(super::PRIVACY))?;
                if !manifest.contains("<key>NSPrivacyTracking</key>\n\t<false/>") {
                    return Err("it does not say that nobody is tracked".into());
                }
                let mut kinds = Vec::new();
                for (kind, functions) in DECLARED {
                    let used = functions.iter().find(|name| library.wanted.contains(**name));
                    match (used, manifest.contains(&format!("<string>{kind}</string>"))) {
                        (Some(name), false) => return Err(format!("{name} is used and {kind} not declared")),
                        (Some(_), true) => kinds.push(kind.trim_start_matches("NSPrivacyAccessedAPICategory")),
                        _ => {}
                    }
                }
                Ok(format!("declares {}", kinds.join(", ")))
            })
        },
        fault: |root| replace(&folder(root, &slices()[0]).join(super::PRIVACY), b"FileTimestamp", b"DiskSpace", true),
    },
    Check {
        what: "the package finds the library",
        run: |root| {
            let package = text(&root.join("Package.swift"))?;
            let wanted = format!(".binaryTarget(name: \"{MODULE}\", path: \"{MODULE}.xcframework\")");
            for name in ["Sources/SpratBindings/SpratBindings.swift", "Sources/Sprat/Model.swift"] {
                text(&root.join(name))?;
            }
            if package.contains(&wanted) {
                Ok(format!("{MODULE}.xcframework"))
            } else {
                Err(format!("{wanted} is missing"))
            }
        },
        fault: |root| fs::remove_file(root.join("Sources/SpratBindings/SpratBindings.swift")),
    },
];

fn xcframework(root: &Path) -> PathBuf {
    root.join(format!("{MODULE}.xcframework"))
}

fn folder(root: &Path, slice: &Slice) -> PathBuf {
    xcframework(root).join(slice.name)
}

fn headers(root: &Path, slice: &Slice) -> PathBuf {
    folder(root, slice).join("Headers").join(MODULE)
}

fn each(root: &Path, look: impl Fn(&Slice, &Library) -> Verdict) -> Verdict {
    let mut said = Vec::new();
    for slice in slices() {
        let library = macho::read(&folder(root, slice).join(super::ARCHIVE)).map_err(|error| error.to_string())?;
        said.push(look(slice, &library).map_err(|fault| format!("{}: {fault}", slice.name))?);
    }
    Ok(said.join(", "))
}

/// Puts as many other bytes in the place of `old` in the first library.
fn patch(root: &Path, old: &[u8], new: &[u8]) -> io::Result<()> {
    assert_eq!(old.len(), new.len(), "what follows must stay where it is");
    replace(&folder(root, &slices()[0]).join(super::ARCHIVE), old, new, false)
}

/// The names of our functions that a header declares.
fn functions(header: &str) -> BTreeSet<String> {
    header
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '('))
        .filter_map(|word| word.split_once('(').map(|(name, _)| name))
        .filter(|name| name.starts_with("uniffi_sprat_ffi_") || name.starts_with("ffi_sprat_ffi_"))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_functions_are_found() {
        let header = "#ifndef UNIFFI_X\nuint64_t uniffi_sprat_ffi_fn_a(uint64_t handle);\nvoid ffi_sprat_ffi_b(void\n);\nint other(int);";
        let names = ["ffi_sprat_ffi_b".to_owned(), "uniffi_sprat_ffi_fn_a".to_owned()];
        assert!(functions(header).iter().eq(&names));
    }
}
