//! The exported objects, called from Rust as Kotlin and Swift call them.

use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use sprat_ffi::{Event, FfiError, GenerationOptions, Input, Model, OpenOptions, Reply, Session, Source};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future, as the foreign side does.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

/// A path as text.
pub fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// The file at a path.
pub fn source(file: &Path) -> Source {
    Source::Path { path: path(file) }
}

/// Opens a model with no option set.
pub fn open(source: Source) -> Result<Arc<Model>, FfiError> {
    Model::open(source, OpenOptions::default())
}

/// What a user says.
pub fn text(text: &str) -> Input {
    Input::Text { text: text.into() }
}

/// Always the likeliest token.
pub fn greedy(max_tokens: u32) -> GenerationOptions {
    GenerationOptions { max_tokens: Some(max_tokens), temperature: Some(0.0), ..Default::default() }
}

/// The pieces of a reply, and the reply; none if it was stopped.
pub fn answer(
    session: &Session,
    input: Input,
    options: GenerationOptions,
) -> Result<(String, Option<Reply>), FfiError> {
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
