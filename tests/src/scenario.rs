//! One conversation that Rust, Kotlin and Swift hold with one model, and what the engine answers in it.

use std::path::Path;
use std::sync::Arc;

use sprat::{Error, GenerationOptions, Model, SamplerOptions, Session, SessionOptions};
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
    let model = Arc::new(Model::open(model)?);
    let options = SessionOptions { instructions: Some(INSTRUCTIONS.into()), ..Default::default() };
    let session = Session::new(&model, options)?;
    let options = GenerationOptions { max_tokens: MAX_TOKENS, sampler: SamplerOptions::greedy(), ..Default::default() };
    PROMPTS.into_iter().map(|prompt| session.respond(prompt, &options).map(|reply| reply.text)).collect()
}
