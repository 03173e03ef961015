//! Calls of the library that apps link, in any order, from three threads at once: each returns, well or with its error.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use sprat_ffi::{
    LogLevel, LogSink, Model, ReplyStream, Session, device, guard_mapped_files, pace, probe, probe_header,
    saved_transcript, set_conditions, set_log_level, set_log_sink, version,
};

use crate::bytes::Bytes;
use crate::models;
use crate::records;

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
    let [of_all, of_model, of_session, of_stream] = [0, 1, 6, 16];
    let begin = [of_model, 3, 0, 0, 0];
    let say = [of_session, 0, 0, 0, 5, b'h', b'e', b'l', b'l', b'o', 3];
    let read = [of_stream, 5, 0];
    let part = |calls: &[&[u8]]| calls.concat().repeat(3);
    let plain = part(&[&begin, &say, &read, &[of_session, 9, 0], &say, &read, &[of_session, 13, 0]]);
    let busy = part(&[&begin, &say, &[of_session, 12, 0, 0, of_session, 5, 0], &say, &[of_stream, 0, 0]]);
    let saving = part(&[
        &begin,
        &say,
        &read,
        &[of_session, 15, 0, of_session, 16, 0, 1, of_all, 0, of_model, 7, 0, of_model, 6, 0, 0, 0],
        &[of_session, 21, 0, 1, of_session, 4, 0],
    ]);
    // Slides, guesses, and is told that the device is hot.
    let full = part(&[
        &[of_model, 3, 0, 0, 3],
        &[of_session, 0, 0, 0, 40],
        &[b'a'; 40],
        &[128, 1, 9, 1, 1, 1, 1, 1, 1, 1, 1, 1, of_stream, 5, 0, of_all, 3, 2, 1, 0, 0],
        &[of_session, 14, 0, of_session, 17, 1, of_session, 18, 1],
    ]);
    vec![plain.clone(), busy.clone(), saving, full, [plain, busy].concat()]
}

pub fn run(data: &[u8]) {
    let app = App::default();
    let mut model = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if model.as_ref().is_none_or(|model| model.info().is_err()) {
        *model = Some(Model::open(records::good_source(), Default::default()).expect("a good file"));
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

/// Where sessions are saved, one over the other.
fn saved() -> String {
    models::scratch("calls").to_string_lossy().into_owned()
}

/// Whatever a call returns is right; what counts is that it does.
fn call(app: &App, bytes: &mut Bytes<'_>) {
    match bytes.byte() % 20 {
        0 => call_alone(bytes),
        1..=5 => call_model(app, bytes),
        6..=15 => call_session(app, bytes),
        _ => call_stream(app, bytes),
    }
}

/// These need no object.
fn call_alone(bytes: &mut Bytes<'_>) {
    match bytes.byte() % 10 {
        0 => drop(saved_transcript(saved())),
        1 => drop(probe(records::source(bytes))),
        2 => drop(probe_header(bytes.part().to_vec(), bytes.number().into())),
        3 => drop(set_conditions(records::conditions(bytes))),
        4 => drop(pace()),
        5 => drop(device()),
        6 => drop(guard_mapped_files()),
        7 => drop(set_log_level(bytes.pick(&[LogLevel::Off, LogLevel::Error, LogLevel::Debug]))),
        8 => drop(set_log_sink(bytes.byte().is_multiple_of(2).then(|| Arc::new(Sink) as _))),
        _ => drop(version()),
    }
}

fn call_model(app: &App, bytes: &mut Bytes<'_>) {
    let which = bytes.byte() % 16;
    let Some(model) = one(&app.models, bytes) else { return };
    match which {
        0 if bytes.byte().is_multiple_of(4) => {
            keep(&app.models, Model::open(records::source(bytes), records::open_options(bytes)));
        }
        0 | 1 => drop(model.info()),
        // Seldom: to open a file again costs as much as many other calls, and of what is closed there is little to see.
        2 | 13 if !bytes.byte().is_multiple_of(8) => drop(model.info()),
        2 => drop(model.close()),
        6 => keep(&app.sessions, model.restore(saved(), records::session_options(bytes))),
        7 => drop(model.can_restore(saved())),
        8 => drop(model.kv_bytes_per_token(records::kv_format(bytes))),
        9 => drop(model.count_tokens(bytes.text())),
        10 => drop(model.resident_bytes()),
        11 => drop(model.allocated_bytes()),
        12 => drop(model.release_pages()),
        13 => drop(model.unload()),
        _ => keep(&app.sessions, model.session(records::session_options(bytes))),
    }
}

fn call_session(app: &App, bytes: &mut Bytes<'_>) {
    let which = bytes.byte() % 24;
    let Some(session) = one(&app.sessions, bytes) else { return };
    match which {
        4 => drop(session.prewarm()),
        5 => drop(session.stop()),
        6 => drop(session.is_responding()),
        7 => drop(session.is_stopping()),
        8 => drop(session.partial()),
        9 => drop(session.transcript()),
        10 => drop(session.set_transcript(vec![records::message(bytes), records::message(bytes)])),
        11 => drop(session.set_instructions(Some(bytes.text()))),
        12 => drop(session.set_tools(vec![records::tool(bytes)])),
        13 => drop(session.undo()),
        14 => keep(&app.sessions, session.fork()),
        15 => drop(session.save(saved())),
        16 => drop(session.save_as(saved(), records::kv_format(bytes))),
        17 => drop(session.is_approximate()),
        18 => drop(session.messages_left_out()),
        19 => drop((session.tokens_used(), session.context_limit())),
        20 => drop(session.count_tokens(records::input(bytes))),
        21 => drop(session.trim(records::trim(bytes))),
        22 => drop(session.memory()),
        23 => drop(session.close()),
        _ => {
            let input = records::input(bytes);
            keep(&app.streams, session.stream(input, records::generation_options(bytes)));
        }
    }
}

fn call_stream(app: &App, bytes: &mut Bytes<'_>) {
    let which = bytes.byte() % 6;
    let Some(stream) = one(&app.streams, bytes) else { return };
    match which {
        0 => drop(stream.stop()),
        // Looked at and left, as by a call that is cancelled.
        1 => drop(pin!(stream.next_batch()).poll(&mut Context::from_waker(Waker::noop()))),
        2 => {
            let mut lost = app.streams.lock().unwrap_or_else(PoisonError::into_inner);
            lost.pop();
        }
        _ => read(&stream),
    }
}

/// An app's own log.
struct Sink;

impl LogSink for Sink {
    fn line(&self, _level: LogLevel, text: String) {
        assert!(!text.is_empty());
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

#[cfg(test)]
mod tests {
    use std::fs;

    /// Names of what is exported: functions behind the attribute, or inside a block behind it.
    fn exported() -> Vec<String> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../bindings/ffi/src");
        let mut names = Vec::new();
        for entry in fs::read_dir(folder).expect("in the repository").flatten() {
            let text = fs::read_to_string(entry.path()).expect("a source");
            for behind in text.split("#[uniffi::export").skip(1) {
                let item = behind.split("\n}\n").next().unwrap_or_default();
                let functions = item.lines().filter_map(|line| {
                    let line = line.trim_start().strip_prefix("pub ")?;
                    line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ")?.split('(').next()
                });
                names.extend(functions.map(str::to_owned));
            }
        }
        names
    }

    #[test]
    fn every_exported_function_is_among_the_calls() {
        let (calls, names) = (include_str!("calls.rs"), exported());
        assert!(names.len() > 40, "{names:?}");
        let missing: Vec<_> = names.iter().filter(|name| !calls.contains(&format!("{name}("))).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
