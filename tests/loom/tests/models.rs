//! Every order of the pool's threads: no worker is lost, no stage is entered before the one before it is done, and what one
//! wrote all see. Loom fails on a deadlock, on a data race and on a panic.

use std::sync::atomic::AtomicBool;

use loom::cell::UnsafeCell;
use loom::model::Builder;
use loom::sync::atomic::{AtomicUsize, Ordering};
use sprat_loom::cpu::pool::{Halt, Pool, Team, Work};
use sprat_loom::error::Error;

/// Runs `model` in every order with at most so many switches away from a thread that could go on.
fn every_order(switches: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(switches);
    builder.max_branches = 100_000;
    builder.check(model);
}

fn run(pool: &Pool, workers: usize, stop: &AtomicBool, program: &(dyn Fn(&Team<'_>) + Sync)) -> Result<(), Error> {
    static SAFE: AtomicBool = AtomicBool::new(false);
    pool.run(Work::Batch, workers, Halt { stop, lost: &SAFE }, program).map(|_| ())
}

/// Cells that a stage writes and the next one reads; loom sees to it that no two touch one at once.
struct Cells(Vec<UnsafeCell<usize>>);

// SAFETY: loom's cells check each access, which is what they are for.
unsafe impl Sync for Cells {}

impl Cells {
    fn new(n: usize) -> Self {
        Self((0..n).map(|_| UnsafeCell::new(0)).collect())
    }

    fn add(&self, i: usize) {
        // SAFETY: loom checks it.
        self.0[i].with_mut(|value| unsafe { *value += 1 });
    }

    fn get(&self, i: usize) -> usize {
        // SAFETY: loom checks it.
        self.0[i].with(|value| unsafe { *value })
    }
}

/// Each worker writes its own cell, and after the barrier reads all of them, stage after stage.
fn stages(workers: usize, stages: usize, passes: usize) {
    let pool = Pool::default();
    let stop = AtomicBool::new(false);
    let cells = Cells::new(workers * stages);
    for pass in 1..=passes {
        run(&pool, workers, &stop, &|team| {
            for stage in 0..stages {
                cells.add(stage * workers + team.index);
                assert!(team.barrier().is_ok());
                for other in 0..workers {
                    assert_eq!(cells.get(stage * workers + other), pass);
                }
            }
        })
        .expect("nothing stops it");
        // The caller has all of it back.
        (0..workers * stages).for_each(|i| assert_eq!(cells.get(i), pass));
    }
}

#[test]
fn two_workers_meet_in_every_order() {
    every_order(4, || stages(2, 2, 1));
}

#[test]
fn helpers_go_from_pass_to_pass() {
    every_order(3, || stages(2, 1, 2));
}

#[test]
fn three_workers_meet() {
    every_order(2, || stages(3, 1, 1));
}

#[test]
fn chunks_are_handed_out_once() {
    every_order(3, || {
        let pool = Pool::default();
        let cells = Cells::new(3);
        run(&pool, 2, &AtomicBool::new(false), &|team| {
            for stage in 1..=2 {
                while let Some(range) = team.chunk(3, 1) {
                    range.for_each(|i| cells.add(i));
                }
                assert!(team.barrier().is_ok());
                (0..3).for_each(|i| assert!(cells.get(i) >= stage));
                // What is read here is written again in the next stage.
                assert!(team.barrier().is_ok());
            }
        })
        .expect("nothing stops it");
        (0..3).for_each(|i| assert_eq!(cells.get(i), 2));
    });
}

#[test]
fn a_stop_reaches_all_at_one_barrier() {
    every_order(3, || {
        let pool = Pool::default();
        let stop = AtomicBool::new(false);
        let passed = AtomicUsize::new(0);
        let result = run(&pool, 2, &stop, &|team| {
            while team.barrier().is_ok() {
                passed.fetch_add(1, Ordering::Relaxed);
                stop.store(true, std::sync::atomic::Ordering::Relaxed);
            }
        });
        assert!(matches!(result, Err(Error::Stopped)));
        let passed = passed.load(Ordering::Relaxed);
        assert!(passed == 2, "{passed} where both or none go on");
    });
}

#[test]
fn a_panic_ends_the_pass_for_who_waits() {
    for culprit in 0..2 {
        every_order(3, move || {
            let pool = Pool::default();
            let program = |team: &Team<'_>| {
                if team.index == culprit {
                    // A panic without its message.
                    std::panic::resume_unwind(Box::new("on purpose"));
                }
                while team.barrier().is_ok() {}
            };
            assert!(matches!(run(&pool, 2, &AtomicBool::new(false), &program), Err(Error::Internal { .. })));
        });
    }
}
