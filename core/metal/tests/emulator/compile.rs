//! Builds the emulator out of shaders: the table of kernels comes from their signatures.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

const FLAGS: &[&str] = &[
    "-std=c++14", // Metal's own dialect
    "-O1",
    "-g1",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wno-unknown-attributes", // [[buffer(0)]] and its like
    "-fdeclspec",              // swizzles are properties
    "-fsigned-char",           // as in Metal
    "-ffp-contract=off",
    "-fno-omit-frame-pointer",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
    #[cfg(target_arch = "x86_64")]
    "-mf16c",
];

/// Stand-in, scheduler and player: (file name, text).
const SOURCES: [(&str, &str); 5] = [
    ("metal_stdlib", include_str!("cpp/metal_stdlib")),
    ("lockstep.h", include_str!("cpp/lockstep.h")),
    ("lockstep.cpp", include_str!("cpp/lockstep.cpp")),
    ("player.h", include_str!("cpp/player.h")),
    ("player.cpp", include_str!("cpp/player.cpp")),
];

/// Builds that were begun: of tests that run side by side and want the same file, one builds it.
static BUILDS: Mutex<Option<HashMap<u64, Arc<Mutex<()>>>>> = Mutex::new(None);

/// The emulator of these shaders, (file name, text) each. Kept below the target folder and built once per content.
pub fn emulator(shaders: &[(&str, String)]) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    (FLAGS, SOURCES, shaders).hash(&mut hasher);
    let content = hasher.finish();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("emulator-{content:016x}"));
    let program = folder.join("emulator");
    let mut builds = BUILDS.lock().unwrap_or_else(PoisonError::into_inner);
    let build = builds.get_or_insert_default().entry(content).or_default().clone();
    drop(builds);
    let _building = build.lock().unwrap_or_else(PoisonError::into_inner);
    if program.exists() {
        return program;
    }
    fs::create_dir_all(&folder).expect("the target folder is writable");
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).expect("the target folder is writable");
    for (name, text) in SOURCES {
        write(name, text);
    }
    let mut all = String::from("#include \"metal_stdlib\"\n");
    for (name, text) in shaders {
        // `threadgroup` is an address space, which the stand-in takes out, and here also an attribute's name.
        write(name, &text.replace("[[threadgroup(", "[[threadgroup_memory("));
        all += &format!("#include \"{name}\"\n");
    }
    write("kernels.h", &all);
    let kernels = kernels(&clang(&folder, &["-E", "-P", "-DSHOW_KERNELS", "-x", "c++", "kernels.h"]));
    assert!(!kernels.is_empty(), "the shaders have kernels");
    write("kernels.cpp", &table(&kernels));
    // Under another name first: a build that is interrupted leaves nothing that looks finished.
    clang(&folder, &["kernels.cpp", "lockstep.cpp", "player.cpp", "-o", "unfinished"]);
    fs::rename(folder.join("unfinished"), &program).expect("the build is there");
    program
}

/// Runs clang with our flags; what it prints.
fn clang(folder: &Path, args: &[&str]) -> String {
    let output = Command::new("clang++").args(FLAGS).args(["-I", "."]).args(args).current_dir(folder).output();
    let output = output.expect("clang++ is installed: `cargo xtask test --only metal` does that");
    assert!(output.status.success(), "clang++ {}:\n{}", args.join(" "), String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A kernel's name and its parameters as (type, attribute).
type Signature = (String, Vec<(String, String)>);

/// Reads `KERNEL void name(type name [[attribute]], …)` out of preprocessed text.
fn kernels(text: &str) -> Vec<Signature> {
    let read = |rest: &str| -> Signature {
        let (name, rest) = rest.split_once('(').expect("a kernel has parameters");
        // `)` inside `[[…]]` is none that ends the list.
        let mut depth = 1;
        let is_end = |c: char| {
            depth += i32::from(c == '(') - i32::from(c == ')');
            depth == 0
        };
        let end = rest.find(is_end).expect("the list of parameters ends");
        (name.trim().to_owned(), rest[..end].split(',').map(parameter).collect())
    };
    text.split("KERNEL void ").skip(1).map(read).collect()
}

/// `(type, attribute)` of one parameter. Every one has an attribute: Metal insists on it, or chooses by itself.
fn parameter(text: &str) -> (String, String) {
    let (declaration, attribute) = text.split_once("[[").unwrap_or_else(|| panic!("no attribute: {text}"));
    let attribute = attribute.trim().strip_suffix("]]").expect("an attribute ends").trim();
    let declaration = declaration.trim();
    let name = declaration.rfind(|c: char| !c.is_alphanumeric() && c != '_').expect("a type before the name");
    (declaration[..=name].trim().to_owned(), attribute.to_owned())
}

/// C++ that calls each kernel with what a dispatch bound.
fn table(kernels: &[Signature]) -> String {
    let mut text = String::from("#include \"player.h\"\n#include \"kernels.h\"\nusing player::Arguments;\n");
    let mut rows = String::new();
    for (name, parameters) in kernels {
        let values: Vec<String> = parameters.iter().map(|(kind, attribute)| value(kind, attribute)).collect();
        text += &format!("static void call_{name}(const Arguments &a) {{\n    {name}({});\n}}\n", values.join(", "));
        rows += &format!("    {{\"{name}\", call_{name}}},\n");
    }
    text + &format!("const player::Kernel player::KERNELS[] = {{\n{rows}    {{nullptr, nullptr}},\n}};\n")
}

fn value(kind: &str, attribute: &str) -> String {
    let number = |word: &str| attribute.strip_prefix(word)?.strip_prefix('(')?.strip_suffix(')').map(str::to_owned);
    if let Some(index) = number("buffer") {
        return match kind.strip_suffix('&') {
            Some(plain) => format!("*static_cast<{plain}*>(a.constants({index}, sizeof({plain})))"),
            None => format!("static_cast<{kind}>(a.buffer({index}))"),
        };
    }
    if let Some(index) = number("threadgroup_memory") {
        return format!("static_cast<{kind}>(a.memory({index}))");
    }
    match attribute {
        "threadgroup_position_in_grid" => "uint3(a.group[0], a.group[1], a.group[2])".into(),
        "thread_index_in_threadgroup" => "lockstep::self().index".into(),
        "simdgroup_index_in_threadgroup" => "lockstep::self().simd".into(),
        "thread_index_in_simdgroup" => "lockstep::self().lane".into(),
        other => panic!("the emulator knows no [[{other}]]"),
    }
}
