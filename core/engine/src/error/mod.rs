//! Every error of the engine, one variant per fault.

mod chat;
mod options;
mod tokenizer;

pub use chat::ChatError;
pub use options::OptionsError;
pub use tokenizer::TokenizerError;
