//! What an app may choose, as records. The defaults stand in the engine alone: an absent value is the engine's own.

use crate::error::FfiError;
use crate::message::Tool;

/// Choices for a whole session.
#[derive(Clone, Debug, Default, uniffi::Record)]
pub struct SessionOptions {
    /// The system message, if any.
    pub instructions: Option<String>,
    /// Tools the model may call.
    pub tools: Vec<Tool>,
    /// Name of a built-in chat template that replaces the file's own.
    pub template: Option<String>,
    /// Whether the model is to think first; none leaves it to the template.
    pub thinking: Option<bool>,
    /// What happens when the conversation no longer fits the context; none for the engine's choice, a failed turn.
    pub when_full: Option<WhenFull>,
    /// Where the session's random numbers begin; none takes a seed from the system.
    pub seed: Option<u64>,
    /// Tokens the session may hold; none for what the model was made for.
    pub context_tokens: Option<u32>,
    /// Worker threads; none for the cores that help.
    pub threads: Option<u32>,
    /// Tokens of one pass, up to 256.
    pub batch: Option<u32>,
    /// How keys and values are stored; none for half precision.
    pub kv_format: Option<KvFormat>,
    /// Name of the instruction set whose kernels compute; none for the best this CPU has.
    pub instruction_set: Option<String>,
}

impl TryFrom<SessionOptions> for sprat::SessionOptions {
    type Error = FfiError;

    fn try_from(options: SessionOptions) -> Result<Self, FfiError> {
        let tools: Result<Vec<_>, FfiError> = options.tools.into_iter().map(TryInto::try_into).collect();
        let context = sprat::ContextOptions {
            max_positions: options.context_tokens.map(|n| n as usize),
            threads: options.threads.map(|n| n as usize),
            batch: options.batch.map(|n| n as usize),
            kv_format: options.kv_format.map(Into::into).unwrap_or_default(),
            instruction_set: options.instruction_set,
        };
        let SessionOptions { instructions, template, thinking, seed, .. } = options;
        let when_full = options.when_full.map(Into::into).unwrap_or_default();
        Ok(Self { instructions, tools: tools?, template, thinking, when_full, seed, context })
    }
}

/// What happens when the conversation no longer fits the context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum WhenFull {
    /// The turn fails and changes nothing.
    Fail,
    /// The model no longer sees the oldest turns; instructions and transcript stay.
    Slide,
    /// The same sooner and only near it: what stays is moved in the cache instead of computed anew.
    SlideCached,
}

impl From<WhenFull> for sprat::WhenFull {
    fn from(when_full: WhenFull) -> Self {
        match when_full {
            WhenFull::Fail => Self::Fail,
            WhenFull::Slide => Self::Slide,
            WhenFull::SlideCached => Self::SlideCached,
        }
    }
}

/// How keys and values are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum KvFormat {
    /// Half precision.
    F16,
    /// 8 bits, in blocks of 32 values: 53 % of the memory.
    Q8_0,
    /// 4 bits, in blocks of 32 values: 28 % of the memory.
    Q4_0,
}

impl From<KvFormat> for sprat::KvFormat {
    fn from(format: KvFormat) -> Self {
        match format {
            KvFormat::F16 => Self::F16,
            KvFormat::Q8_0 => Self::Q8_0,
            KvFormat::Q4_0 => Self::Q4_0,
        }
    }
}

/// Something added to the logit of a token.
#[derive(Clone, Copy, Debug, uniffi::Record)]
pub struct LogitBias {
    /// The token.
    pub token: u32,
    /// What is added; minus infinity forbids it.
    pub bias: f32,
}

/// Choices for one reply.
#[derive(Clone, Debug, Default, uniffi::Record)]
pub struct GenerationOptions {
    /// Most tokens of the reply.
    pub max_tokens: Option<u32>,
    /// What logits are divided by before the draw, 0 to 100; 0 always takes the likeliest token.
    pub temperature: Option<f32>,
    /// Keeps this many of the likeliest tokens; 0 keeps all.
    pub top_k: Option<u32>,
    /// Keeps the likeliest tokens that together reach this probability, 0 to 1.
    pub top_p: Option<f32>,
    /// Keeps tokens at least this fraction as likely as the likeliest, 0 to 1.
    pub min_p: Option<f32>,
    /// Keeps the tokens of typical surprise that together reach this probability, 0 to 1.
    pub typical_p: Option<f32>,
    /// Divides positive logits of tokens in the window, 0.01 to 100.
    pub repetition_penalty: Option<f32>,
    /// Taken from a token's logit for each time it is in the window, -100 to 100.
    pub frequency_penalty: Option<f32>,
    /// Taken from a token's logit if it is in the window, -100 to 100.
    pub presence_penalty: Option<f32>,
    /// How many of the last tokens the penalties look at.
    pub penalty_window: Option<u32>,
    /// Added to the logits of these tokens.
    pub logit_bias: Vec<LogitBias>,
    /// Where the random numbers begin; none takes a seed from the system.
    pub seed: Option<u64>,
    /// Texts that end the reply; they are not part of it.
    pub stop: Vec<String>,
    /// Whether a stop keeps what was written so far as the reply, instead of undoing the turn.
    pub keep_partial: bool,
    /// Whether tokens may be guessed from what was said and checked several at once; none for yes.
    pub guess: Option<bool>,
    /// For tests and measurements: the tokens that are chosen first, whatever the model says.
    pub forced: Vec<u32>,
}

impl From<GenerationOptions> for sprat::GenerationOptions {
    fn from(options: GenerationOptions) -> Self {
        let own = sprat::SamplerOptions::default();
        let sampler = sprat::SamplerOptions {
            temperature: options.temperature.unwrap_or(own.temperature),
            top_k: options.top_k.map_or(own.top_k, |n| n as usize),
            top_p: options.top_p.unwrap_or(own.top_p),
            min_p: options.min_p.unwrap_or(own.min_p),
            typical_p: options.typical_p.unwrap_or(own.typical_p),
            repetition_penalty: options.repetition_penalty.unwrap_or(own.repetition_penalty),
            frequency_penalty: options.frequency_penalty.unwrap_or(own.frequency_penalty),
            presence_penalty: options.presence_penalty.unwrap_or(own.presence_penalty),
            penalty_window: options.penalty_window.map_or(own.penalty_window, |n| n as usize),
            logit_bias: options.logit_bias.iter().map(|bias| (bias.token, bias.bias)).collect(),
            seed: options.seed,
        };
        let own = Self::default();
        let max_tokens = options.max_tokens.map_or(own.max_tokens, |n| n as usize);
        let guess = options.guess.unwrap_or(own.guess);
        let GenerationOptions { stop, keep_partial, forced, .. } = options;
        Self { max_tokens, sampler, stop, keep_partial, guess, forced }
    }
}
