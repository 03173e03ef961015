//! Rules over the text of single files: length, first line, `unsafe`, leftovers, paths of a machine.

use super::{Source, none, sources};

/// Where `unsafe` may stand: a file, or a folder when it ends in a slash. Each with the reason.
const UNSAFE: &[(&str, &str)] = &[
    ("bindings/ffi/src/source.rs", "borrows a descriptor that Kotlin names by its number"),
    ("core/engine/src/backend/cpu/arena.rs", "slots of one mapping, each of which one page has"),
    ("core/engine/src/backend/cpu/attention.rs", "workers write disjoint heads between barriers"),
    ("core/engine/src/backend/cpu/attention_in.rs", "workers write disjoint heads between barriers"),
    ("core/engine/src/backend/cpu/attention_out.rs", "workers write disjoint rows between barriers"),
    ("core/engine/src/backend/cpu/bandwidth.rs", "reads a buffer that nobody writes"),
    ("core/engine/src/backend/cpu/buffers.rs", "workers write disjoint parts of one buffer"),
    ("core/engine/src/backend/cpu/convolution.rs", "workers write disjoint channels between barriers"),
    ("core/engine/src/backend/cpu/experts.rs", "workers write disjoint places and columns between barriers"),
    ("core/engine/src/backend/cpu/feed_forward.rs", "workers write disjoint columns between barriers"),
    ("core/engine/src/backend/cpu/gap.rs", "reads pages that no pass writes, and fills new ones"),
    ("core/engine/src/backend/cpu/kv.rs", "workers fill disjoint rows of a page"),
    ("core/engine/src/backend/cpu/per_layer.rs", "workers write disjoint layers and columns between barriers"),
    ("core/engine/src/backend/cpu/pool.rs", "lends the caller's borrow to the workers while it waits"),
    ("core/engine/src/backend/cpu/project.rs", "workers write disjoint rows between barriers"),
    ("core/engine/src/backend/cpu/saved.rs", "reads pages that no pass writes, and parts a mapping into them"),
    ("core/engine/src/backend/cpu/scan.rs", "workers write disjoint heads and channels between barriers"),
    ("core/engine/src/backend/cpu/shared.rs", "memory that several workers write"),
    ("core/engine/src/backend/cpu/stream.rs", "workers write disjoint rows between barriers"),
    ("core/engine/src/backend/cpu/streams.rs", "workers write disjoint rows between barriers"),
    ("core/engine/src/backend/cpu/state.rs", "tests read and write a blob that no pass uses"),
    ("core/engine/src/backend/gpu/player.rs", "lends memory to the GPU"),
    ("core/engine/src/file.rs", "maps the model file"),
    ("core/engine/src/file/guard.rs", "the handler of SIGBUS, and the page that it maps over one that is gone"),
    ("core/engine/src/file/process.rs", "asks Apple's kernel for the process's memory"),
    ("core/kernels/src/arch/avx2/", "loads and stores of vector instructions"),
    ("core/kernels/src/arch/avx512/", "loads and stores of vector instructions"),
    ("core/kernels/src/arch/neon/", "loads and stores of vector instructions"),
    ("core/kernels/src/arch/neon_dotprod/", "one instruction by name"),
    ("core/kernels/src/arch/neon_i8mm/", "one instruction by name"),
    ("core/kernels/src/arch/panel.rs", "the loop that vector sets share"),
    ("core/kernels/src/arch/scalar/float.rs", "entries of the table have one type"),
    ("core/kernels/src/attention/", "register tiles, and calls into a table whose features were detected"),
    ("core/kernels/src/float/", "vectors of lanes, and calls into a table whose features were detected"),
    ("core/kernels/src/matmul.rs", "calls into a table whose features were detected"),
    ("core/kernels/src/scratch.rs", "memory reused under several types"),
    ("core/metal/src/device.rs", "calls into Metal, and buffers over the mapped file"),
    ("core/metal/src/device/", "passes memory on that a player is lent"),
    ("core/metal/src/player.rs", "a promise about memory that a player is lent"),
    ("tests/fuzz/src/allocations.rs", "an allocator that refuses large requests"),
    ("tests/loom/tests/models.rs", "cells of which loom checks each access"),
    ("tests/src/heap.rs", "an allocator that counts"),
    ("tests/src/scratch.rs", "has its files removed when the process ends"),
    ("tests/tests/gpu/", "players that are lent memory"),
    ("tests/tests/limits.rs", "sets limits of its own process"),
    ("tests/tests/lost_file.rs", "faults on purpose, and a handler of an app's own"),
];

/// Lines a hand-written source may have.
const MAX_LINES: usize = 500;

fn is_code(source: &Source) -> bool {
    ["rs", "py", "kt", "swift", "metal", "sh"].iter().any(|extension| source.is(extension))
}

/// The part of a line of Rust before a comment; good enough for words that do not occur in strings.
fn code(line: &str) -> &str {
    line.split_once("//").map_or(line, |(code, _)| code)
}

/// Whether `word` stands in `text` with no letter, digit or underscore beside it.
fn has_word(text: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| !text[..at].ends_with(part) && !text[at + word.len()..].starts_with(part))
}

#[test]
fn files_are_under_500_lines() {
    let long = sources()
        .iter()
        .filter(|source| is_code(source))
        .map(|source| (source.text.lines().count(), &source.path))
        .filter(|(lines, _)| *lines >= MAX_LINES)
        .map(|(lines, path)| format!("{path}: {lines} lines"))
        .collect();
    none("split these by idea", long);
}

#[test]
fn the_first_line_of_a_rust_file_says_what_it_is() {
    let silent = sources()
        .iter()
        .filter(|source| source.is("rs") && !source.text.starts_with("//! "))
        .map(|source| source.path.clone())
        .collect();
    none("these do not begin with `//! `", silent);
}

#[test]
fn no_file_is_called_utils() {
    let named = sources()
        .iter()
        .filter(|source| {
            let stem = source.path.rsplit('/').next().and_then(|name| name.split('.').next());
            ["utils", "util", "common", "helpers", "misc"].iter().any(|bad| stem == Some(bad))
        })
        .map(|source| source.path.clone())
        .collect();
    none("a name that says nothing", named);
}

#[test]
fn unsafe_stands_only_where_the_design_places_it() {
    let allowed =
        |path: &str| UNSAFE.iter().any(|(place, _)| path == *place || place.ends_with('/') && path.starts_with(place));
    let holds = |source: &Source| source.lines().any(|(_, line)| has_word(code(line), "unsafe"));
    let sources = sources();
    let holders: Vec<&Source> = sources
        .iter()
        .filter(|source| source.is("rs") && !source.path.starts_with("tests/tests/tidy/") && holds(source))
        .collect();
    let strangers = holders.iter().filter(|source| !allowed(&source.path)).map(|source| source.path.clone()).collect();
    none("`unsafe` outside its list", strangers);
    let stale = UNSAFE
        .iter()
        .filter(|(place, _)| !holders.iter().any(|source| source.path.starts_with(place)))
        .map(|(place, _)| (*place).to_owned())
        .collect();
    none("listed for `unsafe`, but hold none", stale);
}

#[test]
fn no_file_switches_the_lints_on_unsafe_off() {
    let loosened = sources()
        .iter()
        .filter(|source| source.is("rs") && !source.path.starts_with("tests/tests/tidy/"))
        .flat_map(|source| {
            source
                .lines()
                .filter(|(_, line)| {
                    let line = code(line);
                    line.contains("allow(")
                        && ["unsafe_op_in_unsafe_fn", "undocumented_unsafe_blocks"]
                            .iter()
                            .any(|lint| line.contains(lint))
                })
                .map(|(number, _)| format!("{}:{number}", source.path))
                .collect::<Vec<_>>()
        })
        .collect();
    none("the lints on `unsafe` are for all", loosened);
}

#[test]
fn nothing_is_left_for_later() {
    // Put together so that this file does not find itself.
    let leftovers = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    let calls = [
        concat!("to", "do!("),
        concat!("unimpl", "emented!("),
        concat!("db", "g!("),
        concat!(".unw", "rap()"),
        concat!("#[igno", "re]"),
    ];
    let mut left = Vec::new();
    for source in sources().iter().filter(|source| is_code(source)) {
        for (number, line) in source.lines() {
            let word = leftovers.iter().find(|word| has_word(line, word));
            let call = calls.iter().find(|call| source.is("rs") && code(line).contains(**call));
            if let Some(found) = word.or(call) {
                left.push(format!("{}:{number}: {found}", source.path));
            }
        }
    }
    none("finish these, or give the reason (`expect(\"…\")`, `#[ignore = \"…\"]`)", left);
}

#[test]
fn no_path_of_a_machine_is_in_the_tree() {
    let homes = ["work", "root", "home", "farm", "Users", "tmp/w"].map(|name| format!("/{name}/"));
    let mut paths = Vec::new();
    for source in sources() {
        for (number, line) in source.lines() {
            let own = |home: &String| {
                line.match_indices(home.as_str())
                    .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "_.-/".contains(c)))
            };
            if homes.iter().any(own) {
                paths.push(format!("{}:{number}: {}", source.path, line.trim()));
            }
        }
    }
    none("paths of a machine", paths);
}
