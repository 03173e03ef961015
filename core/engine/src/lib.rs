//! Sprat: small language models on the device.

pub mod error;

pub mod tokenizer;

pub mod chat;
pub mod sampler;
pub mod text;
