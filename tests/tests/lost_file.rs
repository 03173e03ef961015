//! The model's file is shortened while it is in use: a typed error. Has its own `main`, because a fault would end the
//! process, and a process of its own shows that none came.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use sprat::{Context, ContextOptions, Error, GenerationOptions, Model, SamplerOptions, Session, SessionOptions};
use sprat_gguf::TensorKind;
use sprat_tests::small::Small;

/// What a child process does with a model file of its own; it fails by panicking.
type Case = (&'static str, fn(&Path));

const CASES: &[Case] = &[
    ("shortened between turns", shortened_between_turns),
    ("shortened while a reply is written", shortened_while_a_reply_is_written),
    ("replaced by another", replaced_by_another),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [command, name, file] = &arguments[..]
        && command == "case"
    {
        let (_, case) = CASES.iter().find(|(known, _)| known == name).expect("a known case");
        return case(Path::new(file));
    }
    // Cargo hands names of tests to every binary.
    let filters: Vec<_> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    if arguments.iter().any(|argument| argument == "--list")
        || !filters.is_empty() && !filters.iter().any(|f| *f == "lost_file")
    {
        return;
    }
    let folder = std::env::temp_dir().join(format!("sprat-lost-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a temporary folder");
    let model = Small { layers: 4, ..Small::new("llama", TensorKind::Q8_0) }.path();
    for (name, _) in CASES {
        let file = folder.join(format!("{}.gguf", name.replace(' ', "-")));
        fs::copy(&model, &file).expect("there is room on the disk");
        let child = Command::new(std::env::current_exe().expect("this program"))
            .args(["case", name])
            .arg(&file)
            .stdin(Stdio::null())
            .status();
        match child {
            Ok(status) => assert!(status.success(), "{name}: {status}"),
            Err(error) if !cfg!(target_arch = "x86_64") => {
                println!("NOT TESTED under emulation, where this program cannot start itself: {error}");
                break;
            }
            Err(error) => panic!("{error}"),
        }
        println!("{name}: ok");
    }
    fs::remove_dir_all(&folder).expect("just made");
}

fn shorten(file: &Path, len_bytes: u64) {
    let file = File::options().write(true).open(file).expect("a writable file");
    file.set_len(len_bytes).expect("a file that can be shortened");
}

fn context_options() -> ContextOptions {
    ContextOptions { threads: Some(2), ..ContextOptions::default() }
}

fn session(model: &Arc<Model>) -> Session {
    Session::new(model, SessionOptions { context: context_options(), ..SessionOptions::default() })
        .expect("good options")
}

fn greedy(max_tokens: usize) -> GenerationOptions {
    GenerationOptions { max_tokens, sampler: SamplerOptions::greedy(), ..GenerationOptions::default() }
}

fn open(file: &Path) -> Arc<Model> {
    Arc::new(Model::open(file).expect("a good file"))
}

/// No door of the model opens any more, and what was said before is still there.
fn refuses(session: &Session, messages: usize) {
    assert_eq!(session.transcript().len(), messages);
    for _ in 0..2 {
        let error = session.respond("and now?", &greedy(4)).expect_err("the file is gone");
        assert!(matches!(error, Error::FileLost), "{error:?}");
    }
    assert_eq!(session.transcript().len(), messages, "a failed turn changes nothing");
    assert!(matches!(session.prewarm(), Err(Error::FileLost)));
    assert!(matches!(session.fork(), Err(Error::FileLost)));
    assert!(matches!(session.count_tokens("x"), Err(Error::FileLost)));
    assert!(matches!(session.save(std::env::temp_dir().join("sprat-never")), Err(Error::FileLost)));
    assert!(matches!(Context::new(session.model().clone(), &context_options()), Err(Error::FileLost)));
}

fn shortened_between_turns(file: &Path) {
    let whole = fs::metadata(file).expect("just made").len();
    let model = open(file);
    let session = session(&model);
    session.respond("hello", &greedy(8)).expect("all is well");
    let mut context = Context::new(model, &context_options()).expect("good options");
    shorten(file, whole - 1);
    let error = context.feed(&[1, 2, 3], &AtomicBool::new(false)).expect_err("the file is short");
    assert!(matches!(error, Error::FileLost), "{error:?}");
    refuses(&session, 2);
    // Growing again does not bring the bytes back.
    shorten(file, whole);
    refuses(&session, 2);
}

/// The last byte goes, which no turn reads: so the process lives without the guard too.
fn shortened_while_a_reply_is_written(file: &Path) {
    let whole = fs::metadata(file).expect("just made").len();
    let session = session(&open(file));
    session.respond("hello", &greedy(8)).expect("all is well");
    let mut stream = session.stream("tell me more", &greedy(400)).expect("idle");
    stream.next().expect("an event").expect("all is well so far");
    shorten(file, whole - 1);
    // The reply waits for its reader, so it cannot have ended.
    let error = stream.find_map(Result::err).expect("the file is short");
    assert!(matches!(error, Error::FileLost), "{error:?}");
    refuses(&session, 2);
}

fn replaced_by_another(file: &Path) {
    let reply = |session: &Session| session.respond("hello", &greedy(8)).expect("all is well").text;
    let model = open(file);
    let expected = reply(&session(&model));
    let other = Small { layers: 1, seed: 7, ..Small::new("llama", TensorKind::Q8_0) }.path();
    let beside: PathBuf = file.with_extension("new");
    fs::copy(other, &beside).expect("there is room on the disk");
    fs::rename(&beside, file).expect("a folder that can be written");
    assert_eq!(reply(&session(&model)), expected, "an open model keeps the file it has");
    fs::remove_file(file).expect("just renamed");
    assert_eq!(reply(&session(&model)), expected, "also when the file has no name any more");
}
