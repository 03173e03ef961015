//! Saved sessions with any head, numbers and length, under checksums that are right: refused, or they go on.

use std::sync::OnceLock;

use sprat::{ContextOptions, Error, GenerationOptions, SamplerOptions, SavedSession, Session, SessionOptions};

use crate::allocations::bounded;
use crate::bytes::Bytes;
use crate::models;

/// Of a saved session: see the layout in core/engine/src/session/saved.rs.
const HEADER_BYTES: usize = 72;
const ALIGN: usize = 16 * 1024;

/// Inputs are a header's changes, then the head.
const CHANGES: usize = 12;

fn options() -> SessionOptions {
    let context = ContextOptions { threads: Some(1), max_positions: Some(128), ..ContextOptions::default() };
    SessionOptions { context, seed: Some(1), ..SessionOptions::default() }
}

fn greedy() -> GenerationOptions {
    GenerationOptions { max_tokens: 2, sampler: SamplerOptions::greedy(), ..GenerationOptions::default() }
}

/// A good file.
fn saved() -> &'static [u8] {
    static SAVED: OnceLock<Vec<u8>> = OnceLock::new();
    SAVED.get_or_init(|| {
        let session = Session::new(&models::model(), options()).expect("good options");
        session.respond("hello", &greedy()).expect("there is room");
        let path = models::scratch("good");
        session.save(&path).expect("room for scratch files");
        std::fs::read(path).expect("just written")
    })
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("inside the header"))
}

fn head() -> &'static [u8] {
    &saved()[HEADER_BYTES..HEADER_BYTES + number(saved(), 24) as usize]
}

pub fn seeds() -> Vec<Vec<u8>> {
    let with = |head: &[u8]| [&[0; CHANGES], head].concat();
    let text = String::from_utf8_lossy(head());
    let other =
        [("\"left_out\":0", "\"left_out\":3"), ("F16", "Q8_0"), ("\"user\"", "\"tool\""), ("[257", "[4294967295,257")];
    let changed = other.map(|(from, to)| with(text.replace(from, to).as_bytes()));
    [with(head())].into_iter().chain(changed).collect()
}

/// The session of a file that is made of an input.
fn restore(data: &[u8]) -> Result<Session, Error> {
    let (changes, head) = data.split_at(data.len().min(CHANGES));
    let mut changes = Bytes(changes);
    let good_start = number(saved(), 32) as usize;
    let start = (HEADER_BYTES + head.len()).next_multiple_of(ALIGN);
    let mut file = vec![0; start];
    file[..HEADER_BYTES].copy_from_slice(&saved()[..HEADER_BYTES]);
    file[HEADER_BYTES..HEADER_BYTES + head.len()].copy_from_slice(head);
    file.extend_from_slice(&saved()[good_start..]);
    let cut = changes.byte();
    if cut > 128 {
        file.truncate(file.len() - usize::from(cut));
    }
    let set = |file: &mut [u8], at: usize, value: u64| file[at..at + 8].copy_from_slice(&value.to_le_bytes());
    let lengths = [(24, head.len() as u64), (32, start as u64), (40, file.len() as u64)];
    lengths.iter().for_each(|&(at, value)| set(&mut file, at, value));
    if changes.byte() % 8 == 7 {
        // One of the numbers lies.
        let at = 16 + 8 * usize::from(changes.byte() % 6);
        let lie = u64::from(changes.number()) << (changes.byte() % 64);
        set(&mut file, at, lie);
    } else {
        let sum = checksum(head);
        set(&mut file, 48, sum);
        let sum = checksum(file.get(start..).unwrap_or_default());
        set(&mut file, 56, sum);
    }
    let sum = checksum(&file[..64]);
    set(&mut file, 64, sum);
    let path = models::scratch("session");
    std::fs::write(&path, &file).expect("room for scratch files");
    let model = models::model();
    bounded(4 * file.len() + (1 << 20), || {
        _ = SavedSession::open(&path).is_ok();
        Session::restore(&model, &path, options())
    })
}

pub fn run(data: &[u8]) {
    let Ok(session) = restore(data) else { return };
    let messages = session.transcript().len();
    match session.respond("go on", &greedy()) {
        Ok(_) => assert_eq!(session.transcript().len(), messages + 2),
        Err(_) => assert_eq!(session.transcript().len(), messages),
    }
    let _either = session.undo().is_ok();
}

/// As core/engine/src/file/checksum.rs says it, in one piece.
fn checksum(bytes: &[u8]) -> u64 {
    let add = |sum: u64, word: u64| (sum ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    let mut lanes = [1, 2, 3, 4];
    let mut padded = bytes.to_vec();
    padded.resize(bytes.len() - bytes.len() % 32 + 32, 0);
    for block in padded.as_chunks::<32>().0 {
        for (lane, word) in lanes.iter_mut().zip(block.as_chunks::<8>().0) {
            *lane = add(*lane, u64::from_le_bytes(*word));
        }
    }
    lanes.into_iter().fold(add(0, bytes.len() as u64), add)
}
