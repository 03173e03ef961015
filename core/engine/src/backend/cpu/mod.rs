//! The stages on CPU cores.

mod ahead;
#[cfg(feature = "metal")]
mod arena;
mod attention;
mod attention_in;
mod attention_out;
mod bandwidth;
mod buffers;
mod convolution;
mod cores;
mod experts;
mod feed_forward;
mod gap;
mod home;
mod kv;
mod ledger;
mod limit;
mod mapper;
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
#[cfg(feature = "metal")]
pub use arena::Arena;
pub use bandwidth::memory_bytes_per_s;
pub use buffers::{Buffers, MAX_BATCH};
pub use cores::default_workers;
pub use home::Home;
pub use kv::KvCache;
#[cfg(feature = "metal")]
pub use kv::PAGE;
pub use ledger::{Charge, Ledger};
pub use pass::{Head, Pass, Worker};
pub use pool::{Halt, MAX_WORKERS, Pool, Work};
pub use saved::{SavedPages, SavedShape};
pub use shared::Shared;
#[cfg(feature = "metal")]
pub use ticket::Tickets;
pub use trial::Trial;
