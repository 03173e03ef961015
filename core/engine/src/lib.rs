//! Sprat: small language models on the device.
//!
//! [`Model::open`] maps a GGUF file; a [`Session`] holds a conversation with it; [`Context`] is the layer below, tokens
//! in and logits out. Weights stay in the mapped file, and every fault is a typed [`Error`].

mod backend;
mod config;
mod file;
mod governor;
mod model;
mod session;
mod threads;
mod weights;

pub mod chat;
pub mod error;
pub mod sampler;
pub mod text;
pub mod tokenizer;

pub use backend::Backend;
pub use backend::cpu::default_workers;
pub use config::Config;
pub use error::Error;
pub use file::{MappedFile, Source, guard_mapped_files, process_anonymous_bytes};
pub use governor::{Conditions, Governor, MemoryPressure, Pace, Restraint, Thermal, governor};
pub use model::{Computed, Context, ContextOptions, Info, Model, OpenOptions, Probe, TemplateChoice};
pub use sampler::SamplerOptions;
pub use session::{
    Event, GenerationOptions, Input, Memory, Partial, Reply, ReplyStream, SavedSession, Session, SessionOptions,
    StopReason, ToolResult, Trim, WhenFull,
};
pub use sprat_gguf::Contents;
pub use sprat_kernels::KvFormat;
pub use tokenizer::{SpecialTokens, Tokenizer};

/// Names of the block formats that there are kernels for, as in GGUF.
pub fn formats() -> impl Iterator<Item = String> {
    sprat_kernels::Format::ALL.into_iter().map(|format| format!("{format:?}"))
}

/// Names of the instruction sets that this CPU can run kernels of, slowest first; the last is what it uses.
pub fn instruction_sets() -> impl Iterator<Item = &'static str> {
    sprat_kernels::Isa::available().iter().map(|isa| isa.name())
}
