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
    /// What happens when the conversation no longer fits the context.
    pub when_full: WhenFull,
    /// Where the random numbers of the session begin; none takes a seed from the system. Replies whose options name no
    /// seed of their own go on from there, one after the other.
    pub seed: Option<u64>,
    /// How to compute.
    pub context: ContextOptions,
}

/// What happens when the conversation no longer fits the context.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// The turn fails with [`crate::Error::ContextFull`] and changes nothing.
    #[default]
    Fail,
    /// The model no longer sees the oldest turns: the instructions stay, whole turns are left out until half of the context
    /// is free, and what stays is computed anew, so that the reply has the bits it has in a conversation that never held
    /// them. The transcript keeps everything.
    Slide,
    /// As [`Slide`](Self::Slide), but what stays is not computed anew: its cached keys are turned to their new positions.
    /// Sooner, and approximate: what stays still bears traces of what is left out, so the replies are not those of a
    /// conversation that never held it ([`crate::Reply::approximate`]). Not for models whose layers carry states or
    /// whose positions are learned, nor for a cache of Q4_0, whose steps are too coarse to be rounded twice.
    SlideCached,
}

/// Choices for one reply.
#[derive(Clone, Debug)]
pub struct GenerationOptions {
    /// Most tokens of the reply.
    pub max_tokens: usize,
    /// How tokens are chosen.
    pub sampler: SamplerOptions,
    /// Texts that end the reply; they are not part of it. They are looked for in what the model wrote, byte by byte.
    pub stop: Vec<String>,
    /// Whether a stop keeps what was written so far as the reply, instead of undoing the turn.
    pub keep_partial: bool,
    /// Whether tokens may be guessed from what stands in the context already and checked several at once: the same
    /// reply, sooner where it repeats what was said.
    pub guess: bool,
    /// For tests and measurements: the tokens that are chosen first, whatever the logits say.
    pub forced: Vec<u32>,
}

impl Default for GenerationOptions {
    fn default() -> Self {
        Self {
            max_tokens: 512,
            sampler: SamplerOptions::default(),
            stop: Vec::new(),
            keep_partial: false,
            guess: true,
            forced: Vec::new(),
        }
    }
}
