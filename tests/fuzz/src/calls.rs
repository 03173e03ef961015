//! Calls of the library that apps link, in any order, from three threads at once: each returns, well or with its error.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use sprat_ffi::{
    GenerationOptions, Input, LogitBias, Message, Model, OpenOptions, ReplyStream, Role, Session, SessionOptions,
    Source, Tool, ToolResult,
};

use crate::bytes::Bytes;
use crate::models;

/// Threads that call; an input is cut into as many parts.
const THREADS: usize = 3;

/// Calls of one thread.
const MAX_CALLS: usize = 24;

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
    vec![plain.clone(), busy.clone(), [plain, busy].concat()]
}

pub fn run(data: &[u8]) {
    let app = App::default();
    open(&app);
    std::thread::scope(|scope| {
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

fn open(app: &App) {
    let source = Source::Path { path: models::path().to_string_lossy().into_owned() };
    keep(&app.models, Model::open(source, OpenOptions { template: None, max_anonymous_bytes: None }));
}

fn options(bytes: &mut Bytes<'_>) -> GenerationOptions {
    let flags = bytes.byte();
    let mut options = GenerationOptions { max_tokens: Some(u32::from(flags % 16)), ..GenerationOptions::default() };
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
    let which = bytes.byte() % 24;
    if let 0..=5 = which {
        let Some(model) = one(&app.models, bytes) else { return };
        match which {
            0 => open(app),
            1 => drop(model.info()),
            2 => drop(model.close()),
            3 | 4 => keep(&app.sessions, model.session(session_options(bytes))),
            _ => drop(model.count_tokens(bytes.text())),
        }
    } else if let 6..=19 = which {
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
        threads: Some(u32::from(flags >> 4) % 3),
        ..SessionOptions::default()
    }
}

/// Reads a reply to its end; another thread may read it too, and take a wake-up away.
fn read(stream: &ReplyStream) {
    loop {
        let mut next = pin!(stream.next_batch());
        let batch = loop {
            match next.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(batch) => break batch,
                Poll::Pending => std::thread::yield_now(),
            }
        };
        match batch {
            Ok(events) if !events.is_empty() => {}
            _ => return,
        }
    }
}
