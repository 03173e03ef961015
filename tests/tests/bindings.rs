//! The exported objects, called from Rust as Kotlin and Swift call them: the same conversation, the same errors.

use std::fs::File;
use std::future::Future;
use std::os::fd::AsRawFd;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use sprat_ffi::{
    Event, FfiError, GenerationOptions, Input, Model, Reply, Role, Session, SessionOptions, StopReason, Tool,
};
use sprat_tests::scenario;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future, as the foreign side does.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

fn model() -> Arc<Model> {
    Model::open(scenario::model().path().to_string_lossy().into_owned()).expect("the small model opens")
}

fn session(model: &Model) -> Arc<Session> {
    let options = SessionOptions { instructions: Some(scenario::INSTRUCTIONS.into()), ..Default::default() };
    model.session(options).expect("a session of the small model")
}

fn text(text: &str) -> Input {
    Input::Text { text: text.into() }
}

fn greedy(max_tokens: u32) -> GenerationOptions {
    GenerationOptions { max_tokens: Some(max_tokens), temperature: Some(0.0), ..Default::default() }
}

/// The pieces of a reply, and the reply; none if it was stopped.
fn answer(session: &Session, input: Input, options: GenerationOptions) -> Result<(String, Option<Reply>), FfiError> {
    let stream = session.stream(input, options)?;
    let (mut pieces, mut reply) = (String::new(), None);
    loop {
        let batch = wait(stream.next_batch())?;
        if batch.is_empty() {
            return Ok((pieces, reply));
        }
        for event in batch {
            match event {
                Event::Text { text } => pieces += &text,
                Event::Done { reply: done } => reply = Some(done),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn three_turns_give_the_engines_own_text() {
    let expected = scenario::replies(&scenario::model().path()).expect("the engine replies");
    let session = session(&model());
    for (prompt, expected) in scenario::PROMPTS.into_iter().zip(&expected) {
        let (pieces, reply) = answer(&session, text(prompt), greedy(scenario::MAX_TOKENS as u32)).expect("a reply");
        assert_eq!((&pieces, reply.map(|reply| reply.text).as_ref()), (expected, Some(expected)));
    }
    let roles: Vec<Role> = session.transcript().expect("open").iter().map(|message| message.role).collect();
    assert_eq!(roles.len(), 7);
    assert_eq!(roles[..3], [Role::System, Role::User, Role::Assistant]);
}

#[test]
fn a_stop_ends_the_stream_and_undoes_the_turn() {
    let model = model();
    let options = SessionOptions { context_tokens: Some(200_000), ..Default::default() };
    let session = model.session(options).expect("a session");
    let stream = session.stream(text("Hello"), greedy(100_000)).expect("a stream");
    assert!(!wait(stream.next_batch()).expect("events").is_empty());
    assert!(matches!(session.stream(text("Hello"), greedy(1)), Err(FfiError::Busy)));
    stream.stop().expect("stops");
    while !wait(stream.next_batch()).expect("no error").is_empty() {}
    assert!(session.transcript().expect("open").is_empty());
    assert!(!session.partial().expect("open").expect("something was written").text.is_empty());
    drop(stream);
    let (_, reply) = answer(&session, text("Hello"), greedy(3)).expect("goes on");
    assert_eq!(reply.map(|reply| (reply.stop, reply.generated_tokens)), Some((StopReason::MaxTokens, 3)));
}

#[test]
fn a_part_of_an_open_file_is_a_model() {
    let path = scenario::model().path();
    let (mut bytes, whole) = (vec![7u8; 4096], std::fs::read(&path).expect("written"));
    bytes.extend(&whole);
    let container = path.with_extension("container");
    std::fs::write(&container, bytes).expect("a temporary file");
    let file = File::open(&container).expect("just written");
    let model = Model::open_descriptor(file.as_raw_fd(), 4096, whole.len() as u64).expect("opens in place");
    drop(file);
    assert_eq!(model.info().expect("open").file_bytes, whole.len() as u64);
    for (descriptor, offset) in [(-1, 0), (9_999, 0)] {
        let result = Model::open_descriptor(descriptor, offset, 10);
        assert!(matches!(result, Err(FfiError::CannotOpen { .. })), "{descriptor}");
    }
}

#[test]
fn each_fault_is_the_error_an_app_can_act_on() {
    let bytes = std::fs::read(scenario::model().path()).expect("written");
    let patched = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = bytes.clone();
        change(&mut bytes);
        let path = scenario::model().path().with_extension(name);
        std::fs::write(&path, bytes).expect("a temporary file");
        Model::open(path.to_string_lossy().into_owned())
    };
    let replace = |bytes: &mut Vec<u8>, from: &[u8], to: &[u8]| {
        let at = bytes.windows(from.len()).position(|window| window == from).expect("is there");
        bytes[at..at + to.len()].copy_from_slice(to);
    };
    assert!(matches!(Model::open("/no/such/model".into()), Err(FfiError::CannotOpen { .. })));
    assert!(matches!(patched("cut", &|bytes| bytes.truncate(bytes.len() / 2)), Err(FfiError::Damaged { .. })));
    let other = patched("other", &|bytes| replace(bytes, b"llama", b"lxama"));
    assert!(matches!(other, Err(FfiError::Unsupported { reason }) if reason.contains("lxama")));
    let bare = patched("bare", &|bytes| replace(bytes, b"chat_template", b"chat_templatX")).expect("opens");
    assert!(matches!(bare.session(SessionOptions::default()), Err(FfiError::Template { .. })));

    let model = model();
    let small = SessionOptions { context_tokens: Some(64), ..Default::default() };
    let session = model.session(small).expect("a session");
    let long = answer(&session, text(&"a".repeat(100)), greedy(1));
    assert!(matches!(long, Err(FfiError::ContextFull { used: 100.., limit: 64, .. })));
    let cold = GenerationOptions { temperature: Some(-1.0), ..Default::default() };
    for result in [answer(&session, text("Hi"), cold), answer(&session, text(""), greedy(1))] {
        assert!(matches!(result, Err(FfiError::InvalidArgument { .. })));
    }
    let tool = Tool { name: "clock".into(), description: "Tells the time.".into(), parameters_json: "{".into() };
    assert!(matches!(session.set_tools(vec![tool]), Err(FfiError::InvalidArgument { .. })));
    model.close().expect("closes");
    assert!(matches!(model.info(), Err(FfiError::Closed)));
    assert!(answer(&session, text("Hi"), greedy(1)).is_ok());
    session.close().expect("closes");
    assert!(matches!(answer(&session, text("Hi"), greedy(1)), Err(FfiError::Closed)));
}
