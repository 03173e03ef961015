//! The stages on CPU cores.

mod attention;
mod buffers;
mod kv;
mod pass;
mod pool;
mod shared;

pub use buffers::{Buffers, MAX_BATCH};
pub use kv::KvCache;
pub use pass::{Pass, Worker};
pub use pool::{MAX_WORKERS, Pool};
pub use shared::Shared;

/// Cores that this process may use, by its affinity mask.
pub fn available_cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(MAX_WORKERS)
}
