//! The engine as Kotlin and Swift see it: objects, records, enums and one error, exported through uniffi.
//!
//! Nothing is decided here. A function hands its arguments to the engine and translates what comes back; whatever an app
//! is meant to touch is the hand-written Kotlin in `android/` and Swift in `ios/`.

mod error;
mod event;
mod logging;
mod message;
mod model;
mod options;
mod session;
mod stream;

pub use error::FfiError;
pub use event::{Event, Memory, Partial, Reply, StopReason};
pub use logging::{LogLevel, LogSink, set_log_level, set_log_sink};
pub use message::{Input, Message, Role, Tool, ToolCall, ToolResult};
pub use model::{Model, ModelInfo};
pub use options::{GenerationOptions, LogitBias, SessionOptions};
pub use session::Session;
pub use stream::ReplyStream;

uniffi::setup_scaffolding!("sprat");

/// The version of the library.
#[uniffi::export]
pub fn version() -> Result<String, FfiError> {
    Ok(env!("CARGO_PKG_VERSION").into())
}
