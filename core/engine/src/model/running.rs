//! The turns that run on a model, so that closing it can stop them and wait.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::error::Error;

/// Stops one turn.
type Stop = Box<dyn Fn() + Send>;

/// Who runs now.
#[derive(Default)]
pub(crate) struct Running {
    state: Mutex<State>,
    left: Condvar,
}

#[derive(Default)]
struct State {
    closed: bool,
    next: u64,
    stops: Vec<(u64, Stop)>,
}

/// A turn that is counted as running while it lives.
pub(crate) struct Guard {
    running: Arc<Running>,
    number: u64,
}

impl Running {
    /// Counts a turn in, unless the model is closed. `stop` must end it soon.
    pub fn enter(self: &Arc<Self>, stop: impl Fn() + Send + 'static) -> Result<Guard, Error> {
        let mut state = self.lock();
        if state.closed {
            return Err(Error::Closed);
        }
        let number = state.next;
        state.next += 1;
        state.stops.push((number, Box::new(stop)));
        Ok(Guard { running: self.clone(), number })
    }

    /// Lets nobody in any more, stops who is in, and waits for them to leave.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.stops.iter().for_each(|(_, stop)| stop());
        while !state.stops.is_empty() {
            state = self.left.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.running.lock().stops.retain(|(number, _)| *number != self.number);
        self.running.left.notify_all();
    }
}
