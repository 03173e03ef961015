//! Who may import whom: the crates by their manifests, the engine's modules by their sources.

use std::process::Command;

use serde_json::Value;

use super::{none, root, sources};

/// What the shipped crates may depend on; the table of ARCHITECTURE.md.
const ALLOWED: &[(&str, &[&str])] = &[
    ("sprat-gguf", &["thiserror"]),
    ("sprat-kernels", &["half"]),
    // Ours for the emulator's tests alone: model files, and the CPU kernels they compare with. The others on Apple alone.
    ("sprat-metal", &["sprat-gguf", "sprat-kernels", "candle-metal-kernels", "objc2", "objc2-metal", "thiserror"]),
    (
        "sprat",
        &[
            "sprat-gguf",
            "sprat-kernels",
            "sprat-metal", // behind a feature; see `the_gpu_is_in_apple_s_builds_alone`
            "libc",
            "memmap2",
            "tokenizers",
            "fancy-regex",
            "minijinja",
            "serde",
            "serde_json",
            "thiserror",
            "log",
        ],
    ),
    ("sprat-ffi", &["sprat", "log", "thiserror", "uniffi", "android_logger"]),
    ("sprat-generate", &["uniffi"]),
    ("xtask", &[]),
];

/// Our crates that others may build on.
const IMPORTED: &[&str] = &["sprat-gguf", "sprat-kernels", "sprat-metal", "sprat"];

/// The engine's modules from left to right; one imports only from its left. Those of one row do not import each other,
/// and standing left of the model, they know nothing of it.
const ORDER: &[&[&str]] = &[
    &["error"],
    &["file", "governor", "threads"],
    &["tokenizer", "chat", "sampler", "text"],
    &["config"],
    &["weights"],
    &["backend"],
    &["model"],
    &["session"],
];

/// What cargo says of our packages.
pub fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
}

/// Every package of the workspace as (name, its dependencies as (name, kind)), kind being `normal`, `build` or `dev`.
fn packages() -> Vec<(String, Vec<(String, String)>)> {
    let metadata = metadata();
    let word = |value: &Value| value.as_str().expect("a string").to_owned();
    metadata["packages"]
        .as_array()
        .expect("a list of packages")
        .iter()
        .map(|package| {
            let dependencies =
                package["dependencies"].as_array().expect("a list of dependencies").iter().map(|dependency| {
                    (word(&dependency["name"]), dependency["kind"].as_str().unwrap_or("normal").to_owned())
                });
            (word(&package["name"]), dependencies.collect())
        })
        .collect()
}

#[test]
fn shipped_crates_depend_only_on_their_list() {
    let packages = packages();
    let mut strangers = Vec::new();
    for (name, allowed) in ALLOWED {
        let (_, dependencies) = packages.iter().find(|(package, _)| package == name).expect(name);
        for (dependency, kind) in dependencies {
            let ours = packages.iter().any(|(package, _)| package == dependency);
            // Tests may use what they like from outside, but not turn the arrows between our crates round.
            if !allowed.contains(&dependency.as_str()) && (kind != "dev" || ours) {
                strangers.push(format!("{name} -> {dependency} ({kind})"));
            }
        }
    }
    none("not in the table of ARCHITECTURE.md", strangers);
}

#[test]
fn nothing_builds_on_examples_tests_or_xtask() {
    let packages = packages();
    let mut imports = Vec::new();
    for (name, dependencies) in &packages {
        for (dependency, _) in dependencies {
            let ours = packages.iter().any(|(package, _)| package == dependency);
            let is_test = ["sprat-tests", "sprat-fuzz"].contains(&name.as_str());
            if ours && !IMPORTED.contains(&dependency.as_str()) && !is_test {
                imports.push(format!("{name} -> {dependency}"));
            }
        }
    }
    none("only the core may be imported", imports);
}

/// Features are switched on by whoever builds: for Apple's systems alone, so that no other library has a byte of it.
#[test]
fn the_gpu_is_in_apple_s_builds_alone() {
    let metadata = metadata();
    let mut switched_on = Vec::new();
    for package in metadata["packages"].as_array().expect("a list of packages") {
        let name = package["name"].as_str().expect("a string");
        for dependency in package["dependencies"].as_array().expect("a list of dependencies") {
            let of = dependency["name"].as_str().expect("a string");
            let target = dependency["target"].as_str();
            let asks = |feature: &str| dependency["features"].as_array().expect("a list").iter().any(|f| f == feature);
            if of == "sprat-metal" && dependency["optional"] != true || of == "sprat" && asks("metal") {
                switched_on.push((name, target));
            }
        }
        let default = &package["features"]["default"];
        assert!(default.is_null(), "{name} has features that are on by default");
    }
    let apple = Some("cfg(target_vendor = \"apple\")");
    assert_eq!(switched_on, [("sprat-ffi", apple), ("sprat-cli", apple)]);
}

/// The modules that a line names as `crate::module`, also inside `crate::{…}` of one line.
fn named(line: &str) -> Vec<&str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let first = |text: &str| text.find(|c| !is_name(c)).unwrap_or(text.len());
    let mut names = Vec::new();
    for (at, _) in line.match_indices("crate::") {
        if line[..at].ends_with(is_name) || line[..at].ends_with('$') {
            continue;
        }
        let rest = &line[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            None => names.push(&rest[..first(rest)]),
            Some(list) => {
                let mut depth = 0;
                let mut start = true;
                for (i, c) in list.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => start = true,
                        c if start && is_name(c) => {
                            names.push(&list[i..i + first(&list[i..])]);
                            start = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    names
}

fn place(module: &str) -> Option<usize> {
    ORDER.iter().position(|row| row.contains(&module))
}

#[test]
fn modules_of_the_engine_import_only_from_their_left() {
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(rest) = source.path.strip_prefix("core/engine/src/") else {
            continue;
        };
        let module = rest.split(['/', '.']).next().unwrap_or(rest);
        if module == "lib" {
            continue;
        }
        let Some(own) = place(module) else {
            wrong.push(format!("{}: `{module}` has no place in the order", source.path));
            continue;
        };
        for (number, line) in source.lines().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            for name in named(line).into_iter().filter(|name| *name != module) {
                // A name without a place is no module but something lib.rs re-exports; the engine itself names modules.
                if place(name).is_none_or(|other| other >= own) {
                    wrong.push(format!("{}:{number}: {module} -> {name}", source.path));
                }
            }
        }
    }
    none("against the order of ARCHITECTURE.md", wrong);
}

#[test]
fn names_after_crate_are_found_in_every_spelling() {
    for (line, names) in [
        ("use crate::file::Mapped;", vec!["file"]),
        ("let x = crate::error::Error::Io(crate::file::name());", vec!["error", "file"]),
        ("pub(crate) use crate::{config::{Spec, rope}, error::Error};", vec!["config", "error"]),
        ("pub(crate) fn f() {}", vec![]),
        ("use my_crate::thing;", vec![]),
    ] {
        assert_eq!(named(line), names, "{line}");
    }
}
