//! The model's file is shortened while it is in use: a typed error. Has its own `main`, because a fault ends the process:
//! a process of its own shows whether one came, and where it went.

use std::ffi::c_int;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use sprat::{
    Context, ContextOptions, Error, GenerationOptions, Model, SamplerOptions, Session, SessionOptions,
    guard_mapped_files,
};
use sprat_gguf::TensorKind;
use sprat_tests::small::{Random, Small};

/// What a child process does with a model file of its own, and how it must end.
type Case = (&'static str, fn(&Path), End);

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Well,
    BySigbus,
    /// By the handler that the case installs.
    ByOwnHandler,
}

const CASES: &[Case] = &[
    ("shortened between turns", shortened_between_turns, End::Well),
    ("shortened while a reply is written", shortened_while_a_reply_is_written, End::Well),
    ("replaced by another", replaced_by_another, End::Well),
    ("guarded between two passes", guarded_between_two_passes, End::Well),
    ("guarded at any moment of a batch", guarded_at_any_moment_of_a_batch, End::Well),
    ("guarded while a reply is written", guarded_while_a_reply_is_written, End::Well),
    ("a saved session shortened between turns", saved_session_shortened_between_turns, End::Well),
    ("guarded: a saved session shortened at any moment", guarded_saved_session_at_any_moment, End::Well),
    ("not guarded between two passes", between_two_passes, End::BySigbus),
    ("a fault elsewhere", fault_elsewhere, End::BySigbus),
    ("a fault elsewhere, with a handler", fault_elsewhere_with_a_handler, End::ByOwnHandler),
    ("a signal that is sent", signal_that_is_sent, End::BySigbus),
    ("a signal that is sent and ignored", signal_that_is_sent_and_ignored, End::Well),
];

/// What [`own_handler`] ends the process with.
const OWN_CODE: c_int = 42;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [command, name, file] = &arguments[..]
        && command == "case"
    {
        let (_, case, _) = CASES.iter().find(|(known, _, _)| known == name).expect("a known case");
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
    for (name, _, end) in CASES {
        let file = folder.join(format!("{}.gguf", name.replace(' ', "-")));
        fs::copy(&model, &file).expect("there is room on the disk");
        let child = Command::new(std::env::current_exe().expect("this program"))
            .args(["case", name])
            .arg(&file)
            .stdin(Stdio::null())
            .status();
        match child {
            Ok(status) => {
                let found = match (status.code(), status.signal()) {
                    (Some(0), _) => Some(End::Well),
                    (Some(OWN_CODE), _) => Some(End::ByOwnHandler),
                    (_, Some(libc::SIGBUS)) => Some(End::BySigbus),
                    _ => None,
                };
                assert_eq!(found, Some(*end), "{name}: {status}");
            }
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

/// The second pass of one call reads a file of which nothing is left.
fn between_two_passes(file: &Path) {
    let model = open(file);
    let session = session(&model);
    session.respond("hello", &greedy(8)).expect("all is well");
    let options = ContextOptions { batch: Some(2), ..context_options() };
    let mut context = Context::new(model, &options).expect("good options");
    let mut passes = 0;
    let result = context.feed_each(&[1, 2, 3, 4, 5, 6], &AtomicBool::new(false), &mut |_| {
        passes += 1;
        shorten(file, 0);
        Ok(())
    });
    assert!(matches!(result, Err(Error::FileLost)), "{result:?}");
    assert_eq!((passes, context.len()), (2, 0), "the first pass went well, and what it left is undone");
    refuses(&session, 2);
}

fn guarded_between_two_passes(file: &Path) {
    guard_mapped_files().expect("a handler may be installed");
    between_two_passes(file);
}

fn guarded_at_any_moment_of_a_batch(file: &Path) {
    guard_mapped_files().expect("a handler may be installed");
    let whole = fs::read(file).expect("just made");
    let mut random = Random(11);
    for round in 0..20 {
        let path = file.with_extension(format!("{round}"));
        fs::write(&path, &whole).expect("there is room on the disk");
        let mut context = Context::new(open(&path), &context_options()).expect("good options");
        let tokens: Vec<u32> = (0..200).collect();
        let reader = std::thread::spawn(move || {
            loop {
                context.rewind(0);
                if let Err(error) = context.feed(&tokens, &AtomicBool::new(false)) {
                    return error;
                }
            }
        });
        std::thread::sleep(Duration::from_micros(random.below(30_000) as u64));
        shorten(&path, random.below(whole.len()) as u64);
        let error = reader.join().expect("nothing panics");
        assert!(matches!(error, Error::FileLost), "{error:?}");
    }
}

fn guarded_while_a_reply_is_written(file: &Path) {
    guard_mapped_files().expect("a handler may be installed");
    let session = session(&open(file));
    session.respond("hello", &greedy(8)).expect("all is well");
    let mut stream = session.stream("tell me more", &greedy(400)).expect("idle");
    stream.next().expect("an event").expect("all is well so far");
    shorten(file, 0);
    let error = stream.find_map(Result::err).expect("the file is short");
    assert!(matches!(error, Error::FileLost), "{error:?}");
    refuses(&session, 2);
}

/// A session of some pages, saved beside the model's file; and what it answers.
fn saved_session(model: &Arc<Model>, file: &Path) -> (PathBuf, String) {
    let session = session(model);
    session.respond("a prompt that fills more than one page of the cache with its tokens", &greedy(60)).expect("well");
    let path = file.with_extension("session");
    session.save(&path).expect("there is room on the disk");
    (path, session.respond("go on", &greedy(8)).expect("well").text)
}

/// Only the cache is lost, so nothing is.
fn saved_session_shortened_between_turns(file: &Path) {
    let model = open(file);
    let (path, expected) = saved_session(&model, file);
    let restore =
        || Session::restore(&model, &path, SessionOptions { context: context_options(), ..Default::default() });
    let [first, second, third] = [(); 3].map(|()| restore().expect("just written"));
    shorten(&path, 20_000);
    let reply = first.respond("go on", &greedy(8)).expect("it reads its transcript anew");
    assert_eq!((reply.cached_tokens, &reply.text), (0, &expected));
    let error = restore().err().expect("the file is short");
    assert!(matches!(error, Error::Saved { .. }), "{error}");
    second.save(&path).expect("what is left of it");
    let again = restore().expect("just written");
    for session in [second, third.fork().expect("idle"), again] {
        assert_eq!(session.respond("go on", &greedy(8)).expect("it reads its transcript anew").text, expected);
    }
}

fn guarded_saved_session_at_any_moment(file: &Path) {
    guard_mapped_files().expect("a handler may be installed");
    let model = open(file);
    let (path, expected) = saved_session(&model, file);
    let whole = fs::read(&path).expect("just written");
    let mut random = Random(13);
    let mut lost = 0;
    for round in 0..40 {
        let path = file.with_extension(format!("{round}"));
        fs::write(&path, &whole).expect("there is room on the disk");
        let options = SessionOptions { context: context_options(), ..SessionOptions::default() };
        let session = Session::restore(&model, &path, options).expect("just written");
        let own = session.clone();
        let reader = std::thread::spawn(move || own.respond("go on", &greedy(8)));
        std::thread::sleep(Duration::from_micros(random.below(4000) as u64));
        shorten(&path, random.below(whole.len()) as u64);
        let text = match reader.join().expect("nothing panics") {
            Ok(reply) => reply.text,
            Err(error) => {
                assert!(matches!(error, Error::CacheLost), "{error:?}");
                assert_eq!(session.transcript().len(), 2, "a failed turn changes nothing");
                lost += 1;
                session.respond("go on", &greedy(8)).expect("it reads its transcript anew").text
            }
        };
        assert_eq!(text, expected, "round {round}");
        session.save(&path).expect("what is left of it");
    }
    println!("{lost} of 40 turns noticed");
}

/// Reads what is gone of a mapping that is not the engine's, while the engine has some of its own.
fn fault_elsewhere(file: &Path) {
    guard_mapped_files().expect("a handler may be installed");
    let _model = open(file);
    let path = file.with_extension("other");
    fs::copy(file, &path).expect("there is room on the disk");
    // SAFETY: only bytes are read of it.
    let map = unsafe { memmap2::Mmap::map(&File::open(&path).expect("just made")) }.expect("a file can be mapped");
    shorten(&path, 0);
    println!("unreachable: {}", map[0]);
}

fn fault_elsewhere_with_a_handler(file: &Path) {
    install(own_handler as extern "C" fn(c_int) as usize);
    fault_elsewhere(file);
}

fn signal_that_is_sent(file: &Path) {
    // Rust's own handler lets the first one pass.
    install(libc::SIG_DFL);
    send_guarded(file);
}

fn send_guarded(file: &Path) {
    guard_mapped_files().expect("a handler may be installed");
    let _model = open(file);
    // SAFETY: any process may send itself any signal.
    unsafe { libc::raise(libc::SIGBUS) };
}

fn signal_that_is_sent_and_ignored(file: &Path) {
    install(libc::SIG_IGN);
    send_guarded(file);
}

/// As an app's crash reporter would, before the guard.
fn install(handler: usize) {
    // SAFETY: all zeros is a valid `sigaction`.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler;
    // SAFETY: the handler is a function of one number, as is right without `SA_SIGINFO`, or one of the system's own.
    assert_eq!(unsafe { libc::sigaction(libc::SIGBUS, &action, std::ptr::null_mut()) }, 0);
}

extern "C" fn own_handler(_signal: c_int) {
    // SAFETY: a call that handlers may make.
    unsafe { libc::_exit(OWN_CODE) }
}
