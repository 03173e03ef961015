//! Any options of a reply, and any bytes as its tokens: an error, or a reply that keeps to them.

use std::sync::OnceLock;

use sprat::text::TextStream;
use sprat::{ContextOptions, GenerationOptions, SamplerOptions, Session, SessionOptions};

use crate::bytes::Bytes;
use crate::models;

pub fn seeds() -> Vec<Vec<u8>> {
    let float = |value: f32| value.to_le_bytes();
    let mut usual = vec![3];
    [0.8, 0.95, 0.05, 1.0, 1.1, 0.0, 0.0].map(float).iter().for_each(|bytes| usual.extend(bytes));
    usual.extend([40, 0, 0, 0, 64, 0, 0, 0, 1, 5, 0, 0, 0]);
    usual.extend(float(-1.0));
    usual.extend([1, 2, b't', b'h', 0]);
    usual.extend("th\u{e9} the end".bytes());
    vec![Vec::new(), vec![255; 80], usual]
}

/// A conversation that is never committed to.
fn session() -> &'static Session {
    static SESSION: OnceLock<Session> = OnceLock::new();
    SESSION.get_or_init(|| {
        let context = ContextOptions { threads: Some(1), max_positions: Some(64), ..ContextOptions::default() };
        Session::new(&models::model(), SessionOptions { context, ..SessionOptions::default() }).expect("good options")
    })
}

pub fn run(data: &[u8]) {
    let mut bytes = Bytes(data);
    let max_tokens = usize::from(bytes.byte() % 8);
    let mut sampler = SamplerOptions {
        temperature: bytes.float(),
        top_p: bytes.float(),
        min_p: bytes.float(),
        typical_p: bytes.float(),
        repetition_penalty: bytes.float(),
        frequency_penalty: bytes.float(),
        presence_penalty: bytes.float(),
        top_k: bytes.number() as usize,
        penalty_window: bytes.number() as usize,
        seed: Some(1),
        ..SamplerOptions::default()
    };
    for _ in 0..bytes.byte() % 8 {
        let bias = (bytes.number(), bytes.float());
        sampler.logit_bias.push(bias);
    }
    let stop: Vec<String> = (0..bytes.byte() % 8).map(|_| bytes.text()).collect();
    text_stream(&stop, bytes.0);
    let options = GenerationOptions { max_tokens, sampler, stop, ..GenerationOptions::default() };
    let session = session();
    if let Ok(reply) = session.respond("a", &options) {
        assert!(reply.generated_tokens <= max_tokens);
        // The text has U+FFFD for bytes that are no text, and such bytes are no stop string.
        let mut stops = options.stop.iter().filter(|stop| !stop.contains('\u{fffd}'));
        assert!(stops.all(|stop| !reply.text.contains(stop)));
        session.undo().expect("idle");
    }
    assert!(session.transcript().is_empty());
}

/// What comes out in pieces is what the whole says, up to the first stop string to be complete.
fn text_stream(stops: &[String], bytes: &[u8]) {
    let Ok(mut stream) = TextStream::new(stops) else { return };
    let ends = |end: usize| stops.iter().filter(move |stop| bytes[..end].ends_with(stop.as_bytes()));
    // Of several that are complete at the same byte, the longest began first.
    let first = (1..=bytes.len()).find_map(|end| ends(end).map(|stop| end - stop.len()).min());
    let mut text = String::new();
    for piece in bytes.chunks(3) {
        text += stream.push(piece);
    }
    text += stream.finish();
    assert_eq!(text, String::from_utf8_lossy(&bytes[..first.unwrap_or(bytes.len())]));
}
