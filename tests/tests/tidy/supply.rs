//! Where what we build comes from: a reason for each dependency, one registry, no build scripts.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use super::imports::metadata;
use super::{none, root};

/// Outside crates by name, with those of our packages that name them.
fn outside() -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let metadata = metadata();
    for package in metadata["packages"].as_array().expect("a list of packages") {
        for dependency in package["dependencies"].as_array().expect("a list of dependencies") {
            if dependency["source"].is_string() {
                let word = |value: &Value| value.as_str().expect("a string").to_owned();
                found.entry(word(&dependency["name"])).or_default().push(word(&package["name"]));
            }
        }
    }
    for users in found.values_mut() {
        users.sort();
        users.dedup();
    }
    found
}

#[test]
fn every_dependency_has_its_reason() {
    let page = fs::read_to_string(root().join("docs/dependencies.md")).expect("the list");
    let mut rows = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, users, why] = cells[..] else { panic!("three columns: {line}") };
        assert!(why.len() > 10, "a reason: {line}");
        let users: Vec<String> = users.split(", ").map(str::to_owned).collect();
        rows.insert(name.trim_matches('`').to_owned(), users);
    }
    let wanted = outside();
    let differs = |name: &&String| rows.get(*name) != wanted.get(*name);
    let names: Vec<String> = rows.keys().chain(wanted.keys()).filter(differs).cloned().collect();
    none("docs/dependencies.md and the Cargo.toml files differ", names);
}

#[test]
fn all_comes_from_one_registry_with_its_hash() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).expect("Cargo.lock is in the repository");
    let mut wrong = Vec::new();
    for package in lock.split("[[package]]").skip(1) {
        let line = |key: &str| package.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
        let from = line("source");
        let known = from.is_none_or(|from| from == "\"registry+https://github.com/rust-lang/crates.io-index\"");
        if !known || from.is_some() != line("checksum").is_some() {
            wrong.push(format!("{} from {}", line("name").unwrap_or("?"), from.unwrap_or("here")));
        }
    }
    none("not from crates.io, or without a hash", wrong);
    let ignored = fs::read_to_string(root().join(".gitignore")).expect("a list of what git ignores");
    assert!(!ignored.contains("Cargo.lock"));
}

#[test]
fn no_package_of_ours_has_a_build_script() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("a list of packages").iter();
    let has_script = |package: &&Value| {
        let targets = package["targets"].as_array().expect("a list of targets");
        targets.iter().any(|target| target["kind"] == serde_json::json!(["custom-build"]))
    };
    let names = packages.filter(has_script).map(|package| package["name"].to_string()).collect();
    none("a build script could download, and runs on every machine that builds", names);
}
