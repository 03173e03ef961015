//! The worker pool: one wake-up per forward pass; barriers and shared-out chunks inside it.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool as Flag;
use std::time::Duration;

use super::limit::Limit;
use super::sync::{
    Arc, AtomicBool, AtomicU32, AtomicUsize, Condvar, Instant, JoinHandle, Mutex, MutexGuard, Ordering, PoisonError,
    UnsafeCell, park, spawn, spin,
};
use super::ticket::Tickets;
use crate::error::Error;

/// How long a waiting worker spins before it parks. Stages of a small model last 20-200 us, so most waits end within
/// this time; longer waits mean that a core is missing, and then spinning would only steal from who works.
const SPIN: Duration = Duration::from_micros(60);

/// Most workers of one pass: more than any phone has useful cores.
pub const MAX_WORKERS: usize = 64;

/// A single token's stages last 20-200 us: a worker that was parked for longer than this waited for a core, not for work.
const LATE: Duration = Duration::from_millis(1);

/// Threads that wait for a pass to run. One per process serves all models; passes take turns.
#[derive(Default)]
pub struct Pool {
    tickets: Tickets,
    turn: Mutex<Turn>,
}

/// What a pass holds while it runs.
#[derive(Default)]
struct Turn {
    helpers: Vec<Helper>,
    limit: Limit,
    /// For each worker, how many pieces of its own part of the stage are taken.
    taken: Vec<Line<AtomicUsize>>,
}

/// How a pass went.
#[derive(Clone, Copy, Debug)]
pub struct Ran {
    /// Workers that took part.
    pub workers: usize,
    /// From its turn to its end.
    pub time: Duration,
}

/// What a pass is, as far as the pool cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// One token: short stages, many of them.
    Token,
    /// A batch: long stages.
    Batch,
}

/// A thread that waits for work; it ends when this is dropped.
struct Helper {
    slot: Arc<Slot>,
    thread: Option<JoinHandle<()>>, // until it is dropped
}

/// Where one helper thread gets its work.
struct Slot {
    ready: AtomicBool,
    job: UnsafeCell<Option<Job>>, // none: no more work comes
}

// SAFETY: `job` is written by the caller while `ready` is false and read by its helper after seeing `ready`.
unsafe impl Sync for Slot {}
// SAFETY: the pointers inside a job stay valid until the caller has seen every helper leave.
unsafe impl Send for Slot {}

#[derive(Clone, Copy)]
struct Job {
    program: *const (dyn Fn(&Team<'_>) + Sync),
    meeting: *const Meeting<'static>,
    index: usize,
}

/// What ends a pass before its time, once either is set.
#[derive(Clone, Copy)]
pub struct Halt<'a> {
    /// Somebody wants the work stopped.
    pub stop: &'a Flag,
    /// What the pass reads is gone.
    pub lost: &'a Flag,
}

impl Halt<'_> {
    fn is_set(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.lost.load(Ordering::Relaxed)
    }
}

/// What the workers of one pass share: where they meet, and the work that is left in the current stage.
struct Meeting<'a> {
    workers: usize,
    halt: Halt<'a>,
    /// See [`Turn::taken`].
    taken: &'a [Line<AtomicUsize>],
    arrived: Line<AtomicUsize>,
    generation: Line<AtomicUsize>,
    halted: AtomicBool,
    fault: AtomicBool,
    inside: AtomicUsize,
    parked: AtomicUsize,
    /// How often a worker was parked for too long.
    late: AtomicU32,
    lock: Mutex<()>,
    wake: Condvar,
}

/// A value on a cache line of its own (128 bytes: big cores fetch lines in pairs).
#[repr(align(128))]
struct Line<T>(T);

/// One worker's place in a pass.
pub struct Team<'a> {
    meeting: &'a Meeting<'a>,
    /// Which worker this is, from 0.
    pub index: usize,
}

impl Pool {
    /// The pool of this process.
    pub fn global() -> &'static Self {
        static POOL: OnceLock<Pool> = OnceLock::new();
        POOL.get_or_init(Self::default)
    }

    /// Runs `program` on up to `workers` threads, the caller among them, and returns when all have left it.
    /// Fails with [`Error::Stopped`] once `halt` is seen, [`Error::Internal`] if a worker panicked, or [`Error::NoThread`].
    pub fn run(
        &self,
        work: Work,
        workers: usize,
        halt: Halt<'_>,
        program: &(dyn Fn(&Team<'_>) + Sync),
    ) -> Result<Ran, Error> {
        // The lock alone would let one session take it again and again.
        let _ticket = self.tickets.take(halt.stop)?;
        let mut turn = lock(&self.turn);
        let start = Instant::now();
        let Turn { helpers, limit, taken } = &mut *turn;
        let wanted = workers.clamp(1, MAX_WORKERS);
        let workers = if work == Work::Token { wanted.min(limit.workers()) } else { wanted };
        while helpers.len() + 1 < workers {
            let helper = Helper::spawn(helpers.len() + 1).map_err(|source| Error::NoThread { source })?;
            helpers.push(helper);
        }
        // Not what a pass that was stopped has left.
        taken.clear();
        taken.resize_with(workers, || Line(AtomicUsize::new(0)));
        let meeting = Meeting {
            workers,
            halt,
            taken,
            arrived: Line(AtomicUsize::new(0)),
            generation: Line(AtomicUsize::new(0)),
            halted: AtomicBool::new(false),
            fault: AtomicBool::new(false),
            inside: AtomicUsize::new(workers - 1),
            parked: AtomicUsize::new(0),
            late: AtomicU32::new(0),
            lock: Mutex::new(()),
            wake: Condvar::new(),
        };
        // SAFETY: only the lifetimes are widened; `leave_together` below keeps both borrows alive until every helper has left.
        let job = unsafe {
            Job {
                program: std::mem::transmute::<
                    *const (dyn Fn(&Team<'_>) + Sync + '_),
                    *const (dyn Fn(&Team<'_>) + Sync + 'static),
                >(program),
                meeting: std::ptr::from_ref(&meeting).cast(),
                index: 0,
            }
        };
        for (i, helper) in helpers.iter().take(workers - 1).enumerate() {
            helper.hand(Some(Job { index: i + 1, ..job }));
        }
        meeting.work(0, program);
        meeting.leave_together();
        if work == Work::Token && wanted > 1 {
            limit.observe(wanted, workers, meeting.late.load(Ordering::Relaxed), start.elapsed());
        }
        if meeting.fault.load(Ordering::Acquire) {
            Err(Error::Internal { what: "a worker panicked" })
        } else if meeting.halted.load(Ordering::Acquire) {
            Err(Error::Stopped)
        } else {
            Ok(Ran { workers, time: start.elapsed() })
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Helper {
    fn spawn(number: usize) -> std::io::Result<Self> {
        let slot = Arc::new(Slot { ready: AtomicBool::new(false), job: UnsafeCell::new(None) });
        let own = slot.clone();
        let thread = spawn(&format!("sprat-{number}"), move || own.serve())?;
        Ok(Self { slot, thread: Some(thread) })
    }

    /// To a helper that is idle: it left the last pass, or never had one.
    fn hand(&self, job: Option<Job>) {
        // SAFETY: an idle helper does not read the slot before it sees `ready`.
        self.slot.job.with_mut(|place| unsafe { *place = job });
        self.slot.ready.store(true, Ordering::Release);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.hand(None);
        // Panics of a pass are caught; there is no other end than the one asked for.
        let _ended = self.thread.take().map(JoinHandle::join);
    }
}

impl Slot {
    fn serve(&self) {
        loop {
            let ready = || self.ready.load(Ordering::Acquire);
            if !spin(SPIN, ready) {
                while !ready() {
                    park();
                }
            }
            // SAFETY: `ready` says that the caller has written the slot and will not touch it until we leave.
            let job = self.job.with_mut(|place| unsafe { (*place).take() });
            self.ready.store(false, Ordering::Release);
            let Some(Job { program, meeting, index }) = job else { return };
            // SAFETY: the caller of `run` waits in `leave_together`, so both are alive until `inside` drops below.
            let (program, meeting) = unsafe { (&*program, &*meeting) };
            meeting.work(index, program);
            meeting.leave();
        }
    }
}

impl Meeting<'_> {
    fn work(&self, index: usize, program: &(dyn Fn(&Team<'_>) + Sync)) {
        let team = Team { meeting: self, index };
        if catch_unwind(AssertUnwindSafe(|| program(&team))).is_err() {
            // The others may be waiting at a barrier that this worker will never reach.
            self.fault.store(true, Ordering::Release);
            let _guard = lock(&self.lock);
            self.wake.notify_all();
        }
    }

    /// A helper's last touch of the meeting: nothing of it is read after the count drops, except under the lock that
    /// the caller takes before it goes.
    fn leave(&self) {
        let _guard = lock(&self.lock);
        if self.inside.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.wake.notify_all();
        }
    }

    fn leave_together(&self) {
        spin(SPIN, || self.inside.load(Ordering::Acquire) == 0);
        // Taking the lock also waits for the last helper to let go of it.
        let mut guard = lock(&self.lock);
        while self.inside.load(Ordering::Acquire) > 0 {
            guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn ended(&self) -> bool {
        self.halted.load(Ordering::Acquire) || self.fault.load(Ordering::Acquire)
    }
}

impl Team<'_> {
    /// How many share the work.
    pub fn workers(&self) -> usize {
        self.meeting.workers
    }

    /// Waits for all workers; what any of them wrote before is visible to all after. An error means that the pass is
    /// over: stopped, or a worker failed. All workers get the same answer.
    pub fn barrier(&self) -> Result<(), Error> {
        let m = self.meeting;
        let generation = m.generation.0.load(Ordering::Acquire);
        if m.arrived.0.fetch_add(1, Ordering::AcqRel) + 1 == m.workers {
            m.arrived.0.store(0, Ordering::Relaxed);
            m.taken.iter().for_each(|taken| taken.0.store(0, Ordering::Relaxed));
            if m.halt.is_set() {
                m.halted.store(true, Ordering::Relaxed);
            }
            // Either the parker sees the new generation or we see the parker: both change `parked`, and who comes second sees
            // all that was before the first. A plain load there may overtake what stands before it (on arm64, and in qemu
            // on x86), and the parker would sleep for ever.
            m.generation.0.fetch_add(1, Ordering::AcqRel);
            if m.parked.fetch_add(0, Ordering::AcqRel) > 0 {
                let _guard = lock(&m.lock);
                m.wake.notify_all();
            }
        } else {
            let passed = || m.generation.0.load(Ordering::Acquire) != generation || m.fault.load(Ordering::Acquire);
            if !spin(SPIN, passed) {
                let start = Instant::now();
                let mut guard = lock(&m.lock);
                m.parked.fetch_add(1, Ordering::AcqRel);
                while !passed() {
                    guard = m.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
                }
                m.parked.fetch_sub(1, Ordering::AcqRel);
                if start.elapsed() > LATE {
                    m.late.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        if m.ended() { Err(Error::Stopped) } else { Ok(()) }
    }

    /// The next piece of the current stage: up to `size` of `total` items that no other worker has, or none when they
    /// are all taken or the work is to stop. Every stage ends with a barrier, which starts the count anew.
    ///
    /// Each worker has a part of its own, one stretch from its start on, so that what it asks memory for ahead is its own next
    /// piece; who is done helps the others.
    pub fn chunk(&self, total: usize, size: usize) -> Option<Range<usize>> {
        let m = self.meeting;
        if m.halt.is_set() || m.fault.load(Ordering::Relaxed) {
            return None;
        }
        let pieces = total.div_ceil(size);
        for part in (self.index..m.workers).chain(0..self.index) {
            let (first, end) = (part * pieces / m.workers, (part + 1) * pieces / m.workers);
            let taken = &m.taken[part].0;
            if first + taken.load(Ordering::Relaxed) >= end {
                continue;
            }
            let piece = first + taken.fetch_add(1, Ordering::Relaxed);
            if piece < end {
                return Some(piece * size..((piece + 1) * size).min(total));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For passes that lose nothing.
    static SAFE: Flag = Flag::new(false);

    fn halt(stop: &Flag) -> Halt<'_> {
        Halt { stop, lost: &SAFE }
    }

    #[test]
    fn every_item_of_every_stage_is_done_once() {
        let pool = Pool::default();
        let stop = Flag::new(false);
        // Miri, which interprets, gets fewer.
        let (items, stages) = if cfg!(miri) { (30, 5) } else { (1000, 50) };
        for workers in [1, 2, 3, 5] {
            let counts: Vec<AtomicUsize> = (0..items).map(|_| AtomicUsize::new(0)).collect();
            let program = |team: &Team<'_>| {
                for stage in 0..stages {
                    while let Some(range) = team.chunk(counts.len(), 7) {
                        for i in range {
                            // Every worker sees that the stage before is complete.
                            assert_eq!(counts[i].fetch_add(1, Ordering::Relaxed), stage);
                        }
                    }
                    if team.barrier().is_err() {
                        return;
                    }
                }
            };
            pool.run(Work::Batch, workers, halt(&stop), &program).expect("nothing stops it");
            assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == stages));
        }
    }

    #[test]
    fn stop_ends_the_pass_for_every_worker() {
        let pool = Pool::default();
        let stop = Flag::new(false);
        let stages = AtomicUsize::new(0);
        let program = |team: &Team<'_>| {
            while team.barrier().is_ok() {
                if stages.fetch_add(1, Ordering::Relaxed) == 100 {
                    stop.store(true, Ordering::Relaxed);
                }
            }
        };
        assert!(matches!(pool.run(Work::Batch, 3, halt(&stop), &program), Err(Error::Stopped)));
        let lost = Halt { stop: &SAFE, lost: &stop };
        assert!(matches!(pool.run(Work::Batch, 2, lost, &program), Err(Error::Stopped)), "either flag does");
        stop.store(false, Ordering::Relaxed);
        pool.run(Work::Batch, 3, halt(&stop), &|team| assert!(team.barrier().is_ok()))
            .expect("the pool is usable after a stop");
    }

    #[test]
    fn a_panic_in_one_worker_is_an_error_not_a_hang() {
        let pool = Pool::default();
        let stop = Flag::new(false);
        for culprit in 0..3 {
            let program = |team: &Team<'_>| {
                assert!(team.index != culprit, "on purpose");
                while team.barrier().is_ok() {}
            };
            let result = pool.run(Work::Batch, 3, halt(&stop), &program);
            assert!(matches!(result, Err(Error::Internal { .. })));
        }
    }
}
