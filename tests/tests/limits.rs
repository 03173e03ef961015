//! The system gives no more: memory, threads, room in files, descriptors; and a thousand threads ask at once. A typed
//! error, nothing lost, and all is well again afterwards. Has its own `main`, because limits are of a whole process.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use sprat::error::{ChatError, TokenizerError};
use sprat::sampler::Sampler;
use sprat::{
    ContextOptions, Error, GenerationOptions, Model, OpenOptions, Reply, SamplerOptions, Session, SessionOptions,
    SpecialTokens, process_anonymous_bytes,
};
use sprat_gguf::TensorKind;
use sprat_tests::small::Small;
use sprat_tests::{heap, process};

/// What a child process does with a model file and a folder of its own.
type Case = (&'static str, fn(&Path, &Path));

const CASES: &[Case] = &[
    ("the app's own limit", own_limit),
    ("no more memory", no_more_memory),
    ("a prompt larger than the memory", a_prompt_larger_than_the_memory),
    ("files that cannot grow", files_that_cannot_grow),
    (FULL_DISK, a_full_disk),
    ("no more descriptors", no_more_descriptors),
    ("a thousand threads", a_thousand_threads),
];

/// For the children. glibc gives memory back when it is freed, and has some in reserve: Rust itself ends a process in
/// which not even a few bytes are to be had, so what is tested is that nothing large takes it that far.
const MALLOC: [(&str, &str); 3] =
    [("MALLOC_ARENA_MAX", "1"), ("MALLOC_MMAP_THRESHOLD_", "65536"), ("MALLOC_TOP_PAD_", "4194304")];

/// Runs where it may mount a disk of its own.
const FULL_DISK: &str = "a full disk";

/// Threads that ask at once.
const CROWD: usize = 1000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [command, name, model, folder] = &arguments[..]
        && command == "case"
    {
        let (_, case) = CASES.iter().find(|(known, _)| known == name).expect("a known case");
        return case(Path::new(model), Path::new(folder));
    }
    // Cargo hands names of tests to every binary.
    let filters: Vec<_> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    if arguments.iter().any(|argument| argument == "--list")
        || !filters.is_empty() && !filters.iter().any(|f| *f == "limits")
    {
        return;
    }
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        println!("NOT TESTED: limits of Linux, and under emulation this program cannot start itself");
        return;
    }
    let folder = std::env::temp_dir().join(format!("sprat-limits-{}", std::process::id()));
    let model = Small { layers: 2, ..Small::new("llama", TensorKind::Q8_0) }.path();
    for (name, _) in CASES {
        fs::create_dir_all(&folder).expect("a temporary folder");
        let start = Instant::now();
        let program = std::env::current_exe().expect("this program");
        let mut command = Command::new(&program);
        if *name == FULL_DISK {
            let Some(namespace) = NAMESPACES.iter().find(|namespace| can_mount(namespace, &folder)) else {
                println!("NOT TESTED: {name}, because no disk can be mounted here");
                continue;
            };
            command = Command::new("unshare");
            command.args(*namespace).arg(program);
        }
        let status = command
            .args([OsStr::new("case"), OsStr::new(name), model.as_os_str(), folder.as_os_str()])
            .envs(MALLOC)
            .stdin(Stdio::null())
            .status()
            .expect("this program starts again");
        assert!(status.success(), "{name}: {status}");
        println!("{name}: ok, {:.1} s", start.elapsed().as_secs_f64());
        fs::remove_dir_all(&folder).expect("just made");
    }
    fs::remove_file(&model).expect("just made");
}

fn open(file: &Path) -> Arc<Model> {
    Arc::new(Model::open(file).expect("a good file"))
}

fn options() -> SessionOptions {
    let context = ContextOptions { threads: Some(1), batch: Some(64), ..ContextOptions::default() };
    SessionOptions { context, ..SessionOptions::default() }
}

fn respond(session: &Session, prompt: &str) -> Result<Reply, Error> {
    let sampler = SamplerOptions::greedy();
    session.respond(prompt, &GenerationOptions { max_tokens: 4, sampler, ..GenerationOptions::default() })
}

/// What a session with nothing before it answers.
fn expected(model: &Arc<Model>, prompt: &str) -> String {
    let session = Session::new(model, options()).expect("good options");
    respond(&session, prompt).expect("all is well").text
}

/// Of the cache, of buffers, for a turn's thread, for that of a template.
fn is_no_memory(error: &Error) -> bool {
    matches!(
        error,
        Error::OutOfMemory { .. }
            | Error::NoThread { .. }
            | Error::Chat(ChatError::NoStack { .. } | ChatError::NoMemory { .. })
            | Error::Tokenizer(TokenizerError::NoMemory { .. })
    )
}

/// Makes sessions that answer until one cannot; those that could, and why it could not.
fn fill(model: &Arc<Model>, prompt: &str) -> (Vec<Session>, Error) {
    let mut sessions = Vec::new();
    loop {
        let next = Session::new(model, options()).and_then(|session| respond(&session, prompt).map(|_| session));
        match next {
            Ok(session) => sessions.push(session),
            Err(error) => return (sessions, error),
        }
    }
}

/// After a refusal: who was served before has lost nothing, and what is given back serves others.
fn life_goes_on(model: &Arc<Model>, mut sessions: Vec<Session>, prompt: &str, reply: &str) {
    for session in &sessions {
        let transcript = session.transcript();
        assert_eq!((transcript.len(), &*transcript[1].content), (2, reply));
    }
    sessions.truncate(sessions.len() / 2);
    for session in &sessions {
        respond(session, "and now?").expect("it has its memory already");
    }
    assert_eq!(expected(model, prompt), reply);
}

fn own_limit(file: &Path, _folder: &Path) {
    let limit = OpenOptions { max_anonymous_bytes: Some(32 << 20), ..OpenOptions::default() };
    let model = Arc::new(Model::open_with(file, &limit).expect("a good file"));
    let reply = expected(&model, "hello");
    let (sessions, error) = fill(&model, "hello");
    assert!(matches!(error, Error::OverBudget { limit, .. } if limit == 32 << 20), "{error}");
    assert!(sessions.len() >= 4 && model.anonymous_bytes() <= 32 << 20);
    life_goes_on(&model, sessions, "hello", &reply);
    assert_eq!(model.anonymous_bytes(), 0, "all is given back");
}

fn no_more_memory(file: &Path, _folder: &Path) {
    let model = open(file);
    let reply = expected(&model, "hello");
    let mut served = Vec::new();
    for room in [40, 41] {
        let before = soft_limit(libc::RLIMIT_AS);
        set_limit(libc::RLIMIT_AS, (process::status("VmSize:").expect("Linux") as u64) * 1024 + (room << 20));
        let (sessions, error) = fill(&model, "hello");
        assert!(is_no_memory(&error), "{error}");
        served.push(sessions.len());
        life_goes_on(&model, sessions, "hello", &reply);
        set_limit(libc::RLIMIT_AS, before);
        assert_eq!(model.anonymous_bytes(), 0, "all is given back");
    }
    println!("sessions served before the memory was at an end: {served:?}");
    assert!(served.iter().all(|&served| served >= 2));
}

fn a_prompt_larger_than_the_memory(file: &Path, _folder: &Path) {
    let model = open(file);
    let session = Session::new(&model, options()).expect("good options");
    let reply = respond(&session, "hello").expect("all is well").text;
    let before = soft_limit(libc::RLIMIT_AS);
    let prompts = [1, 2, 4, 8, 15].map(|mb| [(); 2].map(|()| "word ".repeat((mb << 20) / 5)));
    let room = 12 << 20;
    set_limit(libc::RLIMIT_AS, (process::status("VmSize:").expect("Linux") as u64) * 1024 + room);
    for [first, second] in prompts {
        let len = first.len();
        assert!(matches!(session.count_tokens(first), Err(error) if is_no_memory(&error)), "{len} bytes");
        let error = session.respond(second, &GenerationOptions::default()).expect_err("it does not fit");
        assert!(is_no_memory(&error), "{len} bytes: {error}");
        assert_eq!(session.transcript().len(), 2, "the turn changed nothing");
    }
    let text = "word ".repeat((4 << 20) / 5);
    let error = model.tokenizer().encode(&text, SpecialTokens::AsText, false).expect_err("its words do not fit");
    assert!(matches!(error, TokenizerError::NoMemory { .. }), "{error}");
    let sampler = SamplerOptions { top_k: 0, ..SamplerOptions::default() };
    assert!(matches!(Sampler::new(sampler, 1 << 24), Err(Error::OutOfMemory { .. })));
    set_limit(libc::RLIMIT_AS, before);
    assert_eq!(expected(&model, "hello"), reply);
    respond(&session, "and now?").expect("nothing was lost");
}

fn files_that_cannot_grow(file: &Path, folder: &Path) {
    // The signal that comes with it would end the process: an app's own affair.
    // SAFETY: to ignore a signal needs nothing.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    let model = open(file);
    let session = Session::new(&model, options()).expect("good options");
    let path = folder.join("session");
    session.save(&path).expect("there is room on the disk");
    respond(&session, "a prompt of some length, so that its cache has more than one page").expect("all is well");
    let whole = folder.join("whole");
    session.save(&whole).expect("there is room on the disk");
    let len = fs::metadata(&whole).expect("just written").len();
    let before = soft_limit(libc::RLIMIT_FSIZE);
    for most in (0..len).step_by(10_000).chain([len - 1]) {
        set_limit(libc::RLIMIT_FSIZE, most);
        let error = session.save(&path).expect_err("the file cannot grow so far");
        assert!(
            matches!(&error, Error::Save { source, .. } if source.kind() == ErrorKind::FileTooLarge),
            "{most}: {error}"
        );
        let old = Session::restore(&model, &path, options()).expect("the file is as it was");
        assert!(old.transcript().is_empty());
        assert_eq!(fs::read_dir(folder).expect("readable").count(), 2, "nothing half written is left");
    }
    set_limit(libc::RLIMIT_FSIZE, len);
    session.save(&path).expect("just enough");
    set_limit(libc::RLIMIT_FSIZE, before);
    let restored = Session::restore(&model, &path, options()).expect("just written");
    assert_eq!(restored.transcript(), session.transcript());
}

/// What `unshare` is told, for root and for others.
const NAMESPACES: [&[&str]; 2] = [&["--mount"], &["--mount", "--user", "--map-root-user"]];

/// A mount ends with the namespace that it was made in.
fn can_mount(namespace: &[&str], folder: &Path) -> bool {
    let mut unshare = Command::new("unshare");
    unshare.args(namespace).args(["mount", "-t", "tmpfs", "tmpfs"]).arg(folder).stderr(Stdio::null());
    unshare.status().is_ok_and(|status| status.success())
}

fn mount(options: &str, folder: &Path) {
    let status = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(folder).status();
    assert!(status.expect("as before").success(), "{options}");
}

fn a_full_disk(file: &Path, folder: &Path) {
    const STEP: u64 = 64 << 10;
    mount("size=64m", folder);
    let model = open(file);
    let session = Session::new(&model, options()).expect("good options");
    let (path, whole) = (folder.join("session"), folder.join("whole"));
    session.save(&path).expect("there is room on the disk");
    respond(&session, "a prompt of some length, so that its cache has more than one page").expect("all is well");
    session.save(&whole).expect("there is room on the disk");
    let len = |path| fs::metadata(path).expect("just written").len().next_multiple_of(STEP);
    let (before, more) = (len(&path), len(&whole));
    fs::remove_file(&whole).expect("just written");
    // The new file is written beside the old one: there is room for the old one and a part of the new.
    let rooms = (before as usize..(before + more - STEP) as usize).step_by(STEP as usize);
    assert!(rooms.len() > 1, "{before} {more}");
    for room in rooms {
        mount(&format!("remount,size={room}"), folder);
        let error = session.save(&path).expect_err("the disk is full");
        let full = |source: &std::io::Error| source.kind() == ErrorKind::StorageFull;
        assert!(matches!(&error, Error::Save { source, .. } if full(source)), "{room}: {error}");
        let old = Session::restore(&model, &path, options()).expect("the file is as it was");
        assert!(old.transcript().is_empty());
        assert_eq!(fs::read_dir(folder).expect("readable").count(), 1, "nothing half written is left");
        respond(&session.fork().expect("idle"), "and now?").expect("conversations go on");
    }
    mount(&format!("remount,size={}", before + more), folder);
    session.save(&path).expect("there is room again");
    let restored = Session::restore(&model, &path, options()).expect("just written");
    assert_eq!(restored.transcript(), session.transcript());
}

fn no_more_descriptors(file: &Path, folder: &Path) {
    let model = open(file);
    let session = Session::new(&model, options()).expect("good options");
    respond(&session, "hello").expect("all is well");
    let path = folder.join("session");
    session.save(&path).expect("there is room on the disk");
    let before = soft_limit(libc::RLIMIT_NOFILE);
    // The next one has the lowest number that is free.
    let next = File::open(file).expect("a good file").as_raw_fd();
    set_limit(libc::RLIMIT_NOFILE, next as u64);
    assert!(matches!(Model::open(file), Err(Error::Open { .. })));
    assert!(matches!(session.save(&path), Err(Error::Save { .. })));
    assert!(matches!(Session::restore(&model, &path, options()), Err(Error::Open { .. })));
    respond(&session, "and now?").expect("a turn opens nothing");
    respond(&session.fork().expect("nor does a fork"), "and now?").expect("all is well");
    set_limit(libc::RLIMIT_NOFILE, before);
    let restored = Session::restore(&model, &path, options()).expect("the file is as it was");
    assert_eq!(restored.transcript().len(), 2);
    session.save(&path).expect("there are descriptors again");
}

fn a_thousand_threads(file: &Path, _folder: &Path) {
    let model = open(file);
    let prompts: Vec<String> = (0..10).map(|i| format!("{i} {}", "word ".repeat(i))).collect();
    let replies: Vec<String> = prompts.iter().map(|prompt| expected(&model, prompt)).collect();
    wait_for_threads(1);
    let (memory, descriptors) = (process_anonymous_bytes(), process::descriptors());
    let (gate, start) = (Barrier::new(CROWD), Instant::now());
    let served: usize = thread::scope(|scope| {
        let ask = |i: usize| {
            let (model, gate, prompt, reply) = (&model, &gate, &prompts[i % 10], &replies[i % 10]);
            move || {
                gate.wait();
                match Session::new(model, options()).and_then(|session| respond(&session, prompt)) {
                    Ok(found) => {
                        assert_eq!(&found.text, reply, "what one alone is told");
                        1
                    }
                    // A system may have less than a thousand sessions need.
                    Err(error) if is_no_memory(&error) => 0,
                    Err(error) => panic!("{error}"),
                }
            }
        };
        let spawn = |i| thread::Builder::new().stack_size(256 << 10).spawn_scoped(scope, ask(i)).expect("a thread");
        let threads: Vec<_> = (0..CROWD).map(spawn).collect();
        threads.into_iter().map(|thread| thread.join().expect("it does not panic")).sum()
    });
    println!("{served} of {CROWD} threads were served in {:.1} s", start.elapsed().as_secs_f64());
    assert!(served > CROWD / 2, "{served}");
    wait_for_threads(1);
    assert_eq!(model.anonymous_bytes(), 0, "all sessions have given theirs back");
    assert_eq!(process::descriptors(), descriptors);
    heap::trim();
    let left = process_anonymous_bytes().saturating_sub(memory);
    println!("{} KB more in memory than before", left >> 10);
    // glibc keeps some stacks of threads that have ended.
    assert!(left < 8 << 20, "{left} bytes are left behind");
    assert_eq!(expected(&model, &prompts[3]), replies[3]);
}

/// Threads of turns end just after their readers know.
fn wait_for_threads(n: usize) {
    let start = Instant::now();
    while process::status("Threads:").expect("Linux") > n {
        assert!(start.elapsed() < Duration::from_secs(60), "{:?} threads are left", process::threads());
        thread::sleep(Duration::from_millis(1));
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
type Resource = libc::__rlimit_resource_t;
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
type Resource = libc::c_int;

fn limits(resource: Resource) -> libc::rlimit {
    let mut limits = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a place that may be written.
    assert_eq!(unsafe { libc::getrlimit(resource, &mut limits) }, 0);
    limits
}

fn soft_limit(resource: Resource) -> u64 {
    limits(resource).rlim_cur
}

/// Changes the limit that may be raised again.
fn set_limit(resource: Resource, to: u64) {
    let limits = libc::rlimit { rlim_cur: to, ..limits(resource) };
    // SAFETY: the pointer is to a valid limit.
    assert_eq!(unsafe { libc::setrlimit(resource, &limits) }, 0);
}
