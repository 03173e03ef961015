//! What the exported objects hold, in a process of its own whose memory, threads and files are counted: nothing after they are
//! closed a thousand times, and no more than the queue while nobody reads.

use std::thread;
use std::time::Duration;

use sprat_ffi::{Event, GenerationOptions, LogitBias, SessionOptions};
use sprat_tests::exported::{answer, greedy, open, source, text, wait};
use sprat_tests::scenario;

/// Of the small model's vocabulary.
const END_OF_TEXT: u32 = 258;

/// Memory may differ by what the allocator keeps.
const SLACK_KB: usize = 8 * 1024;

fn main() {
    // Cargo hands names of tests to every binary, and asks each what tests it has.
    if std::env::args().nth(1).is_some() {
        return;
    }
    thousand_cycles();
    nobody_reads();
}

/// Models and sessions opened and closed, now and then with a reply.
fn thousand_cycles() {
    let file = scenario::model().path();
    let cycle = |i: usize| {
        let model = open(source(&file)).expect("opens");
        let session = model.session(SessionOptions::default()).expect("a session");
        if i.is_multiple_of(20) {
            answer(&session, text("Hi"), greedy(1)).expect("a reply");
        }
        session.close().expect("closes");
        model.close().expect("closes");
    };
    (0..200).for_each(cycle);
    let (memory, threads, files) = (resident_kb(), settled_threads(), count("/proc/self/fd"));
    (0..1000).for_each(cycle);
    let grown = resident_kb().saturating_sub(memory);
    let (threads_now, files_now) = (settled_threads(), count("/proc/self/fd"));
    println!("1000 cycles: {grown} KB, threads {threads} and then {threads_now}, files {files} and then {files_now}");
    assert!(grown < SLACK_KB, "{grown} KB more");
    assert!(threads_now <= threads && files_now <= files);
}

/// A reader that stands still stops the generation, and then gets all of it.
fn nobody_reads() {
    let model = open(source(&scenario::model().path())).expect("opens");
    let session =
        model.session(SessionOptions { context_tokens: Some(4096), ..Default::default() }).expect("a session");
    // The end of the text may not come before.
    let endless = vec![LogitBias { token: END_OF_TEXT, bias: f32::NEG_INFINITY }];
    let options = GenerationOptions { logit_bias: endless, ..greedy(3000) };
    let stream = session.stream(text("Hello"), options).expect("a stream");
    let mut pieces = String::new();
    let mut take = |batch: Vec<Event>| -> Option<u64> {
        batch.into_iter().find_map(|event| match event {
            Event::Text { text } => {
                pieces += &text;
                None
            }
            Event::Done { reply } => {
                assert_eq!(reply.text, pieces, "no text is lost");
                Some(reply.generated_tokens)
            }
            other => panic!("{other:?}"),
        })
    };
    assert!(take(wait(stream.next_batch()).expect("events")).is_none());
    // The queue fills up; then no processor time is used any more, and no memory taken.
    let mut before = cpu_ticks();
    loop {
        thread::sleep(Duration::from_millis(300));
        let now = cpu_ticks();
        if now == before {
            break;
        }
        before = now;
    }
    let memory = resident_kb();
    thread::sleep(Duration::from_secs(1));
    assert_eq!(cpu_ticks(), before, "it waits");
    let grown = resident_kb().saturating_sub(memory);
    assert!(grown < 1024, "{grown} KB more");
    assert!(session.is_responding().expect("open"));
    let generated = loop {
        let batch = wait(stream.next_batch()).expect("events");
        if let Some(generated) = take(batch) {
            break generated;
        }
    };
    assert_eq!(generated, 3000);
    println!("nobody read for a second: no time, {grown} KB; then all {} bytes of {generated} tokens", pieces.len());
}

fn count(folder: &str) -> usize {
    std::fs::read_dir(folder).expect("Linux has it").count()
}

/// Threads, once those of turns that are over are gone.
fn settled_threads() -> usize {
    let mut threads = count("/proc/self/task");
    for _ in 0..100 {
        thread::sleep(Duration::from_millis(10));
        threads = threads.min(count("/proc/self/task"));
    }
    threads
}

/// Clock ticks of processor time that this process has used.
fn cpu_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux has it");
    let behind_name = stat.rsplit(')').next().unwrap_or_default();
    // Fields 14 and 15 of proc(5), the 12th and 13th behind the name.
    behind_name.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().expect("a number")).sum()
}

fn resident_kb() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line of memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
