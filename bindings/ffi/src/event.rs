//! What comes out of a session, as records.

use crate::governor::Restraint;
use crate::memory::Memory;
use crate::message::ToolCall;

/// Why a reply ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum StopReason {
    /// The model ended its turn.
    EndOfTurn,
    /// A stop string appeared; it is not part of the reply.
    StopString,
    /// The reply has as many tokens as were allowed.
    MaxTokens,
    /// It was stopped, and the options say to keep what there was.
    Stopped,
}

impl From<sprat::StopReason> for StopReason {
    fn from(stop: sprat::StopReason) -> Self {
        match stop {
            sprat::StopReason::EndOfTurn => Self::EndOfTurn,
            sprat::StopReason::StopString => Self::StopString,
            sprat::StopReason::MaxTokens => Self::MaxTokens,
            sprat::StopReason::Stopped => Self::Stopped,
        }
    }
}

/// A finished reply.
#[derive(Clone, Debug, PartialEq, uniffi::Record)]
pub struct Reply {
    /// The answer, without thoughts and calls.
    pub text: String,
    /// The model's thoughts before the answer, if it thinks.
    pub thinking: String,
    /// The tools it wants called, in order.
    pub tool_calls: Vec<ToolCall>,
    /// Why it ended.
    pub stop: StopReason,
    /// Tokens of the prompt, the conversation so far included.
    pub prompt_tokens: u64,
    /// How many of them were in the cache already.
    pub cached_tokens: u64,
    /// Tokens of the reply.
    pub generated_tokens: u64,
    /// How many of them were guessed right and checked together with others.
    pub guessed_tokens: u64,
    /// Messages of the transcript, from the first after the instructions on, that the model sees no more.
    pub messages_left_out: u64,
    /// Whether it rests on a cache that is only near what computing the conversation gives.
    pub approximate: bool,
    /// From the beginning of the turn to the first token, in milliseconds.
    pub first_token_ms: f64,
    /// Tokens per second after the first.
    pub tokens_per_s: f64,
    /// Tokens of the turn that the CPU computed, prompt and reply.
    pub cpu_tokens: u64,
    /// Tokens of the turn that the GPU computed.
    pub gpu_tokens: u64,
    /// How far heat, battery, background or memory held the turn back.
    pub restraint: Restraint,
    /// Memory at the end of the turn.
    pub memory: Memory,
}

impl From<sprat::Reply> for Reply {
    fn from(reply: sprat::Reply) -> Self {
        Self {
            text: reply.text,
            thinking: reply.thinking,
            tool_calls: reply.tool_calls.into_iter().map(ToolCall::from).collect(),
            stop: reply.stop.into(),
            prompt_tokens: reply.prompt_tokens as u64,
            cached_tokens: reply.cached_tokens as u64,
            generated_tokens: reply.generated_tokens as u64,
            guessed_tokens: reply.guessed_tokens as u64,
            messages_left_out: reply.messages_left_out as u64,
            approximate: reply.approximate,
            first_token_ms: reply.first_token_ms,
            tokens_per_s: reply.tokens_per_s,
            cpu_tokens: reply.computed.cpu_tokens as u64,
            gpu_tokens: reply.computed.gpu_tokens as u64,
            restraint: reply.restraint.into(),
            memory: reply.memory.into(),
        }
    }
}

/// Something that happens while a reply is made.
#[derive(Clone, Debug, PartialEq, uniffi::Enum)]
pub enum Event {
    /// A piece of the answer: whole characters.
    Text {
        /// The piece.
        text: String,
    },
    /// A piece of the model's thoughts.
    Thinking {
        /// The piece.
        text: String,
    },
    /// The model wants a tool called.
    ToolCall {
        /// Which, and with what.
        call: ToolCall,
    },
    /// What began like a call but is none.
    ToolCallFailed {
        /// What the model wrote.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The last event: the turn is part of the conversation now.
    Done {
        /// All of it.
        reply: Reply,
    },
}

impl From<sprat::Event> for Event {
    fn from(event: sprat::Event) -> Self {
        match event {
            sprat::Event::Text(text) => Self::Text { text },
            sprat::Event::Thinking(text) => Self::Thinking { text },
            sprat::Event::ToolCall(call) => Self::ToolCall { call: call.into() },
            sprat::Event::ToolCallFailed { text, fault } => Self::ToolCallFailed { text, reason: fault.to_string() },
            sprat::Event::Done(reply) => Self::Done { reply: (*reply).into() },
        }
    }
}

/// What a turn that did not come to its end had written.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Partial {
    /// The answer so far.
    pub text: String,
    /// The thoughts so far.
    pub thinking: String,
}

impl From<sprat::Partial> for Partial {
    fn from(partial: sprat::Partial) -> Self {
        Self { text: partial.text, thinking: partial.thinking }
    }
}
