//! One conversation that Rust, Kotlin and Swift hold with one model, and what the engine answers in it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sprat::{ContextOptions, Error, GenerationOptions, Model, SamplerOptions, Session, SessionOptions, WhenFull};
use sprat_gguf::TensorKind;

use crate::small::Small;

/// The model.
pub fn model() -> Small {
    Small::new("llama", TensorKind::Q8_0)
}

/// One that takes a millisecond or more for a token, so that whoever reads its reply waits for each.
pub fn slow_model() -> Small {
    Small { layers: 24, ..model() }
}

/// The system message.
pub const INSTRUCTIONS: &str = "Be brief.";
/// The turns.
pub const PROMPTS: [&str; 3] = ["Hello", "Grüße, 你好 🐟", "Thank you"];
/// Most tokens of each reply.
pub const MAX_TOKENS: usize = 24;

/// What the engine replies to [`PROMPTS`], always taking the likeliest token.
pub fn replies(model: &Path) -> Result<Vec<String>, Error> {
    let session = session(model)?;
    PROMPTS.into_iter().map(|prompt| session.respond(prompt, &greedy(MAX_TOKENS)).map(|reply| reply.text)).collect()
}

/// Saves the conversation to `file` when two of the three turns are over.
pub fn save(model: &Path, file: &Path) -> Result<(), Error> {
    let session = session(model)?;
    for prompt in &PROMPTS[..2] {
        session.respond(*prompt, &greedy(MAX_TOKENS))?;
    }
    session.save(file)
}

/// What the engine reads from the model's header, in one line.
pub fn probe(model: &Path) -> Result<String, Error> {
    let probe = Model::probe(model)?;
    let numbers = [
        probe.file_bytes,
        probe.header_bytes,
        probe.context_length as u64,
        probe.kv_bytes_per_position as u64,
        probe.bytes_per_token as u64,
    ];
    Ok(numbers.iter().fold(probe.family, |line, number| format!("{line}\t{number}")))
}

fn session(model: &Path) -> Result<Session, Error> {
    let options = SessionOptions { instructions: Some(INSTRUCTIONS.into()), ..Default::default() };
    Session::new(&Arc::new(Model::open(model)?), options)
}

fn greedy(max_tokens: usize) -> GenerationOptions {
    GenerationOptions { max_tokens, sampler: SamplerOptions::greedy(), ..Default::default() }
}

/// The model in the repository, which was really trained.
pub fn bundled() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/models/sprat-tiny-q8_0.gguf")
}

/// Its system message.
pub const BUNDLED_INSTRUCTIONS: &str = "Tools: set_alarm, set_timer, weather";
/// A context that its turns overflow.
pub const BUNDLED_CONTEXT: usize = 160;
/// The turns.
pub const BUNDLED_PROMPTS: [&str; 6] = [
    "wake me up at quarter to seven tomorrow",
    "actually make it 7:15",
    "Set a timer for five minutes",
    "will it rain in Lisbon on friday?",
    "set a timer for ten minutes",
    "thank you",
];

/// What the bundled model replies to [`BUNDLED_PROMPTS`] in a context that old turns slide out of, and how many messages it
/// no longer sees then.
pub fn bundled_replies() -> Result<Vec<(String, usize)>, Error> {
    let context = ContextOptions { max_positions: Some(BUNDLED_CONTEXT), ..Default::default() };
    let (instructions, when_full) = (Some(BUNDLED_INSTRUCTIONS.into()), WhenFull::Slide);
    let options = SessionOptions { instructions, when_full, context, ..Default::default() };
    let session = Session::new(&Arc::new(Model::open(bundled())?), options)?;
    let reply = |prompt: &str| session.respond(prompt, &greedy(64)).map(|reply| (reply.text, reply.messages_left_out));
    BUNDLED_PROMPTS.into_iter().map(reply).collect()
}
