//! How much of the device a turn may take: heat, battery, background and memory, turned into workers, batch and pauses.
//!
//! The app's platform layer feeds what the system tells it; turns ask before each pass. None of it changes a token, since
//! tokens depend neither on the number of workers nor on the batch.

use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How hot the device is. The names are iOS's; Android's `THERMAL_STATUS_*` stand beside them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Thermal {
    /// `NONE`, `LIGHT`.
    #[default]
    Nominal,
    /// `MODERATE`: the system would like less work.
    Fair,
    /// `SEVERE`: the system has begun to slow itself down.
    Serious,
    /// `CRITICAL` and above: parts are about to be switched off.
    Critical,
}

/// How short of memory the device is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemoryPressure {
    /// Nothing was heard.
    #[default]
    Normal,
    /// Android's `TRIM_MEMORY_RUNNING_LOW`, iOS's memory warning.
    Low,
    /// Android's `TRIM_MEMORY_RUNNING_CRITICAL` and `COMPLETE`: the app may be ended next.
    Critical,
}

/// What the platform last told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Heat.
    pub thermal: Thermal,
    /// Whether the user asked to save the battery.
    pub battery_saver: bool,
    /// Whether the app is out of sight.
    pub background: bool,
    /// Memory.
    pub memory: MemoryPressure,
}

/// How fast turns may go, fastest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pace {
    /// Everything the context was given.
    #[default]
    Full,
    /// Three quarters of the workers: most of the speed at clearly less power, since the clock rises with heat last.
    Eased,
    /// One worker and short batches, so that heat falls and the app can be put to sleep at any moment.
    Slow,
    /// Nothing is computed until it changes; a stop still ends the turn at once.
    Paused,
}

impl Pace {
    /// Workers for a pass that would have `all` of them.
    pub fn workers(self, all: usize) -> usize {
        match self {
            Self::Full => all,
            Self::Eased => (all * 3 / 4).max(1),
            Self::Slow | Self::Paused => 1,
        }
    }

    /// Tokens of a pass that would have up to `all` of them.
    pub fn batch(self, all: usize) -> usize {
        match self {
            Self::Full | Self::Eased => all,
            Self::Slow | Self::Paused => all.min(32), // a pass of the 1B shape on one core is then below half a second
        }
    }
}

/// Heat falls slowly and readings flicker: each step down waits until the reading has been lower this long.
const CALM: Duration = Duration::from_secs(10);

/// The state machine. Time comes in from outside, so that tests can choose it.
#[derive(Debug, Default)]
struct State {
    conditions: Conditions,
    heat: Thermal, // what counts: never below the reading
    lower_since: Duration,
}

impl State {
    fn set(&mut self, conditions: Conditions, now: Duration) {
        self.cool(now);
        let reading = conditions.thermal;
        if reading >= self.heat {
            self.heat = reading;
        } else if self.conditions.thermal >= self.heat {
            self.lower_since = now;
        }
        self.conditions = conditions;
    }

    fn cool(&mut self, now: Duration) {
        while self.heat > self.conditions.thermal && now.saturating_sub(self.lower_since) >= CALM {
            self.lower_since += CALM;
            self.heat = match self.heat {
                Thermal::Critical => Thermal::Serious,
                Thermal::Serious => Thermal::Fair,
                Thermal::Fair | Thermal::Nominal => Thermal::Nominal,
            };
        }
    }

    fn pace(&mut self, now: Duration) -> Pace {
        self.cool(now);
        let by_heat = match self.heat {
            Thermal::Nominal => Pace::Full,
            Thermal::Fair => Pace::Eased,
            Thermal::Serious => Pace::Slow,
            Thermal::Critical => Pace::Paused,
        };
        let Conditions { battery_saver, background, memory, .. } = self.conditions;
        let by_battery = if battery_saver { Pace::Eased } else { Pace::Full };
        let by_place = if background { Pace::Slow } else { Pace::Full };
        let by_memory = if memory == MemoryPressure::Critical { Pace::Slow } else { Pace::Full };
        by_heat.max(by_battery).max(by_place).max(by_memory)
    }
}

/// Holds the conditions that all sessions of the process go by.
#[derive(Debug)]
pub struct Governor {
    begin: Instant,
    state: Mutex<State>,
    changed: Condvar,
}

/// What the governor did to one turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restraint {
    /// The slowest pace of the turn.
    pub slowest: Pace,
    /// How long it was paused, in milliseconds.
    pub paused_ms: u64,
}

/// The governor of this process: the app tells it, all sessions go by it.
pub fn governor() -> &'static Governor {
    static GOVERNOR: LazyLock<Governor> = LazyLock::new(Governor::default);
    &GOVERNOR
}

impl Default for Governor {
    fn default() -> Self {
        Self { begin: Instant::now(), state: Mutex::default(), changed: Condvar::new() }
    }
}

impl Governor {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Plain values, whole after every statement: a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what the platform tells. Call it at every change, from any thread.
    pub fn set(&self, conditions: Conditions) {
        self.lock().set(conditions, self.begin.elapsed());
        self.changed.notify_all();
    }

    /// The conditions last told.
    pub fn conditions(&self) -> Conditions {
        self.lock().conditions
    }

    /// How fast a turn may go now.
    pub fn pace(&self) -> Pace {
        self.lock().pace(self.begin.elapsed())
    }

    /// The pace of the next pass, noted in `restraint`; waits while turns are paused and `stopped` does not say yes.
    pub fn admit(&self, restraint: &mut Restraint, stopped: impl Fn() -> bool) -> Pace {
        /// How often a paused turn looks whether it was stopped: well below the 50 ms that a stop may take.
        const LOOK: Duration = Duration::from_millis(10);
        let mut state = self.lock();
        let begin = Instant::now();
        loop {
            let pace = state.pace(self.begin.elapsed());
            restraint.slowest = restraint.slowest.max(pace);
            if pace != Pace::Paused || stopped() {
                restraint.paused_ms += begin.elapsed().as_millis() as u64;
                return pace;
            }
            state = self.changed.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hot(thermal: Thermal) -> Conditions {
        Conditions { thermal, ..Conditions::default() }
    }

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_strictest_condition_sets_the_pace() {
        let calm = Conditions::default();
        for (conditions, pace) in [
            (calm, Pace::Full),
            (hot(Thermal::Fair), Pace::Eased),
            (hot(Thermal::Serious), Pace::Slow),
            (hot(Thermal::Critical), Pace::Paused),
            (Conditions { battery_saver: true, ..calm }, Pace::Eased),
            (Conditions { background: true, ..calm }, Pace::Slow),
            (Conditions { memory: MemoryPressure::Low, ..calm }, Pace::Full),
            (Conditions { memory: MemoryPressure::Critical, ..calm }, Pace::Slow),
            (Conditions { battery_saver: true, ..hot(Thermal::Serious) }, Pace::Slow),
        ] {
            let mut state = State::default();
            state.set(conditions, at(0));
            assert_eq!(state.pace(at(0)), pace, "{conditions:?}");
        }
    }

    #[test]
    fn heat_counts_at_once_and_is_forgotten_step_by_step() {
        let mut state = State::default();
        state.set(hot(Thermal::Critical), at(100));
        assert_eq!(state.pace(at(100)), Pace::Paused);
        assert_eq!(state.pace(at(500)), Pace::Paused, "as long as the reading stays");
        state.set(hot(Thermal::Nominal), at(500));
        for (now, pace) in
            [(509, Pace::Paused), (510, Pace::Slow), (519, Pace::Slow), (520, Pace::Eased), (530, Pace::Full)]
        {
            assert_eq!(state.pace(at(now)), pace, "after {now} s");
        }
    }

    #[test]
    fn a_reading_that_flickers_does_not_speed_turns_up() {
        let mut state = State::default();
        for second in (0..60).step_by(6) {
            state.set(hot(Thermal::Serious), at(second));
            state.set(hot(Thermal::Fair), at(second + 3));
            assert_eq!(state.pace(at(second + 5)), Pace::Slow, "after {second} s");
        }
    }

    #[test]
    fn coming_back_into_sight_counts_at_once() {
        let mut state = State::default();
        state.set(Conditions { background: true, ..Conditions::default() }, at(0));
        assert_eq!(state.pace(at(1)), Pace::Slow);
        state.set(Conditions::default(), at(1));
        assert_eq!(state.pace(at(1)), Pace::Full);
    }

    #[test]
    fn a_pace_never_takes_the_last_worker() {
        for pace in [Pace::Full, Pace::Eased, Pace::Slow] {
            assert!(pace.workers(1) == 1 && pace.batch(1) == 1);
        }
        assert_eq!((Pace::Eased.workers(4), Pace::Slow.workers(4), Pace::Slow.batch(256)), (3, 1, 32));
    }

    #[test]
    fn a_paused_turn_goes_on_when_the_heat_is_gone_and_ends_when_it_is_stopped() {
        let governor = Governor::default();
        governor.set(hot(Thermal::Critical));
        let mut restraint = Restraint::default();
        assert_eq!(governor.admit(&mut restraint, || true), Pace::Paused);
        let governor = &governor;
        std::thread::scope(|scope| {
            let turn = scope.spawn(move || {
                let mut restraint = Restraint::default();
                (governor.admit(&mut restraint, || false), restraint.slowest)
            });
            // The clock goes on for the heat alone: a state that has cooled down is put in its place.
            *governor.lock() = State::default();
            governor.changed.notify_all();
            let (pace, slowest) = turn.join().expect("the turn ends");
            assert!(pace == Pace::Full && (slowest == Pace::Full || slowest == Pace::Paused));
        });
    }
}
