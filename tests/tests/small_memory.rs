//! Memory: what is counted is what the system sees, and a model larger than the memory there is runs all the same, slowly.
//! Has its own `main`, because the process with little memory is this very program, in a control group of its own.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use sprat::{Context, ContextOptions, GenerationOptions, Model, Session, SessionOptions};
use sprat_gguf::TensorKind;
use sprat_tests::small::Small;

/// Memory in percent of the file: what must work, and the way there.
const LIMITS: [usize; 4] = [150, 80, 60, 40];

const TOKENS: usize = 6;

/// A file of some 100 MB.
fn large() -> PathBuf {
    Small { layers: 160, ..Small::new("llama", TensorKind::Q8_0) }.path()
}

/// Greedy tokens, and how many come in a second after the first.
fn generate(path: &Path) -> (Vec<u32>, f64) {
    let model = Arc::new(Model::open(path).expect("a good file"));
    let options =
        ContextOptions { threads: Some(1), batch: Some(4), max_positions: Some(64), ..ContextOptions::default() };
    let mut context = Context::new(model, &options).expect("good options");
    let (mut ids, mut start) = (vec![1], Instant::now());
    while ids.len() <= TOKENS {
        let logits = context.feed(&ids[ids.len() - 1..], &AtomicBool::new(false)).expect("it runs");
        let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).expect("a vocabulary");
        if ids.len() == 1 {
            start = Instant::now();
        }
        ids.push(best.0 as u32);
    }
    (ids, (TOKENS - 1) as f64 / start.elapsed().as_secs_f64())
}

/// A row of what the kernel finds by walking every page, in bytes.
fn rollup(name: &str) -> usize {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").expect("Linux has it");
    let row = text.lines().find_map(|line| line.strip_prefix(name)?.strip_suffix(" kB"));
    1024 * row.and_then(|kib| kib.trim().parse::<usize>().ok()).expect("a number of kB")
}

fn assert_near(what: &str, told: usize, seen: usize) {
    println!("{what}: {told} bytes told, the system sees {seen}");
    assert!(told.abs_diff(seen) * 20 <= seen, "{what}: more than 5 % apart");
}

/// What a session counts and tells is what the system sees, within 5 %.
fn count(path: &Path) {
    let model = Arc::new(Model::open(path).expect("a good file"));
    let context = ContextOptions { threads: Some(1), max_positions: Some(512), ..ContextOptions::default() };
    let options = SessionOptions { context, ..SessionOptions::default() };
    let session = Session::new(&model, options).expect("good options");
    let before = rollup("Anonymous:");
    let options = GenerationOptions { max_tokens: 2, ..GenerationOptions::default() };
    let memory = session.respond("x".repeat(230), &options).expect("there is room").memory;
    let anonymous = rollup("Anonymous:");
    assert_eq!(memory.allocated, memory.kv + memory.scratch);
    assert_near("caches and buffers", memory.allocated, anonymous - before);
    assert_near("anonymous in all", memory.anonymous, anonymous);
    // Every weight was read.
    assert_near("resident", memory.resident, model.resident_bytes());
}

/// A control group with a limit; removed when it is dropped.
struct Group(PathBuf);

impl Group {
    fn new(limit_bytes: u64) -> Option<Self> {
        let name = format!("sprat-{}-{limit_bytes}", std::process::id());
        // Version 1 has a tree for memory alone, version 2 one tree for all.
        for (tree, file) in [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")] {
            let group = Self(Path::new(tree).join(&name));
            if std::fs::create_dir(&group.0).is_ok()
                && std::fs::write(group.0.join(file), limit_bytes.to_string()).is_ok()
            {
                return Some(group);
            }
        }
        None
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Where it was never made, there is nothing to remove.
        let _removed = std::fs::remove_dir(&self.0);
    }
}

/// What the process with little memory does: its copy of the file is its own to keep in memory, within its limit.
fn in_little_memory(original: &Path, copy: &Path) {
    let mut go = [0];
    std::io::stdin().read_exact(&mut go).expect("the word to go");
    std::fs::copy(original, copy).expect("there is room on the disk");
    std::fs::File::open(copy).and_then(|file| file.sync_all()).expect("the copy is on the disk");
    let (ids, speed) = generate(copy);
    println!("{ids:?} {speed:.1}");
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [command, original, copy] = &arguments[..]
        && command == "in-little-memory"
    {
        return in_little_memory(Path::new(original), Path::new(copy));
    }
    // Cargo hands names of tests to every binary.
    let mut filters = arguments.iter().filter(|argument| !argument.starts_with('-')).peekable();
    let unwanted = filters.peek().is_some() && !filters.any(|filter| filter == "small_memory");
    if unwanted || arguments.iter().any(|argument| argument == "--list") {
        return;
    }
    if !cfg!(target_arch = "x86_64") {
        println!("NOT TESTED under emulation, where this program cannot start itself");
        return;
    }
    let original = large();
    count(&original);
    let bytes = std::fs::metadata(&original).expect("just written").len();
    let (expected, speed) = generate(&original);
    println!("{:.0} MB, no limit: {speed:.1} tokens/s", bytes as f64 / 1e6);
    for percent in LIMITS {
        let Some(group) = Group::new(bytes * percent as u64 / 100) else {
            println!("NOT TESTED: little memory, because no control group can be made here (needs root)");
            break;
        };
        let copy = original.with_extension(format!("copy-{percent}"));
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .arg("in-little-memory")
            .args([&original, &copy])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts again");
        std::fs::write(group.0.join("cgroup.procs"), child.id().to_string()).expect("a process may be moved");
        child.stdin.take().expect("piped").write_all(b"g").expect("it listens");
        let output = child.wait_with_output().expect("it ends");
        std::fs::remove_file(&copy).expect("it was made");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "with {percent} % of the file: {:?} {said}", output.status);
        let (ids, speed) = said.trim().rsplit_once(' ').expect("tokens and speed");
        assert_eq!(ids, format!("{expected:?}"), "the same tokens with {percent} %");
        println!("memory of {percent} % of the file: {speed} tokens/s");
    }
    std::fs::remove_file(&original).expect("just written");
}
