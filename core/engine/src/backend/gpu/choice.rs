//! Which of the two computes a pass: the GPU reads, and writes if a model's first tokens say so.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::backend::Backend;

/// Tokens timed on each side. The least time counts: a kernel's first use compiles it, and a disturbed token does no harm.
const TURNS: u32 = 6;

/// Passes that the CPU does after the GPU refused one, at first and at most.
const FIRST_REST: u32 = 8;
const LONGEST_REST: u32 = 1024;

/// What a pass is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Tokens of a prompt.
    Reading,
    /// The next token of a reply, with guesses behind it or without.
    Writing,
}

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The CPU.
    Cpu,
    /// The GPU.
    Gpu,
}

/// What has been seen of a model's passes.
pub struct Choice {
    backend: Backend,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    cpu: Times,
    gpu: Times,
    rest: u32,
    last_rest: u32,
}

#[derive(Default)]
struct Times {
    turns: u32,
    least: Option<Duration>,
}

impl Times {
    fn add(&mut self, time: Duration) {
        if self.turns < TURNS {
            self.turns += 1;
            self.least = Some(self.least.map_or(time, |least| least.min(time)));
        }
    }
}

impl Choice {
    /// Between the two, as far as `backend` leaves one.
    pub fn new(backend: Backend) -> Self {
        Self { backend, seen: Mutex::default() }
    }

    /// Who does the next pass. One that the GPU was chosen for and does not do counts as nothing.
    pub fn side(&self, work: Work) -> Side {
        let mut seen = self.lock();
        if self.backend == Backend::Cpu {
            return Side::Cpu;
        }
        if seen.rest > 0 {
            seen.rest -= 1;
            return Side::Cpu;
        }
        if self.backend == Backend::Gpu || work == Work::Reading {
            return Side::Gpu;
        }
        let Seen { cpu, gpu, .. } = &*seen;
        let gpu_is_next = if cpu.turns < TURNS || gpu.turns < TURNS {
            gpu.turns <= cpu.turns
        } else {
            // Equal times: the CPU's cores are the app's too.
            gpu.least <= cpu.least
        };
        if gpu_is_next { Side::Gpu } else { Side::Cpu }
    }

    /// A single token took so long.
    pub fn observe(&self, side: Side, time: Duration) {
        let mut seen = self.lock();
        match side {
            Side::Cpu => seen.cpu.add(time),
            Side::Gpu => seen.gpu.add(time),
        }
    }

    /// The GPU did a pass.
    pub fn served(&self) {
        self.lock().last_rest = 0;
    }

    /// The GPU refused a pass: it is left alone for a while, each time longer.
    pub fn refused(&self) {
        let mut seen = self.lock();
        seen.last_rest = (2 * seen.last_rest).clamp(FIRST_REST, LONGEST_REST);
        seen.rest = seen.last_rest;
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who writes after the trial, where a token takes so many ms.
    fn writer(cpu_ms: u64, gpu_ms: impl Fn(u32) -> u64) -> Side {
        let choice = Choice::new(Backend::Auto);
        for turn in 0..TURNS {
            for side in [Side::Gpu, Side::Cpu] {
                assert_eq!((choice.side(Work::Writing), choice.side(Work::Reading)), (side, Side::Gpu));
                let time = if side == Side::Cpu { cpu_ms } else { gpu_ms(turn) };
                choice.observe(side, Duration::from_millis(time));
            }
        }
        choice.side(Work::Writing)
    }

    #[test]
    fn the_faster_one_writes_and_the_gpu_reads() {
        assert_eq!(writer(10, |_| 5), Side::Gpu);
        assert_eq!(writer(5, |_| 10), Side::Cpu);
        assert_eq!(writer(10, |turn| if turn == 0 { 900 } else { 9 }), Side::Gpu, "the first compiles");
    }

    #[test]
    fn an_app_s_choice_stands() {
        for (backend, side) in [(Backend::Cpu, Side::Cpu), (Backend::Gpu, Side::Gpu)] {
            let choice = Choice::new(backend);
            assert!([Work::Reading, Work::Writing].into_iter().all(|work| choice.side(work) == side));
        }
    }

    #[test]
    fn who_refuses_rests_longer_each_time_until_it_serves() {
        let choice = Choice::new(Backend::Gpu);
        let rest = || (0..).take_while(|_| choice.side(Work::Reading) == Side::Cpu).count() as u32;
        let mut rests = Vec::new();
        for _ in 0..10 {
            choice.refused();
            rests.push(rest());
        }
        assert_eq!(rests, [8, 16, 32, 64, 128, 256, 512, 1024, 1024, 1024]);
        choice.served();
        choice.refused();
        assert_eq!(rest(), FIRST_REST);
    }
}
