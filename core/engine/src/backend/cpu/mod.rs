//! The stages on CPU cores.

mod ahead;
mod attention;
mod attention_in;
mod attention_out;
mod buffers;
mod convolution;
mod cores;
mod experts;
mod feed_forward;
mod kv;
mod ledger;
mod limit;
mod pass;
mod per_layer;
mod pool;
mod project;
mod saved;
mod scan;
mod shared;
mod state;
mod stream;
mod streams;
mod sync;
mod ticket;
mod trial;

pub use ahead::PageWatch;
pub use buffers::{Buffers, MAX_BATCH};
pub use cores::default_workers;
pub use kv::KvCache;
pub use ledger::{Charge, Ledger};
pub use pass::{Head, Pass, Worker};
pub use pool::{Halt, MAX_WORKERS, Pool, Work};
pub use saved::SavedPages;
pub use shared::Shared;
pub use trial::Trial;
