//! The pool, and what it imports from beside it.

#[path = "../../../core/engine/src/backend/cpu/pool.rs"]
pub mod pool;

/// Loom's in the place of the standard library's.
mod sync {
    use std::time::Duration;

    pub use loom::cell::UnsafeCell;
    pub use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
    pub use loom::sync::{Arc, Condvar, Mutex, MutexGuard};
    pub use loom::thread::{JoinHandle, park};
    pub use std::sync::PoisonError;

    /// A clock that stands still: models must run the same each time.
    pub struct Instant;

    impl Instant {
        pub fn now() -> Self {
            Self
        }

        pub fn elapsed(&self) -> Duration {
            Duration::ZERO
        }
    }

    pub fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
        loom::thread::Builder::new().name(name.to_owned()).spawn(work)
    }

    /// Looks once: whoever spins may find it not yet done, and that is the case that parks.
    pub fn spin(_time: Duration, done: impl Fn() -> bool) -> bool {
        done()
    }
}

/// Passes are not contended here, and batches ask for no limit.
mod limit {
    use std::time::Duration;

    #[derive(Debug, Default)]
    pub struct Limit;

    impl Limit {
        pub fn workers(&self) -> usize {
            usize::MAX
        }

        pub fn observe(&mut self, _wanted: usize, _workers: usize, _late: u32, _time: Duration) {}
    }
}

mod ticket {
    use std::sync::atomic::AtomicBool;

    use crate::error::Error;

    #[derive(Default)]
    pub struct Tickets;

    pub struct Ticket;

    impl Tickets {
        pub fn take(&self, _stop: &AtomicBool) -> Result<Ticket, Error> {
            Ok(Ticket)
        }
    }
}
