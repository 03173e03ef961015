//! A fair lock: who asks first is served first, so that no session starves another. Whoever is stopped leaves the line.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use crate::error::Error;

/// How often who waits looks at its stop flag: a stop must be seen within 50 ms.
const LOOK: Duration = Duration::from_millis(20);

/// The line; its first is being served.
#[derive(Default)]
pub struct Tickets {
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    next: u64,
    waiting: VecDeque<(u64, Thread)>,
}

/// The right to run, until it is dropped.
pub struct Ticket<'a> {
    tickets: &'a Tickets,
    number: u64,
}

impl Tickets {
    /// Waits for the end of all who asked before.
    pub fn take(&self, stop: &AtomicBool) -> Result<Ticket<'_>, Error> {
        let mut line = self.lock();
        // Dropped on every way out, so that nobody waits for one who has left.
        let ticket = Ticket { tickets: self, number: line.next };
        line.next += 1;
        line.waiting.push_back((ticket.number, thread::current()));
        while line.waiting.front().is_some_and(|(first, _)| *first != ticket.number) {
            drop(line);
            thread::park_timeout(LOOK);
            if stop.load(Ordering::Relaxed) {
                return Err(Error::Stopped);
            }
            line = self.lock();
        }
        drop(line);
        Ok(ticket)
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ticket<'_> {
    /// Wakes who is first now, and nobody else: a thousand that look in vain would cost more than the pass between.
    fn drop(&mut self) {
        let mut line = self.tickets.lock();
        line.waiting.retain(|(number, _)| *number != self.number);
        if let Some((_, first)) = line.waiting.front() {
            first.unpark();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::thread;

    use super::*;

    fn waiting(tickets: &Tickets, n: usize) {
        while tickets.lock().waiting.len() < n {
            thread::yield_now();
        }
    }

    #[test]
    fn who_asks_first_is_served_first_and_who_is_stopped_leaves() {
        let (tickets, never) = (Tickets::default(), AtomicBool::new(false));
        let stop = AtomicBool::new(false);
        let served = Mutex::new(Vec::new());
        let first = tickets.take(&never).expect("nobody else is there");
        thread::scope(|scope| {
            for i in 0..4 {
                let (tickets, served) = (&tickets, &served);
                let flag = if i == 1 { &stop } else { &never };
                scope.spawn(move || {
                    let ticket = tickets.take(flag);
                    served.lock().expect("no panic").push((i, ticket.is_ok()));
                });
                waiting(tickets, i + 2);
            }
            stop.store(true, Ordering::Relaxed);
            while served.lock().expect("no panic").is_empty() {
                thread::yield_now();
            }
            drop(first);
        });
        let served = served.into_inner().expect("no panic");
        assert_eq!(served, [(1, false), (0, true), (2, true), (3, true)]);
    }

    #[test]
    fn one_at_a_time() {
        let (tickets, never) = (Tickets::default(), AtomicBool::new(false));
        let inside = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let _ticket = tickets.take(&never).expect("nobody stops it");
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
    }
}
