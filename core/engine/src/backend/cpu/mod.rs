//! The stages on CPU cores.

mod attention;
mod buffers;
mod cores;
mod kv;
mod pass;
mod pool;
mod shared;

pub use buffers::{Buffers, MAX_BATCH};
pub use cores::default_workers;
pub use kv::KvCache;
pub use pass::{Pass, Worker};
pub use pool::{Pool, Work};
pub use shared::Shared;
