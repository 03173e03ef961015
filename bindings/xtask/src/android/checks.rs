//! Checks of an Android package beyond its libraries: the rest of the archive, and what Maven has beside it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::aar::{MARK, MARK_FILE};
use super::link::{self, ABIS, MIN_SDK};
use super::native;
use crate::elf;
use crate::package::{Check, files, replace, text};

/// Version 61 of class files is Java 17's, the newest that Android's build tools take everywhere.
const NEWEST_CLASS: u8 = 61;

/// What R8 must be told, and what would bind an app's hands: the API by name, or everything.
const RULES: &[&str] = &["-keep class com.sun.jna.** {", "-keep class dev.sprat.ffi.** {", "RuntimeVisibleAnnotations"];
const NO_RULES: &[&str] = &[
    "-dontobfuscate",
    "-dontshrink",
    "-dontoptimize",
    "-ignorewarnings",
    "-keep class **",
    "-keep class dev.sprat.**",
];

/// Where the classes lie that call the library.
const CALLERS: &str = "classes/dev/sprat/ffi";

/// All of them.
pub const CHECKS: &[Check] = &[
    Check {
        what: "what the archive holds",
        run: |root| {
            let found = files(&root.join("aar"));
            let names: BTreeSet<String> = found.iter().map(|path| below(&root.join("aar"), path)).collect();
            let mut wanted: BTreeSet<String> =
                ["AndroidManifest.xml", "R.txt", "classes.jar", "proguard.txt"].map(str::to_owned).into();
            wanted.insert("META-INF/com/android/build/gradle/aar-metadata.properties".into());
            wanted.extend(ABIS.iter().map(|abi| format!("jni/{}/libsprat_ffi.so", abi.name)));
            wanted.extend(link::ndk().is_none().then(|| MARK_FILE.to_owned()));
            match names.symmetric_difference(&wanted).next() {
                Some(name) => Err(format!("{name} is {}", if names.contains(name) { "unexpected" } else { "missing" })),
                None => Ok(format!("{} files", names.len())),
            }
        },
        fault: |root| fs::remove_dir_all(root.join("aar/jni/x86_64")),
    },
    Check {
        what: "not for shipping without an NDK",
        run: |root| {
            let marked = (root.join("aar").join(MARK_FILE).exists(), text(&root.join("pom.xml"))?.contains(MARK));
            let wanted = link::ndk().is_none();
            if marked == (wanted, wanted) {
                Ok(if wanted { "marked" } else { "for shipping" }.into())
            } else {
                Err(format!("file and version: {marked:?}"))
            }
        },
        fault: |root| {
            let mark = root.join("aar").join(MARK_FILE);
            if mark.exists() { fs::remove_file(mark) } else { fs::write(mark, "") }
        },
    },
    Check {
        what: "manifest adds nothing to an app",
        run: |root| {
            let manifest = text(&root.join("aar/AndroidManifest.xml"))?;
            if let Some(stranger) = elements(&manifest).find(|name| !["manifest", "uses-sdk"].contains(name)) {
                return Err(format!("it has <{stranger}>"));
            }
            let sdk = format!("minSdkVersion=\"{MIN_SDK}\"");
            let wanted = ["package=\"dev.sprat\"", &sdk];
            match wanted.iter().find(|wanted| !manifest.contains(**wanted)) {
                Some(missing) => Err(format!("it lacks {missing}")),
                None => Ok(format!("no permission, no component, {sdk}")),
            }
        },
        fault: |root| {
            let permission = b"<uses-permission android:name=\"android.permission.INTERNET\"/></manifest>";
            replace(&root.join("aar/AndroidManifest.xml"), b"</manifest>", permission, false)
        },
    },
    Check {
        what: "resources",
        run: |root| match text(&root.join("aar/R.txt"))?.as_str() {
            "" => Ok("none".into()),
            _ => Err("R.txt names some".into()),
        },
        fault: |root| fs::write(root.join("aar/R.txt"), "int string app_name 0x0\n"),
    },
    Check {
        what: "rules for R8",
        run: |root| {
            let rules = text(&root.join("aar/proguard.txt"))?;
            let rules: String = rules.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
            let missing = RULES.iter().find(|rule| !rules.contains(**rule));
            let broad = NO_RULES.iter().find(|rule| rules.contains(**rule));
            match (missing, broad) {
                (Some(rule), _) => Err(format!("`{rule}` is missing")),
                (_, Some(rule)) => Err(format!("`{rule}` would bind the app")),
                _ => Ok("JNA and generated code, no more".into()),
            }
        },
        fault: |root| replace(&root.join("aar/proguard.txt"), b"dev.sprat.ffi.**", b"dev.sprat.**", false),
    },
    Check {
        what: "classes",
        run: |root| {
            let folder = root.join("classes");
            let found = files(&folder);
            let names: Vec<String> = found.iter().map(|path| below(&folder, path)).collect();
            for wanted in ["Model", "Session", "AndroidKt", "ffi/Session"] {
                if !names.contains(&format!("dev/sprat/{wanted}.class")) {
                    return Err(format!("{wanted} is missing"));
                }
            }
            for (name, path) in names.iter().zip(&found) {
                let module = name.starts_with("META-INF/") && name.ends_with(".kotlin_module");
                if !(module || name.starts_with("dev/sprat/") && name.ends_with(".class")) {
                    return Err(format!("{name} would be in every app"));
                }
                let bytes = fs::read(path).map_err(|error| error.to_string())?;
                if !module && bytes.get(7).is_none_or(|version| *version > NEWEST_CLASS) {
                    return Err(format!("{name} is for a newer Java than 17"));
                }
            }
            Ok(format!("{}, for Java 17", names.len()))
        },
        fault: |root| {
            let stranger = root.join("classes/org/other");
            fs::create_dir_all(&stranger).and_then(|()| fs::write(stranger.join("A.class"), ""))
        },
    },
    Check {
        what: "functions that the classes call",
        run: |root| {
            let mut called = BTreeSet::new();
            for path in files(&root.join(CALLERS)) {
                called.extend(functions(&fs::read(path).map_err(|error| error.to_string())?));
            }
            if called.is_empty() {
                return Err("none was found".into());
            }
            for path in files(&root.join(native::FOLDER)) {
                let exported = elf::read(&path).map_err(|error| error.to_string())?.exported;
                if let Some(name) = called.iter().find(|name| !exported.contains(name)) {
                    return Err(format!("{name} is not in {}", path.display()));
                }
            }
            Ok(format!("{}, all exported", called.len()))
        },
        fault: |root| {
            let library = root.join(native::FOLDER).join(ABIS[1].name).join("libsprat_ffi.so");
            replace(
                &library,
                b"\0uniffi_sprat_ffi_fn_method_session_stream\0",
                b"\0uniffi_sprat_ffi_fn_method_session_strxxm\0",
                false,
            )
        },
    },
    Check {
        what: "JNA's library, pages of 16 KB",
        run: |root| {
            let mut said = String::new();
            for abi in ABIS {
                let library = elf::read(&jna(root, abi.name)).map_err(|error| error.to_string())?;
                said = native::aligned(&library).map_err(|fault| format!("{}: {fault}", abi.name))?;
            }
            Ok(said)
        },
        fault: |root| {
            let path = jna(root, ABIS[0].name);
            let mut bytes = fs::read(&path)?;
            native::align_to_4_kb(&mut bytes);
            fs::write(path, bytes)
        },
    },
    Check {
        what: "dependencies",
        run: |root| {
            let pom = text(&root.join("pom.xml"))?;
            let found: Vec<&str> = between(&pom, "<dependency>", "</dependency>")
                .map(|one| between(one, "<artifactId>", "</artifactId>").next().unwrap_or("?"))
                .collect();
            if found != ["kotlin-stdlib", "kotlinx-coroutines-core-jvm", "jna"] {
                return Err(found.join(" "));
            }
            // An app with the jar instead has no library in it for Android.
            let jna = between(&pom, "<dependency>", "</dependency>").any(|one| one.contains("<type>aar</type>"));
            if jna && pom.contains("<packaging>aar</packaging>") {
                Ok(found.join(" "))
            } else {
                Err("JNA is not the aar".into())
            }
        },
        fault: |root| replace(&root.join("pom.xml"), b"<type>aar</type>", b"", true),
    },
    Check {
        what: "coordinates and licences",
        run: |root| {
            let pom = text(&root.join("pom.xml"))?;
            let version = format!("<version>{}", env!("CARGO_PKG_VERSION"));
            let wanted =
                ["<groupId>dev.sprat</groupId>", "<artifactId>sprat-android</artifactId>", &version, "<name>MIT<"];
            match wanted.iter().find(|wanted| !pom.contains(**wanted)) {
                Some(missing) => Err(format!("{missing} is missing")),
                None => Ok("dev.sprat:sprat-android".into()),
            }
        },
        fault: |root| replace(&root.join("pom.xml"), b"sprat-android", b"sprat", true),
    },
    Check {
        what: "sources beside it",
        run: |root| {
            let found = files(&root.join("sources"));
            for wanted in ["dev/sprat/Model.kt", "dev/sprat/Android.kt", "dev/sprat/ffi/sprat.kt"] {
                text(&root.join("sources").join(wanted))?;
            }
            Ok(format!("{} files", found.len()))
        },
        fault: |root| fs::remove_file(root.join("sources/dev/sprat/Android.kt")),
    },
    Check {
        what: "symbols of the same build",
        run: |root| {
            for abi in ABIS {
                let name = "libsprat_ffi.so";
                let read = |path: std::path::PathBuf| elf::read(&path).map_err(|error| error.to_string());
                let shipped = read(root.join(native::FOLDER).join(abi.name).join(name))?;
                let symbols = read(root.join("symbols").join(abi.name).join(name))?;
                if !symbols.has_symbols || shipped.build_id.is_none() || symbols.build_id != shipped.build_id {
                    return Err(format!("{}: stripped, or of another build", abi.name));
                }
            }
            Ok("unstripped, with the same build id".into())
        },
        fault: |root| {
            let shipped = root.join(native::FOLDER).join(ABIS[0].name).join("libsprat_ffi.so");
            fs::copy(shipped, root.join("symbols").join(ABIS[0].name).join("libsprat_ffi.so")).map(|_| ())
        },
    },
];

/// Pages about the API, which are made for packages alone.
pub const PAGES: Check = Check {
    what: "pages beside it",
    run: |root| {
        let folder = root.join("javadoc");
        let found = files(&folder);
        text(&folder.join("index.html"))?;
        for (class, sentence) in [("-model", "read once, shared"), ("-session", "A conversation with a model")] {
            let page = text(&folder.join("-sprat/dev.sprat").join(class).join("index.html"))?;
            if !page.contains(sentence) {
                return Err(format!("the page of {class} does not say `{sentence}`"));
            }
        }
        match found.iter().find(|path| below(&folder, path).contains("sprat.ffi")) {
            Some(path) => Err(format!("{} is about generated code", path.display())),
            None => Ok(format!("{} files", found.len())),
        }
    },
    fault: |root| {
        let page = root.join("javadoc/-sprat/dev.sprat/-session/index.html");
        replace(&page, b"A conversation with a model", b"", true)
    },
};

fn jna(root: &Path, abi: &str) -> std::path::PathBuf {
    root.join("jna/jni").join(abi).join("libjnidispatch.so")
}

/// A path from a folder on, with forward slashes.
fn below(folder: &Path, path: &Path) -> String {
    path.strip_prefix(folder).unwrap_or(path).to_string_lossy().replace('\\', "/")
}

/// The names of all elements that begin in a text of XML.
fn elements(xml: &str) -> impl Iterator<Item = &str> {
    xml.split('<')
        .skip(1)
        .filter(|rest| !rest.starts_with(['/', '?', '!']))
        .map(|rest| rest.split(|c: char| c.is_whitespace() || "/>".contains(c)).next().unwrap_or(rest))
}

fn between<'a>(text: &'a str, begin: &'a str, end: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(begin).skip(1).filter_map(move |rest| rest.split_once(end).map(|(inner, _)| inner))
}

/// The names of our library's functions that stand in a class file.
fn functions(class: &[u8]) -> Vec<String> {
    class
        .split(|byte| !(byte.is_ascii_alphanumeric() || *byte == b'_'))
        .filter(|word| word.starts_with(b"uniffi_sprat_ffi_") || word.starts_with(b"ffi_sprat_ffi_"))
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found_without_ends_and_comments() {
        let xml = "<?xml version=\"1.0\"?><!-- a --><manifest a=\"b\">\n<uses-sdk\n/><application/></manifest>";
        assert_eq!(elements(xml).collect::<Vec<_>>(), ["manifest", "uses-sdk", "application"]);
    }

    #[test]
    fn functions_of_the_library_are_found_in_a_class() {
        let class = b"\x01\0\x1euniffi_sprat_ffi_fn_a\x01\0\x05other\x0c\0\x0fffi_sprat_ffi_b\x01";
        assert_eq!(functions(class), ["uniffi_sprat_ffi_fn_a", "ffi_sprat_ffi_b"]);
    }
}
