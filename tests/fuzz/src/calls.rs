//! Calls of the library that apps link, in any order, from three threads at once: each returns, well or with its error.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use sprat_ffi::{
    GenerationOptions, Input, LogitBias, Message, Model, OpenOptions, ReplyStream, Role, Session, SessionOptions,
    Source, Tool, ToolResult, Trim, probe, saved_transcript,
};

use crate::bytes::Bytes;
use crate::models;

/// Threads that call; an input is cut into as many parts.
const THREADS: usize = 3;

/// Calls of one thread.
const MAX_CALLS: usize = 16;

/// The model that is open when a sequence begins: the one before left it so, unless somebody closed it.
static OPEN: Mutex<Option<Arc<Model>>> = Mutex::new(None);

/// What the threads share, as an app's screens do.
#[derive(Default)]
struct App {
    models: Mutex<Vec<Arc<Model>>>,
    sessions: Mutex<Vec<Arc<Session>>>,
    streams: Mutex<Vec<Arc<ReplyStream>>>,
}

pub fn seeds() -> Vec<Vec<u8>> {
    let part = |calls: &[u8]| calls.repeat(4);
    let plain = part(&[0, 0, 3, 0, 0, 6, 0, 0, 5, b'h', b'e', b'l', b'l', b'o', 0, 8, 0, 8, 0, 12, 0]);
    let busy = part(&[0, 3, 0, 6, 0, 0, 1, b'a', 7, 0, 10, 0, 11, 0, 13, 0, 15, 0, 17, 0]);
    let saving = part(&[3, 0, 0, 6, 0, 0, 2, b'h', b'i', 4, 23, 0, 27, 0, 24, 26, 0, 0, 28, 0, 1, 29, 0, 25]);
    vec![plain.clone(), busy.clone(), saving, [plain, busy].concat()]
}

pub fn run(data: &[u8]) {
    let app = App::default();
    let mut model = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if model.as_ref().is_none_or(|model| model.info().is_err()) {
        *model = Some(open().expect("a good file"));
    }
    keep(&app.models, Ok::<_, ()>(model.clone().expect("just opened")));
    thread::scope(|scope| {
        for part in data.chunks(data.len().div_ceil(THREADS).max(1)) {
            scope.spawn(|| {
                let mut bytes = Bytes(part);
                for _ in 0..MAX_CALLS {
                    if bytes.is_empty() {
                        break;
                    }
                    call(&app, &mut bytes);
                }
            });
        }
    });
}

fn one<T>(list: &Mutex<Vec<Arc<T>>>, bytes: &mut Bytes<'_>) -> Option<Arc<T>> {
    let which = usize::from(bytes.byte());
    let list = list.lock().unwrap_or_else(PoisonError::into_inner);
    (!list.is_empty()).then(|| list[which % list.len()].clone())
}

fn keep<T, E>(list: &Mutex<Vec<Arc<T>>>, made: Result<Arc<T>, E>) {
    let mut list = list.lock().unwrap_or_else(PoisonError::into_inner);
    if let Ok(made) = made
        && list.len() < 8
    {
        list.push(made);
    }
}

fn source() -> Source {
    Source::Path { path: models::path().to_string_lossy().into_owned() }
}

fn open() -> Result<Arc<Model>, impl std::error::Error> {
    Model::open(source(), OpenOptions { template: None, max_anonymous_bytes: None })
}

/// Where sessions are saved, one over the other.
fn saved() -> String {
    models::scratch("calls").to_string_lossy().into_owned()
}

fn options(bytes: &mut Bytes<'_>) -> GenerationOptions {
    let flags = bytes.byte();
    let mut options = GenerationOptions { max_tokens: Some(u32::from(flags % 6)), ..GenerationOptions::default() };
    if flags & 16 != 0 {
        options.temperature = Some(bytes.float());
        options.logit_bias = vec![LogitBias { token: bytes.number() % 512, bias: bytes.float() }];
    }
    if flags & 32 != 0 {
        options.stop = vec![bytes.text()];
    }
    options.keep_partial = flags & 64 != 0;
    options
}

fn input(bytes: &mut Bytes<'_>) -> Input {
    match bytes.byte() % 5 {
        0 | 1 => Input::Text { text: bytes.text() },
        2 => Input::ToolResults {
            results: vec![ToolResult { name: bytes.text(), call_id: None, content: bytes.text() }],
        },
        3 => Input::Regenerate,
        _ => Input::Edit { index: u32::from(bytes.byte()), text: bytes.text() },
    }
}

fn tool(bytes: &mut Bytes<'_>) -> Tool {
    let parameters_json = if bytes.byte().is_multiple_of(2) { "{}".into() } else { bytes.text() };
    Tool { name: "clock".into(), description: "tells".into(), parameters_json }
}

fn message(bytes: &mut Bytes<'_>) -> Message {
    let role = [Role::System, Role::User, Role::Assistant, Role::Tool][usize::from(bytes.byte() % 4)];
    let content = bytes.text();
    Message { role, content, thinking: None, tool_calls: Vec::new(), name: None, tool_call_id: None }
}

/// Whatever a call returns is right; what counts is that it does.
fn call(app: &App, bytes: &mut Bytes<'_>) {
    let which = bytes.byte() % 30;
    if let 24 | 25 = which {
        // These need no object.
        if which == 24 { drop(saved_transcript(saved())) } else { drop(probe(source())) }
    } else if let 0..=5 | 26 = which {
        let Some(model) = one(&app.models, bytes) else { return };
        match which {
            0 => keep(&app.models, open()),
            1 => drop(model.info()),
            2 => drop(model.close()),
            3 | 4 => keep(&app.sessions, model.session(session_options(bytes))),
            26 => keep(&app.sessions, model.restore(saved(), session_options(bytes))),
            _ => drop(model.count_tokens(bytes.text())),
        }
    } else if let 6..=19 | 27.. = which {
        let Some(session) = one(&app.sessions, bytes) else { return };
        match which {
            6 | 7 => {
                let input = input(bytes);
                keep(&app.streams, session.stream(input, options(bytes)));
            }
            8 => drop(session.stop()),
            9 => drop(session.is_responding()),
            10 => drop(session.partial()),
            11 => drop(session.transcript()),
            12 => drop(session.set_transcript(vec![message(bytes), message(bytes)])),
            13 => drop(session.set_instructions(Some(bytes.text()))),
            14 => drop(session.set_tools(vec![tool(bytes)])),
            15 => drop(session.undo()),
            16 => keep(&app.sessions, session.fork()),
            17 => drop(session.count_tokens(input(bytes))),
            18 => drop((session.memory(), session.tokens_used(), session.context_limit())),
            27 => drop(session.save(saved())),
            28 => drop(session.trim([Trim::Buffers, Trim::Cache, Trim::Pages][usize::from(bytes.byte() % 3)])),
            29 => drop(session.prewarm()),
            _ => drop(session.close()),
        }
    } else {
        let Some(stream) = one(&app.streams, bytes) else { return };
        match which {
            20 => drop(stream.stop()),
            // Looked at and left, as by a call that is cancelled.
            21 => drop(pin!(stream.next_batch()).poll(&mut Context::from_waker(Waker::noop()))),
            22 => {
                let mut lost = app.streams.lock().unwrap_or_else(PoisonError::into_inner);
                lost.pop();
            }
            _ => read(&stream),
        }
    }
}

fn session_options(bytes: &mut Bytes<'_>) -> SessionOptions {
    let flags = bytes.byte();
    SessionOptions {
        instructions: (flags & 1 != 0).then(|| bytes.text()),
        tools: if flags & 2 != 0 { vec![tool(bytes)] } else { Vec::new() },
        template: (flags & 4 != 0).then(|| ["chatml", "qwen", "nosuch"][usize::from(flags >> 6) % 3].into()),
        context_tokens: Some(if flags & 8 != 0 { u32::from(bytes.byte()) } else { 128 }),
        // Seldom two: where they must wait for a core, a pass takes a hundred times as long.
        threads: Some(if flags >> 4 == 15 { 2 } else { 1 }),
        ..SessionOptions::default()
    }
}

/// Wakes the thread that waits for a batch.
struct Waiting(Thread);

impl Wake for Waiting {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Reads a reply to its end.
fn read(stream: &ReplyStream) {
    let waker = Waker::from(Arc::new(Waiting(thread::current())));
    loop {
        let mut next = pin!(stream.next_batch());
        let batch = loop {
            match next.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(batch) => break batch,
                // Another thread that reads it too may have taken the wake-up away.
                Poll::Pending => thread::park_timeout(Duration::from_millis(1)),
            }
        };
        match batch {
            Ok(events) if !events.is_empty() => {}
            _ => return,
        }
    }
}
