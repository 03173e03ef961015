//! Eight conversations at once on two cores, some of them stopped at any moment: all get on, what they are told is what one alone is
//! told, and nothing grows. `cargo test --release -p sprat-tests --test load -- MODEL SECONDS` also says how fast it was beside
//! one conversation alone, which only a quiet machine can tell.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use sprat::{
    ContextOptions, Error, Event, GenerationOptions, Model, SamplerOptions, Session, SessionOptions,
    process_anonymous_bytes,
};
use sprat_tests::heap::{self, Heap};
use sprat_tests::process;
use sprat_tests::small::Random;

#[global_allocator]
static HEAP: Heap = Heap;

const SESSIONS: usize = 8;

const CORES: usize = 2;

/// Of the everyday run.
const SECONDS: u64 = 6;

const PROMPTS: [&str; 6] = [
    "Hi, I'm Ada",
    "wake me up at quarter to seven tomorrow",
    "tell Björn that the tickets are in the drawer",
    "will it rain in Lisbon on friday? And if it does, what should I take with me, and where is it?",
    "what's 348 + 275",
    "order me a taxi",
];

/// What conversations that are over may still hold.
const HEAP_SLACK_BYTES: usize = 64 << 10;

/// Growth that is no growth: a few pages of the heap, a stack that is kept for the next thread; and without what glibc gives back
/// when asked.
const SLACK_BYTES: usize = 4 << 20;
const TRIMMED_SLACK_BYTES: usize = 1 << 20;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let bundled = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/models/sprat-tiny-q8_0.gguf");
    match &arguments[..] {
        [command, model, seconds] if command == "run" => {
            return run(Path::new(model), seconds.parse().expect("seconds"));
        }
        [model, seconds] if model.ends_with(".gguf") => return start(Path::new(model), seconds),
        _ => {}
    }
    // Cargo hands names of tests to every binary.
    let filters: Vec<_> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    if arguments.iter().any(|argument| argument == "--list")
        || !filters.is_empty() && !filters.iter().any(|f| *f == "load")
    {
        return;
    }
    if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        start(&bundled, &SECONDS.to_string());
    } else {
        println!("NOT TESTED: what grows is read from Linux, and under emulation this program cannot start itself");
    }
}

/// Again, with a heap that gives back what is freed, so that what grows is ours.
fn start(model: &Path, seconds: &str) {
    let status = Command::new(std::env::current_exe().expect("this program"))
        .args(["run".as_ref(), model.as_os_str(), seconds.as_ref()])
        .envs([("MALLOC_ARENA_MAX", "1"), ("MALLOC_MMAP_THRESHOLD_", "32768"), ("MALLOC_TRIM_THRESHOLD_", "65536")])
        .status()
        .expect("this program starts again");
    assert!(status.success(), "{status}");
}

fn run(model: &Path, seconds: u64) {
    let model = Arc::new(Model::open(PathBuf::from(model)).expect("a good file"));
    let replies: Vec<String> = PROMPTS.iter().map(|prompt| alone(&model, prompt)).collect();
    let part = |n: u64| Duration::from_secs_f64(seconds as f64 / 10.0 * n as f64);
    let one = load(&model, &replies, 1, part(1));
    one.print("one alone");
    let first = load(&model, &replies, SESSIONS, part(2));
    let before = Held::now(&model);
    let all = load(&model, &replies, SESSIONS, part(7));
    let after = Held::now(&model);
    all.print(&format!("{SESSIONS} at once"));
    let ratio = all.tokens_per_s() / one.tokens_per_s();
    let waits = all.worst_wait.as_secs_f64() / (one.token_time().as_secs_f64() * SESSIONS as f64);
    println!(
        "together {ratio:.2} x one alone; the worst wait outside prefill {waits:.2} x sessions x one token's time"
    );
    println!("before {before:?}, after {after:?}");
    assert!(first.least_turns > 0 && all.least_turns > 0, "all get on");
    assert!(all.stopped > 0, "some were stopped");
    assert_eq!((before.of_model, after.of_model), (0, 0), "all that the sessions had is given back");
    assert_eq!((before.threads, before.descriptors), (after.threads, after.descriptors), "threads, descriptors");
    assert!(after.heap <= before.heap + HEAP_SLACK_BYTES, "what is allocated grows");
    assert!(after.anonymous <= before.anonymous + SLACK_BYTES, "memory grows");
    assert!(after.trimmed <= before.trimmed + TRIMMED_SLACK_BYTES, "what glibc does not give back grows");
}

/// What the process has while no session is there.
#[derive(Debug)]
struct Held {
    of_model: usize,
    /// Allocated and not freed.
    heap: usize,
    anonymous: usize,
    /// The same once glibc has given back what it keeps of its heap.
    trimmed: usize,
    threads: usize,
    descriptors: usize,
}

impl Held {
    fn now(model: &Model) -> Self {
        let start = Instant::now();
        // Threads of turns end just after their readers know; main and the pool's helper stay.
        while process::threads().expect("Linux") > CORES && start.elapsed() < Duration::from_secs(60) {
            thread::sleep(Duration::from_millis(1));
        }
        let anonymous = process_anonymous_bytes();
        heap::trim();
        Self {
            of_model: model.anonymous_bytes(),
            heap: heap::held_bytes(),
            anonymous,
            trimmed: process_anonymous_bytes(),
            threads: process::threads().expect("Linux"),
            descriptors: process::descriptors().expect("Linux"),
        }
    }
}

/// What a load came to.
#[derive(Default)]
struct Load {
    time: Duration,
    turns: usize,
    /// The least of any session.
    least_turns: usize,
    stopped: usize,
    tokens: usize,
    /// Waits for a token while no prompt was read, their sum, and the longest.
    waits: u32,
    waited: Duration,
    worst_wait: Duration,
}

impl Load {
    fn tokens_per_s(&self) -> f64 {
        self.tokens as f64 / self.time.as_secs_f64()
    }

    /// The mean of what was waited for a token.
    fn token_time(&self) -> Duration {
        self.waited / self.waits.max(1)
    }

    fn print(&self, what: &str) {
        println!(
            "{what}: {:.1} tokens/s in {} turns, at least {} each, {} of them stopped; outside prefill a token after {:.2} ms, at worst {:.2} ms",
            self.tokens_per_s(),
            self.turns,
            self.least_turns,
            self.stopped,
            self.token_time().as_secs_f64() * 1e3,
            self.worst_wait.as_secs_f64() * 1e3
        );
    }
}

/// Prompts that are being read: waits meanwhile are theirs.
#[derive(Default)]
struct Prefills {
    begun: AtomicUsize,
    running: AtomicUsize,
}

impl Prefills {
    /// Two equal answers, neither of them none: no prompt was read between them.
    fn quiet_since(&self) -> Option<usize> {
        let begun = self.begun.load(SeqCst);
        (self.running.load(SeqCst) == 0).then_some(begun)
    }
}

fn session(model: &Arc<Model>) -> Session {
    let context = ContextOptions { threads: Some(CORES), max_positions: Some(512), ..ContextOptions::default() };
    Session::new(model, SessionOptions { context, ..SessionOptions::default() }).expect("good options")
}

fn options() -> GenerationOptions {
    // Guesses would bring several tokens at once.
    GenerationOptions {
        max_tokens: 48,
        guess: false,
        sampler: SamplerOptions::greedy(),
        ..GenerationOptions::default()
    }
}

fn alone(model: &Arc<Model>, prompt: &str) -> String {
    session(model).respond(prompt, &options()).expect("there is room").text
}

fn load(model: &Arc<Model>, replies: &[String], sessions: usize, time: Duration) -> Load {
    let (start, prefills) = (Instant::now(), Prefills::default());
    let converse = |seed: usize| {
        let (mut random, session, mut load) = (Random(seed as u64 + 1), session(model), Load::default());
        while start.elapsed() < time {
            // Every third is stopped, or left by its reader.
            let stops = (seed + load.turns).is_multiple_of(3);
            turn(&session, stops, replies, &mut random, &prefills, &mut load);
        }
        load
    };
    let loads: Vec<Load> = thread::scope(|scope| {
        let threads: Vec<_> = (0..sessions).map(|seed| scope.spawn(move || converse(seed))).collect();
        threads.into_iter().map(|thread| thread.join().expect("it does not panic")).collect()
    });
    let mut sum = Load { time: start.elapsed(), least_turns: usize::MAX, ..Load::default() };
    for load in loads {
        sum.turns += load.turns;
        sum.least_turns = sum.least_turns.min(load.turns);
        sum.stopped += load.stopped;
        sum.tokens += load.tokens;
        sum.waits += load.waits;
        sum.waited += load.waited;
        sum.worst_wait = sum.worst_wait.max(load.worst_wait);
    }
    sum
}

/// A conversation of one turn.
fn turn(session: &Session, stops: bool, replies: &[String], random: &mut Random, prefills: &Prefills, load: &mut Load) {
    session.set_transcript(Vec::new()).expect("idle");
    // The reply to the first prompt is a text of some tokens, with any model.
    let (which, stop_after) = if stops { (0, random.below(4)) } else { (random.below(PROMPTS.len()), usize::MAX) };
    let leaves = random.below(2) == 0;
    prefills.running.fetch_add(1, SeqCst);
    prefills.begun.fetch_add(1, SeqCst);
    let mut stream = session.stream(PROMPTS[which], &options()).expect("idle");
    let (mut text, mut tokens, mut last) = (String::new(), 0, None);
    let mut reads = true;
    let mut finished = false;
    let mut first = || {
        if std::mem::take(&mut reads) {
            prefills.running.fetch_sub(1, SeqCst);
        }
    };
    while let Some(event) = stream.next() {
        first();
        match event {
            Ok(Event::Text(piece)) => {
                text += &piece;
                tokens += 1;
                let (now, quiet) = (Instant::now(), prefills.quiet_since());
                if let Some((before, was_quiet)) = last
                    && was_quiet == quiet
                    && quiet.is_some()
                {
                    load.waits += 1;
                    load.waited += now - before;
                    load.worst_wait = load.worst_wait.max(now - before);
                }
                last = Some((now, quiet));
            }
            Ok(Event::Done(_)) => finished = true,
            Ok(_) => {}
            Err(Error::Stopped) => break,
            Err(error) => panic!("{error}"),
        }
        if tokens > stop_after {
            if leaves {
                break;
            }
            stream.stop();
        }
    }
    first();
    drop(stream);
    load.tokens += tokens;
    if finished {
        assert_eq!(text, replies[which], "what one alone is told");
    } else {
        assert!(replies[which].starts_with(&text), "the beginning of what one alone is told");
        load.stopped += 1;
    }
    let left = session.undo().expect("idle");
    assert_eq!(left.is_some(), finished, "a turn is a transaction");
    load.turns += 1;
}
