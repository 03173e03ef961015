//! What the exported objects hold, in a process of its own whose memory, threads and files are counted: nothing after they are
//! closed a thousand times, and no more than the queue while nobody reads.

use std::thread;
use std::time::Duration;

use sprat_ffi::{Event, GenerationOptions, LogitBias, SessionOptions};
use sprat_tests::exported::{answer, greedy, open, source, text, wait};
use sprat_tests::heap::{self, Heap};
use sprat_tests::{process, scenario, scratch};

#[global_allocator]
static HEAP: Heap = Heap;

/// Of the small model's vocabulary.
const END_OF_TEXT: u32 = 258;

/// Memory may differ by what the allocator keeps.
const SLACK_KB: usize = 8 * 1024;

fn main() {
    // Cargo hands names of tests to every binary, and asks each what tests it has.
    if std::env::args().nth(1).is_some() {
        return;
    }
    if !cfg!(target_os = "linux") {
        println!("NOT TESTED: what a process holds is read from Linux");
        return;
    }
    thousand_cycles();
    a_hundred_saves();
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
    let (memory, threads, files) = (resident_kb(), settled_threads(), process::descriptors());
    (0..1000).for_each(cycle);
    let grown = resident_kb().saturating_sub(memory);
    let (threads_now, files_now) = (settled_threads(), process::descriptors());
    println!(
        "1000 cycles: {grown} KB, threads {threads:?} and then {threads_now:?}, files {files:?} and then {files_now:?}"
    );
    assert!(grown < SLACK_KB, "{grown} KB more");
    assert!(threads.is_some() && threads_now <= threads && files_now <= files);
}

/// A conversation saved again and again.
fn a_hundred_saves() {
    let model = open(source(&scenario::model().path())).expect("opens");
    let session = model.session(SessionOptions::default()).expect("a session");
    answer(&session, text("Hi"), greedy(1)).expect("a reply");
    settled_threads();
    let path = scratch::file("lifetime.session").to_string_lossy().into_owned();
    let save = || session.save(path.clone()).expect("room for scratch files");
    save();
    let before = heap::held_bytes();
    (0..100).for_each(|_| save());
    let grown = heap::held_bytes() as isize - before as isize;
    println!("100 saves: {grown} bytes more are allocated");
    assert!(grown <= 0, "{grown} bytes");
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
    let mut before = process::computed();
    loop {
        thread::sleep(Duration::from_millis(300));
        let now = process::computed();
        if now == before {
            break;
        }
        before = now;
    }
    let memory = resident_kb();
    thread::sleep(Duration::from_secs(1));
    assert_eq!(process::computed(), before, "it waits");
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

/// Threads, once those of turns that are over are gone.
fn settled_threads() -> Option<usize> {
    let mut threads = process::threads();
    for _ in 0..100 {
        thread::sleep(Duration::from_millis(10));
        threads = threads.min(process::threads());
    }
    threads
}

fn resident_kb() -> usize {
    process::status("VmRSS:").unwrap_or(0)
}
