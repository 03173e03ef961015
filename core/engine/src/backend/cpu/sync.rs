//! What the pool's threads meet by. Named apart so that `tests/loom` can build the same pool over loom's, which tries every
//! order in which threads may run.

use std::cell;
use std::io;
use std::time::Duration;

pub use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
pub use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
pub use std::thread::{JoinHandle, park};
pub use std::time::Instant;

use crate::threads;

/// A value that one thread at a time touches, as agreed by other means.
pub struct UnsafeCell<T>(cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub fn new(value: T) -> Self {
        Self(cell::UnsafeCell::new(value))
    }

    pub fn with_mut<R>(&self, work: impl FnOnce(*mut T) -> R) -> R {
        work(self.0.get())
    }
}

/// Begins a thread.
pub fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    threads::spawn(name, threads::STACK_BYTES, Box::new(work))
}

/// Spins until `done` or for about `time`; tells whether it is done.
pub fn spin(time: Duration, done: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    loop {
        for _ in 0..64 {
            if done() {
                return true;
            }
            std::hint::spin_loop();
        }
        if start.elapsed() > time {
            return false;
        }
    }
}
