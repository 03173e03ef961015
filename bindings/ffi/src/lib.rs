//! The engine as Kotlin and Swift see it: objects, records, enums and one error, exported through uniffi.
//!
//! Nothing is decided here. A function hands its arguments to the engine and translates what comes back; whatever an app
//! is meant to touch is the hand-written Kotlin in `android/` and Swift in `ios/`.

mod device;
mod error;
mod event;
mod governor;
mod logging;
mod memory;
mod message;
mod model;
mod options;
mod probe;
mod session;
mod source;
mod stream;

pub use device::{Device, device, guard_mapped_files};
pub use error::FfiError;
pub use event::{Event, Partial, Reply, StopReason};
pub use governor::{Conditions, MemoryPressure, Pace, Restraint, Thermal, pace, set_conditions};
pub use logging::{LogLevel, LogSink, set_log_level, set_log_sink};
pub use memory::{Memory, Trim};
pub use message::{Input, Message, Role, Tool, ToolCall, ToolResult};
pub use model::{Model, ModelInfo};
pub use options::{GenerationOptions, KvFormat, LogitBias, SessionOptions, WhenFull};
pub use probe::{Probe, probe, probe_header};
pub use session::{Session, saved_transcript};
pub use source::{Backend, OpenOptions, Source, TemplateChoice};
pub use stream::ReplyStream;

uniffi::setup_scaffolding!("sprat");

/// The version of the library.
#[uniffi::export]
pub fn version() -> Result<String, FfiError> {
    Ok(env!("CARGO_PKG_VERSION").into())
}
