//! How many workers single tokens get while cores are missing: other apps, a throttled cluster.
//!
//! Every barrier then waits for a thread that does not run. Waits that are too long raise the suspicion, and the time of a few
//! passes decides: a disturbed worker may still be worth its wait.

use std::time::Duration;

use super::cores::allowed_cores;
use super::pool::MAX_WORKERS;

/// Passes that are looked at together.
const WINDOW: u32 = 8;

/// A pass with this many late waits raises the suspicion at once: a neighbour on its core shows in every few stages, a
/// passing disturbance in one or two.
const MANY_WAITS: u32 = 6;

/// Passes that another number of workers is given to show that it is faster.
const PROBE: u32 = 4;

/// Passes without a probe after one that changed the number; after each that did not twice as many, up to the most.
const LEAST_REST: u32 = 32;
const MOST_REST: u32 = 256;

/// The number of workers for single tokens, as far as the machine limits it.
#[derive(Debug)]
pub struct Limit {
    workers: usize,
    window: Seen,
    probe: Option<Probe>,
    /// Probes that changed nothing: the next tries something else.
    failed: usize,
    rest: u32,
    next_rest: u32,
}

/// Some passes.
#[derive(Debug, Default)]
struct Seen {
    passes: u32,
    late: u32,
    time: Duration,
}

/// A number that is being tried.
#[derive(Debug)]
struct Probe {
    before: Duration,
    back: usize,
    seen: Seen,
}

impl Seen {
    fn add(&mut self, late_waits: u32, time: Duration) {
        self.passes += 1;
        self.late += u32::from(late_waits > 0);
        self.time += time;
    }

    fn mean(&self) -> Duration {
        self.time / self.passes.max(1)
    }
}

impl Default for Limit {
    /// Begins with as many workers as there are cores.
    fn default() -> Self {
        Self::new(allowed_cores())
    }
}

impl Limit {
    /// Begins with so many workers at most; more that are wanted have to show that they are faster.
    fn new(workers: usize) -> Self {
        Self { workers, window: Seen::default(), probe: None, failed: 0, rest: 0, next_rest: LEAST_REST }
    }

    /// No pass of a single token gets more.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// Learns from a pass of `workers` where `wanted` were asked for, with so many waits that were late.
    pub fn observe(&mut self, wanted: usize, workers: usize, late_waits: u32, time: Duration) {
        if let Some(mut probe) = self.probe.take() {
            probe.seen.add(late_waits, time);
            if probe.seen.passes < PROBE {
                self.probe = Some(probe);
            } else if probe.seen.mean() < probe.before {
                (self.rest, self.next_rest) = (LEAST_REST, LEAST_REST);
            } else {
                self.workers = probe.back;
                self.failed += 1;
                (self.rest, self.next_rest) = (self.next_rest, (2 * self.next_rest).min(MOST_REST));
            }
            return;
        }
        self.window.add(late_waits, time);
        let full = self.window.passes == WINDOW;
        let late = late_waits >= MANY_WAITS || full && 2 * self.window.late > WINDOW;
        if self.rest > 0 {
            self.rest -= 1;
        } else {
            // Where two cores serve four workers, three are no faster: so half of them first, then one fewer.
            let fewer = late && workers > 1;
            let more = full && workers < wanted;
            let numbers = [fewer.then_some(workers / 2), fewer.then_some(workers - 1), more.then_some(workers + 1)];
            let in_turn = (0..3).map(|i| numbers[(self.failed + i) % 3]);
            if let Some(number) = in_turn.flatten().next() {
                return self.try_out(number, wanted, workers);
            }
        }
        if full {
            self.window = Seen::default();
        }
    }

    fn try_out(&mut self, number: usize, wanted: usize, now: usize) {
        // All that are wanted is no limit: another model may want more.
        let limit = |workers| if workers == wanted { MAX_WORKERS } else { workers };
        let before = std::mem::take(&mut self.window).mean();
        self.probe = Some(Probe { before, back: limit(now), seen: Seen::default() });
        self.workers = limit(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many passes on a machine where each number of workers takes its time, with late waits where there is more than
    /// one worker; the number at their end.
    fn after(limit: &mut Limit, passes: u32, late_waits: u32, micros: impl Fn(usize) -> u64) -> usize {
        for _ in 0..passes {
            let workers = limit.workers().min(4);
            let late = if workers > 1 { late_waits } else { 0 };
            limit.observe(4, workers, late, Duration::from_micros(micros(workers)));
        }
        limit.workers().min(4)
    }

    fn free(workers: usize) -> u64 {
        40_000 / workers as u64
    }

    fn busy(workers: usize) -> u64 {
        if workers > 2 { 80_000 } else { free(workers) }
    }

    #[test]
    fn workers_that_wait_and_slow_the_pass_are_left_out_and_come_back() {
        let mut limit = Limit::new(MAX_WORKERS);
        assert_eq!(after(&mut limit, 100, 0, free), 4);
        assert_eq!(after(&mut limit, 3 * MOST_REST, 1, busy), 2);
        assert_eq!(after(&mut limit, 3 * MOST_REST, 0, free), 4);
    }

    #[test]
    fn workers_that_are_late_and_worth_it_stay() {
        let mut limit = Limit::new(MAX_WORKERS);
        let mut fewer = 0;
        for _ in 0..2000 {
            fewer += u32::from(after(&mut limit, 1, 1, free) < 4);
        }
        assert!((1..60).contains(&fewer), "{fewer} of 2000 passes were probes");
        assert_eq!(limit.next_rest, MOST_REST);
    }

    #[test]
    fn a_single_core_that_is_taken_costs_one_worker() {
        let mut limit = Limit::new(MAX_WORKERS);
        let taken = |workers: usize| if workers > 3 { 25_000 } else { free(workers) };
        after(&mut limit, 3 * MOST_REST, 1, taken);
        let mut with_three = 0;
        for _ in 0..1000 {
            with_three += u32::from(after(&mut limit, 1, 1, taken) == 3);
        }
        assert!(with_three > 900, "{with_three} of 1000");
    }

    #[test]
    fn more_workers_than_cores_are_tried_now_and_then() {
        let mut limit = Limit::new(2);
        let mut with_two = 0;
        for _ in 0..1000 {
            with_two += u32::from(after(&mut limit, 1, 1, busy) == 2);
        }
        assert!((900..1000).contains(&with_two), "{with_two} of 1000");
        assert_eq!(after(&mut limit, 3 * MOST_REST, 0, free), 4);
    }

    #[test]
    fn one_pass_full_of_late_waits_is_enough_to_ask() {
        let mut limit = Limit::new(MAX_WORKERS);
        assert_eq!(after(&mut limit, 1, MANY_WAITS - 1, busy), 4);
        assert_eq!(after(&mut limit, 1, MANY_WAITS, busy), 2);
    }

    #[test]
    fn nothing_goes_below_one_worker() {
        let mut limit = Limit::new(MAX_WORKERS);
        let falling = |workers: usize| 10_000 * workers as u64;
        assert_eq!(after(&mut limit, 10 * MOST_REST, MANY_WAITS, falling), 1);
    }
}
