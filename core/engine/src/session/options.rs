//! What an app may choose for a session and for a reply.

use crate::chat::Tool;
use crate::model::ContextOptions;
use crate::sampler::SamplerOptions;

/// Choices for a whole session.
#[derive(Clone, Debug, Default)]
pub struct SessionOptions {
    /// The system message, if any.
    pub instructions: Option<String>,
    /// Tools the model may call.
    pub tools: Vec<Tool>,
    /// Name of a built-in chat template that replaces the file's own.
    pub template: Option<String>,
    /// Whether the model is to think first; none leaves it to the template.
    pub thinking: Option<bool>,
    /// How to compute.
    pub context: ContextOptions,
}

/// Choices for one reply.
#[derive(Clone, Debug)]
pub struct GenerationOptions {
    /// Most tokens of the reply.
    pub max_tokens: usize,
    /// How tokens are chosen.
    pub sampler: SamplerOptions,
    /// Texts that end the reply; they are not part of it.
    pub stop: Vec<String>,
    /// Whether a stop keeps what was written so far as the reply, instead of undoing the turn.
    pub keep_partial: bool,
}

impl Default for GenerationOptions {
    fn default() -> Self {
        Self { max_tokens: 512, sampler: SamplerOptions::default(), stop: Vec::new(), keep_partial: false }
    }
}
