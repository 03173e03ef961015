//! What a turn hands to the app: events as they come, and the reply that ends them.

use std::fmt;

use crate::chat::{CallFault, Message, Role, ToolCall};
use crate::governor::Restraint;
use crate::model::Computed;

/// Why a reply ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// A finished reply.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The answer, without thoughts and calls.
    pub text: String,
    /// The model's thoughts before the answer, if it thinks.
    pub thinking: String,
    /// The tools it wants called, in order; answer them with [`super::Input::ToolResults`].
    pub tool_calls: Vec<ToolCall>,
    /// Why it ended.
    pub stop: StopReason,
    /// Tokens of the prompt, the conversation so far included.
    pub prompt_tokens: usize,
    /// How many of them were in the cache already.
    pub cached_tokens: usize,
    /// Tokens of the reply.
    pub generated_tokens: usize,
    /// How many of them were guessed right and checked together with others.
    pub guessed_tokens: usize,
    /// Messages of the transcript, from the first after the instructions on, that the model sees no more.
    pub messages_left_out: usize,
    /// Whether it rests on a cache that is not what computing the conversation gives: one that
    /// [`super::WhenFull::SlideCached`] moved, or a file of [`super::Session::save_as`] that lost something.
    pub approximate: bool,
    /// From the beginning of the turn to the first token, in milliseconds.
    pub first_token_ms: f64,
    /// Tokens per second after the first.
    pub tokens_per_s: f64,
    /// What computed the turn. Its tokens are the same wherever the two likeliest were not nearly alike.
    pub computed: Computed,
    /// How far heat, battery, background or memory held the turn back.
    pub restraint: Restraint,
    /// Memory at the end of the turn.
    pub memory: Memory,
}

impl Reply {
    /// The reply as a message of the transcript.
    pub(super) fn message(&self) -> Message {
        Message {
            reasoning: (!self.thinking.is_empty()).then(|| self.thinking.clone()),
            tool_calls: self.tool_calls.clone(),
            ..Message::new(Role::Assistant, self.text.clone())
        }
    }
}

/// Something that happens while a reply is made.
#[derive(Clone, Debug)]
pub enum Event {
    /// A piece of the answer: whole characters, nothing of a stop string.
    Text(String),
    /// A piece of the model's thoughts.
    Thinking(String),
    /// The model wants a tool called. Its arguments are a JSON object, not yet compared with the tool's schema.
    ToolCall(ToolCall),
    /// What began like a call but is none; its text stays part of the answer in the transcript.
    ToolCallFailed {
        /// What the model wrote.
        text: String,
        /// What is wrong with it.
        fault: CallFault,
    },
    /// The last event: the turn is part of the conversation now.
    Done(Box<Reply>),
}

/// What a turn that did not come to its end had written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Partial {
    /// The answer so far.
    pub text: String,
    /// The thoughts so far.
    pub thinking: String,
}

/// Memory of a session and its model, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// Size of the mapped model file.
    pub mapped: usize,
    /// How much of it is in memory, at most: the mapped files of the whole process are counted, so other models' too.
    pub resident: usize,
    /// The session's KV cache; forks count in full what they share.
    pub kv: usize,
    /// The session's buffers for computing.
    pub scratch: usize,
    /// What all sessions of the model have allocated together, as counted: caches and buffers, nothing of it twice.
    pub allocated: usize,
    /// Anonymous bytes of the whole process, by the system's own word; 0 where it does not tell. On Apple's systems its
    /// footprint, by which apps are ended.
    pub anonymous: usize,
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mb = |bytes: usize| bytes as f64 / 1e6;
        write!(
            f,
            "{:.1} MB of the file's {:.1} MB in memory, {:.1} MB KV cache, {:.1} MB buffers; {:.1} MB anonymous in all",
            mb(self.resident),
            mb(self.mapped),
            mb(self.kv),
            mb(self.scratch),
            mb(self.anonymous)
        )
    }
}

/// How much a session gives back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trim {
    /// The buffers for computing; the next turn takes them anew.
    Buffers,
    /// And the KV cache; the next turn reads the conversation anew.
    Cache,
    /// And the pages of the model's file that are in memory; they are read anew as they are needed.
    Pages,
}
