//! Sessions: what a turn changes and what it leaves alone.

use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Wake, Waker};

use sprat::{
    Conditions, ContextOptions, Error, Event, GenerationOptions, Input, Model, Pace, Reply, SamplerOptions, Session,
    SessionOptions, StopReason, governor,
};
use sprat_gguf::TensorKind;
use sprat_tests::small::Small;

fn session(max_positions: usize) -> Session {
    let model = Model::open(Small { layers: 1, ..Small::new("llama", TensorKind::Q8_0) }.path()).expect("a good file");
    let context = ContextOptions { max_positions: Some(max_positions), threads: Some(1), ..ContextOptions::default() };
    Session::new(&Arc::new(model), SessionOptions { context, ..SessionOptions::default() }).expect("good options")
}

fn greedy(max_tokens: usize) -> GenerationOptions {
    GenerationOptions { max_tokens, sampler: SamplerOptions::greedy(), ..GenerationOptions::default() }
}

fn respond(session: &Session, input: impl Into<Input>, max_tokens: usize) -> Reply {
    session.respond(input, &greedy(max_tokens)).expect("there is room")
}

/// The third event of a turn that would have a hundred tokens, and then a stop.
fn stopped(session: &Session, keep_partial: bool) -> Result<Vec<Event>, Error> {
    let options = GenerationOptions { keep_partial, ..greedy(100) };
    let mut stream = session.stream("second", &options).expect("idle");
    for _ in 0..3 {
        stream.next().expect("more than three").expect("it runs");
    }
    session.stop();
    stream.collect()
}

#[test]
fn a_stopped_or_dropped_turn_leaves_the_session_as_it_was() {
    let session = session(256);
    respond(&session, "first", 5);
    let before = (session.transcript(), session.tokens_used());
    assert!(matches!(stopped(&session, false), Err(Error::Stopped)));
    assert_eq!((session.transcript(), session.tokens_used()), before);
    assert!(!session.partial().expect("something was written").text.is_empty());
    let mut stream = session.stream("second", &greedy(100)).expect("idle");
    stream.next().expect("a piece").expect("it runs");
    drop(stream);
    // Waits for the dropped turn to be gone.
    assert!(session.undo().expect("idle").is_some());
    respond(&session, "first", 5);
    let straight = self::session(256);
    respond(&straight, "first", 5);
    assert_eq!(session.transcript(), straight.transcript());
    let replies = [&session, &straight].map(|session| respond(session, "third", 5));
    assert_eq!(replies[0].text, replies[1].text);
    assert_eq!(replies[0].prompt_tokens, replies[1].prompt_tokens);
}

#[test]
fn a_stopped_turn_is_kept_where_the_options_say_so() {
    let session = session(256);
    let events = stopped(&session, true).expect("kept");
    let Some(Event::Done(reply)) = events.last() else { panic!("{events:?}") };
    assert_eq!(reply.stop, StopReason::Stopped);
    let transcript = session.transcript();
    assert_eq!((transcript.len(), &transcript[1].content), (2, &reply.text));
    assert!(!reply.text.is_empty() && session.partial().is_none());
}

#[test]
fn one_turn_at_a_time() {
    let session = session(256);
    let stream = session.stream("first", &greedy(200)).expect("idle");
    assert!(session.is_responding());
    assert!(matches!(session.respond("second", &greedy(1)), Err(Error::Busy)));
    assert!(matches!(session.undo(), Err(Error::Busy)));
    assert!(matches!(session.fork().err(), Some(Error::Busy)));
    assert!(session.transcript().is_empty(), "what is not finished is not seen");
    drop(stream);
    respond(&session, "second", 1);
    assert_eq!(session.transcript()[0].content, "second");
}

#[test]
fn a_slow_reader_holds_the_model_up_and_loses_nothing() {
    let session = session(512);
    let stream = session.stream("first", &greedy(300)).expect("idle");
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(session.is_responding(), "the turn waits for its reader");
    let mut text = String::new();
    let mut done = None;
    for event in stream {
        match event.expect("it runs") {
            Event::Text(piece) => text.push_str(&piece),
            Event::Done(reply) => done = Some(reply),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(done.expect("the last event").text, text);
}

#[test]
fn edited_and_regenerated_turns_reuse_the_cache_up_to_the_first_difference() {
    let session = session(512);
    respond(&session, "one two three", 8);
    let first = respond(&session, "four five six", 8);
    let again = respond(&session, Input::Regenerate, 8);
    assert_eq!((again.text, again.prompt_tokens), (first.text, first.prompt_tokens));
    assert_eq!(again.cached_tokens, first.prompt_tokens - 1, "only the last token is fed again");
    let edited = respond(&session, Input::Edit { index: 2, text: "four five nine".into() }, 8);
    assert!(edited.cached_tokens < first.prompt_tokens - 1 && edited.cached_tokens > first.cached_tokens);
    // The same conversation without any cache.
    let fresh = self::session(512);
    fresh.set_transcript(session.transcript()).expect("idle");
    let recomputed = respond(&fresh, Input::Regenerate, 8);
    assert_eq!((recomputed.cached_tokens, recomputed.text), (0, edited.text));
}

#[test]
fn new_instructions_are_never_ignored() {
    let session = session(512);
    respond(&session, "hello", 4);
    session.set_instructions(Some("be brief")).expect("idle");
    let reply = respond(&session, "again", 4);
    // `user` and `system` begin differently: nothing but the first token can stay.
    assert_eq!(reply.cached_tokens, 1);
}

#[test]
fn forks_go_their_own_ways() {
    let session = session(512);
    respond(&session, "one two three", 8);
    let fork = session.fork().expect("idle");
    let (a, b) = (respond(&session, "left", 8), respond(&fork, "right", 8));
    let (c, d) = (respond(&session, "on", 8), respond(&fork, "on", 8));
    let straight = self::session(512);
    respond(&straight, "one two three", 8);
    assert_eq!((respond(&straight, "left", 8).text, respond(&straight, "on", 8).text), (a.text, c.text));
    assert!(straight.undo().expect("idle").is_some() && straight.undo().expect("idle").is_some());
    assert_eq!((respond(&straight, "right", 8).text, respond(&straight, "on", 8).text), (b.text, d.text));
}

#[test]
fn a_closed_session_refuses_turns_and_stops_the_one_that_runs() {
    let session = session(512);
    let stream = session.stream("first", &greedy(400)).expect("idle");
    session.close();
    assert!(matches!(stream.collect::<Result<Vec<_>, _>>(), Err(Error::Stopped | Error::Closed)));
    assert!(matches!(session.respond("second", &greedy(1)), Err(Error::Closed)));
    assert!(session.transcript().is_empty());
}

/// Wakes a thread.
struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[test]
fn a_stream_can_be_polled_without_a_runtime() {
    let session = session(512);
    let expected = respond(&session, "first", 40).text;
    session.undo().expect("idle");
    let stream = session.stream("first", &greedy(40)).expect("idle");
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = TaskContext::from_waker(&waker);
    let mut text = String::new();
    loop {
        match stream.poll_batch(&mut context) {
            Poll::Pending => std::thread::park(),
            Poll::Ready(batch) => {
                let batch = batch.expect("it runs");
                if batch.is_empty() {
                    break;
                }
                for event in batch {
                    if let Event::Text(piece) = event {
                        text.push_str(&piece);
                    }
                }
            }
        }
    }
    assert_eq!(text, expected);
}

#[test]
fn a_turn_in_the_background_is_slowed_down_and_says_the_same() {
    let prompt = "a prompt of more tokens than a slow pass may have, which are thirty-two";
    let expected = respond(&session(256), prompt, 5);
    // For the whole process, so for the tests beside this one: they are slower meanwhile, and nothing else.
    governor().set(Conditions { background: true, ..Conditions::default() });
    let reply = respond(&session(256), prompt, 5);
    governor().set(Conditions::default());
    assert!(reply.prompt_tokens > 32);
    assert_eq!((reply.restraint.slowest, reply.restraint.paused_ms), (Pace::Slow, 0));
    assert_eq!(reply.text, expected.text);
}
