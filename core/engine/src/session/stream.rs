//! The way from the thread that generates to who reads: a bounded queue, so that a slow reader slows the model down.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::reply::{Event, Reply};
use crate::error::Error;

/// Events that wait for the reader at most: a second or two of text at the speed of phones.
const MAX_WAITING: usize = 64;

/// One turn between its two ends.
pub(super) struct Queue {
    stop: AtomicBool,
    items: Mutex<Items>,
    changed: Condvar,
}

#[derive(Default)]
struct Items {
    waiting: VecDeque<Event>,
    failed: Option<Error>,
    ended: bool,
    waker: Option<Waker>,
}

impl Queue {
    pub fn new() -> Self {
        Self { stop: AtomicBool::new(false), items: Mutex::default(), changed: Condvar::new() }
    }

    /// What the forward pass looks at.
    pub fn stop_flag(&self) -> &AtomicBool {
        &self.stop
    }

    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        // Under the lock, so that a writer about to wait sees it.
        let _items = self.lock();
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Items> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, items: MutexGuard<'a, Items>) -> MutexGuard<'a, Items> {
        self.changed.wait(items).unwrap_or_else(PoisonError::into_inner)
    }

    fn announce(&self, mut items: MutexGuard<'_, Items>) {
        let waker = items.waker.take();
        drop(items);
        self.changed.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Hands an event over; waits while the reader has enough before it.
    pub fn push(&self, event: Event) -> Result<(), Error> {
        let mut items = self.lock();
        while items.waiting.len() >= MAX_WAITING && !self.is_stopped() {
            items = self.wait(items);
        }
        if self.is_stopped() {
            return Err(Error::Stopped);
        }
        items.waiting.push_back(event);
        self.announce(items);
        Ok(())
    }

    /// Waits until the reader has everything. Until then it may still go away, and the turn is undone.
    pub fn drained(&self) -> Result<(), Error> {
        let mut items = self.lock();
        while !items.waiting.is_empty() && !self.is_stopped() {
            items = self.wait(items);
        }
        if self.is_stopped() { Err(Error::Stopped) } else { Ok(()) }
    }

    /// The last thing.
    pub fn end(&self, result: Result<Reply, Error>) {
        let mut items = self.lock();
        match result {
            Ok(reply) => items.waiting.push_back(Event::Done(Box::new(reply))),
            Err(error) => items.failed = Some(error),
        }
        items.ended = true;
        self.announce(items);
    }
}

/// The events of a turn that is being made. Dropping it before its end undoes the turn.
pub struct ReplyStream {
    queue: Arc<Queue>,
}

impl ReplyStream {
    pub(super) fn new(queue: Arc<Queue>) -> Self {
        Self { queue }
    }

    /// Everything that has come since the last call; waits if that is nothing. Empty once the turn has ended. The
    /// fault that ended a turn comes once, after the events before it.
    pub fn next_batch(&self) -> Result<Vec<Event>, Error> {
        let mut items = self.queue.lock();
        loop {
            if let Some(batch) = self.take(&mut items) {
                return batch;
            }
            items = self.queue.wait(items);
        }
    }

    /// [`next_batch`](Self::next_batch) without waiting: the waker is woken when there is more. Of several wakers only
    /// the last is kept.
    pub fn poll_batch(&self, context: &mut Context<'_>) -> Poll<Result<Vec<Event>, Error>> {
        let mut items = self.queue.lock();
        match self.take(&mut items) {
            Some(batch) => Poll::Ready(batch),
            None => {
                items.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    fn take(&self, items: &mut Items) -> Option<Result<Vec<Event>, Error>> {
        if !items.waiting.is_empty() {
            let batch = items.waiting.drain(..).collect();
            self.queue.changed.notify_all();
            return Some(Ok(batch));
        }
        if !items.ended {
            return None;
        }
        Some(items.failed.take().map_or_else(|| Ok(Vec::new()), Err))
    }

    /// Stops the turn, from any thread: within a few milliseconds it ends with [`Error::Stopped`], or with what there is
    /// if the options say to keep it.
    pub fn stop(&self) {
        self.queue.stop();
    }
}

impl Iterator for ReplyStream {
    type Item = Result<Event, Error>;

    /// The next event; waits for it.
    fn next(&mut self) -> Option<Self::Item> {
        let mut items = self.queue.lock();
        loop {
            if let Some(event) = items.waiting.pop_front() {
                self.queue.changed.notify_all();
                return Some(Ok(event));
            }
            if items.ended {
                return items.failed.take().map(Err);
            }
            items = self.queue.wait(items);
        }
    }
}

impl Drop for ReplyStream {
    fn drop(&mut self) {
        let ended = self.queue.lock().ended;
        if !ended {
            self.queue.stop();
        }
    }
}
