//! Kills a process that saves a session over and over, at random moments: the file is always one of those it wrote.
//! Has its own `main`, because the process that is killed is this very program.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use sprat::{ContextOptions, GenerationOptions, Model, SamplerOptions, Session, SessionOptions};
use sprat_gguf::TensorKind;
use sprat_tests::small::{Random, Small};

const KILLS: usize = 200;

/// A kill comes within this time: some saves.
const LONGEST_US: usize = 40_000;

/// What the two sessions that are saved in turn were told; the second is longer, so its cache has more pages.
const PROMPTS: [&str; 2] = ["short", "a longer prompt that fills more than one page of the cache with its tokens"];

fn options() -> SessionOptions {
    let context = ContextOptions { threads: Some(1), ..ContextOptions::default() };
    SessionOptions { context, ..SessionOptions::default() }
}

fn greedy(max_tokens: usize) -> GenerationOptions {
    GenerationOptions { max_tokens, sampler: SamplerOptions::greedy(), ..GenerationOptions::default() }
}

fn session(model: &Arc<Model>, prompt: &str) -> Session {
    let session = Session::new(model, options()).expect("good options");
    session.respond(prompt, &greedy(60)).expect("there is room");
    session
}

/// Never returns.
fn save_for_ever(model: &Path, file: &Path) -> ! {
    let model = Arc::new(Model::open(model).expect("a good file"));
    let sessions = PROMPTS.map(|prompt| session(&model, prompt));
    sessions[0].save(file).expect("there is room on the disk");
    println!("ready");
    loop {
        for session in &sessions {
            session.save(file).expect("there is room on the disk");
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [command, model, file] = &arguments[..]
        && command == "save-for-ever"
    {
        save_for_ever(Path::new(model), Path::new(file));
    }
    // Cargo hands names of tests to every binary.
    let filters: Vec<_> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    if arguments.iter().any(|argument| argument == "--list")
        || !filters.is_empty() && !filters.iter().any(|f| *f == "kill")
    {
        return;
    }
    let folder = std::env::temp_dir().join(format!("sprat-kill-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    let path = Small { layers: 1, ..Small::new("llama", TensorKind::Q8_0) }.path();
    let seen = kill_often(&path, &folder.join("session"));
    println!("{KILLS} kills: {} times the shorter session was there, {} times the longer", seen[0], seen[1]);
    assert!(seen[0] > 0 && seen[1] > 0, "kills hit both");
    std::fs::remove_dir_all(&folder).expect("just made");
}

fn kill_often(model_path: &PathBuf, file: &PathBuf) -> [usize; 2] {
    let model = Arc::new(Model::open(model_path).expect("a good file"));
    let written = PROMPTS.map(|prompt| session(&model, prompt));
    let expected = written.each_ref().map(|session| session.fork().expect("idle").respond("go on", &greedy(4)));
    let expected = expected.map(|reply| reply.expect("there is room").text);
    let mut random = Random(5);
    let mut seen = [0, 0];
    for _ in 0..KILLS {
        let child = Command::new(std::env::current_exe().expect("this program"))
            .arg("save-for-ever")
            .args([model_path, file])
            .stdout(Stdio::piped())
            .spawn();
        let mut child = match child {
            Ok(child) => child,
            Err(error) if !cfg!(target_arch = "x86_64") => {
                println!("NOT TESTED under emulation, where this program cannot start itself: {error}");
                std::process::exit(0);
            }
            Err(error) => panic!("{error}"),
        };
        let mut line = String::new();
        let out = child.stdout.take().expect("piped");
        BufReader::new(out).read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n");
        std::thread::sleep(Duration::from_micros(random.below(LONGEST_US) as u64));
        child.kill().expect("it runs");
        child.wait().expect("it was killed");

        let restored = Session::restore(&model, file, options()).expect("a whole file");
        let which = usize::from(restored.transcript() == written[1].transcript());
        assert_eq!(restored.transcript(), written[which].transcript());
        let reply = restored.respond("go on", &greedy(4)).expect("there is room");
        assert_eq!(reply.text, expected[which]);
        assert!(reply.cached_tokens > 0, "the cache came with it");
        seen[which] += 1;
    }
    // The next save removes what the killed ones left.
    written[0].save(file).expect("there is room on the disk");
    let left = std::fs::read_dir(file.parent().expect("in a folder")).expect("readable").count();
    assert_eq!(left, 1, "nothing but the file is left");
    seen
}
