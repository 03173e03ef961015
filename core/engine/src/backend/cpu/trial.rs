//! How many workers a single token takes: found by timing a model's first ones.
//!
//! The cores' capacities do not tell. Where memory is the limit a worker more only adds a thread to wait for at every
//! barrier, and what a middle core costs there depends on the phone.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Tokens timed with each number of workers. The least time counts, so a disturbed token does no harm.
const TURNS: usize = 6;

/// Numbers of workers tried: all, and down to half of them.
const MOST: usize = 4;

/// Of two numbers within this many percent of each other the smaller is taken: it costs less power.
const EQUAL_PERCENT: u128 = 3;

/// What has been seen of a model's tokens. They come out the same with any number of workers.
#[derive(Debug, Default)]
pub struct Trial {
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Workers there are; the least times are of this many, and of fewer by one, two and so on.
    all: usize,
    turns: usize,
    least: [Option<Duration>; MOST],
    chosen: Option<usize>,
}

impl Seen {
    fn numbers(&self) -> usize {
        (self.all - self.all.div_ceil(2) + 1).min(MOST)
    }

    fn choose(&mut self) {
        let seen = |(i, time): (usize, &Option<Duration>)| time.map(|time| (self.all - i, time.as_nanos()));
        let times = self.least.iter().enumerate().filter_map(seen);
        let Some(least) = times.clone().map(|(_, time)| time).min() else { return };
        let good = times.filter(|(_, time)| time * 100 <= least * (100 + EQUAL_PERCENT));
        self.chosen = good.map(|(workers, _)| workers).min();
    }
}

impl Trial {
    /// Workers for the next token, where there are `all`.
    pub fn workers(&self, all: usize) -> usize {
        let mut seen = self.lock();
        if seen.all == 0 {
            seen.all = all;
        }
        match seen.chosen {
            // Fewer than were there at first: the governor holds some back.
            _ if all != seen.all => all,
            Some(workers) => workers,
            None => all - seen.turns % seen.numbers(),
        }
    }

    /// A token took so long with so many workers, of `all`.
    pub fn observe(&self, all: usize, workers: usize, time: Duration) {
        let mut seen = self.lock();
        if seen.chosen.is_some() || all != seen.all || workers != all - seen.turns % seen.numbers() {
            return;
        }
        let least = &mut seen.least[all - workers];
        *least = Some(least.map_or(time, |least| least.min(time)));
        seen.turns += 1;
        if seen.turns == TURNS * seen.numbers() {
            seen.choose();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The choice where a token takes `micros(workers, turn)`.
    fn choice(all: usize, micros: impl Fn(usize, usize) -> u64) -> usize {
        let trial = Trial::default();
        for turn in 0..TURNS * MOST {
            let workers = trial.workers(all);
            assert!(workers <= all && 2 * workers >= all);
            trial.observe(all, workers, Duration::from_micros(micros(workers, turn)));
        }
        trial.workers(all)
    }

    #[test]
    fn the_fastest_number_is_chosen() {
        assert_eq!(choice(4, |workers, _| 40_000 / workers as u64), 4);
        assert_eq!(choice(4, |workers, _| if workers == 3 { 8_000 } else { 10_000 }), 3);
        assert_eq!(choice(2, |workers, _| 10_000 * workers as u64), 1);
        assert_eq!(choice(1, |_, _| 10_000), 1);
    }

    #[test]
    fn fewer_workers_win_where_more_hardly_help() {
        assert_eq!(choice(4, |workers, _| 10_000 - 100 * workers as u64), 2);
    }

    #[test]
    fn a_disturbed_token_changes_nothing() {
        assert_eq!(choice(4, |workers, turn| if turn < 4 { 500_000 } else { 40_000 / workers as u64 }), 4);
    }

    #[test]
    fn tokens_of_other_numbers_do_not_count() {
        let trial = Trial::default();
        assert_eq!(trial.workers(4), 4);
        assert_eq!(trial.workers(3), 3, "held back");
        trial.observe(3, 3, Duration::from_micros(1));
        trial.observe(4, 2, Duration::from_micros(1));
        assert_eq!(trial.workers(4), 4, "still the first turn");
    }
}
