//! A GPU: the plan's dispatches, played on memory that it shares with the CPU.

mod choice;
mod describe;
mod player;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sprat_gguf::Contents;
use sprat_kernels::KvFormat;
use sprat_metal::{Cache, MATMAT_TOKENS, PAGE_BYTES, Player};

use super::Backend;
use super::cpu::{Arena, KvCache, Ledger, PAGE, Tickets};
use crate::config::{Config, Rope};
use crate::error::GpuFault;
use crate::file::MappedFile;
use crate::weights::Weights;
pub use choice::{Choice, Side, Work};
use player::Bound;

/// Addresses reserved for pages: what the longest conversations on phones take. It costs nothing until it is used.
const MAX_ARENA_BYTES: usize = 1 << 30;

/// Sequences of full length that the arena has room for at least, where that is not more: one, and a fork of it.
const SEQUENCES: usize = 2;

/// Dispatches of a prompt that are played at once: some five layers, between which a stop is seen.
const DISPATCHES: usize = 32;

/// A model's GPU.
pub struct Gpu {
    /// Who computes.
    pub choice: Choice,
    /// Where the caches of its sequences lie.
    pub arena: Arc<Arena>,
    bound: Mutex<Bound>,
    tickets: Tickets,
}

/// A pass for the GPU.
pub struct Pass<'a> {
    /// Token ids.
    pub tokens: &'a [u32],
    /// Which of `tokens` need logits: the last so many.
    pub wanted: usize,
    /// So many of the likeliest tokens will do, if it is the last one's alone that are wanted.
    pub likeliest: Option<usize>,
    /// The cache, adopted by the arena, with room for all of `tokens`.
    pub cache: &'a KvCache,
    /// The rotary embeddings.
    pub ropes: &'a [Rope],
    /// Counts the buffers.
    pub ledger: &'a Arc<Ledger>,
    /// Ends it early.
    pub stop: &'a AtomicBool,
}

/// What a pass leaves of its logits.
pub enum Left<'a> {
    /// All of them, `[wanted, vocabulary]`.
    Logits(&'a mut [f32]),
    /// The likeliest tokens and theirs.
    Likeliest(Vec<(u32, f32)>),
}

/// How the shaders name a format of caches; none if they do not know it.
fn cache_of(format: KvFormat) -> Option<Cache> {
    match format {
        KvFormat::F16 => Some(Cache::F16),
        KvFormat::Q8_0 => Some(Cache::Q8_0),
        KvFormat::Q4_0 => None,
    }
}

/// Why a pass was not done. What it had of the cache behind the filled positions holds anything.
#[derive(Debug)]
pub enum Fault {
    /// It was stopped.
    Stopped,
    /// The GPU did not do it, or there is no memory for it.
    Refused(String),
}

impl Gpu {
    /// The GPU that `find` finds, for a model that there are shaders for. `contents` lists the tensors of `file`.
    pub fn new(
        find: impl FnOnce() -> Result<Box<dyn Player>, GpuFault>,
        backend: Backend,
        config: &Config,
        weights: &Weights,
        (file, contents): (&Arc<MappedFile>, &Contents),
    ) -> Result<Self, GpuFault> {
        let plan = describe::describe(config, weights).map_err(|what| GpuFault::Unsupported { what })?;
        let slot_bytes = plan.page_bytes().next_multiple_of(PAGE_BYTES) as usize;
        let all = SEQUENCES * config.layers.len() * config.context_length.div_ceil(PAGE);
        let arena = Arena::new(slot_bytes, all.min(MAX_ARENA_BYTES / slot_bytes));
        let arena = arena.ok_or_else(|| GpuFault::Refused { reason: "no addresses for its pages".to_owned() })?;
        let tensors: Vec<_> = contents.tensors.iter().map(|tensor| tensor.range.clone()).collect();
        let bound = Bound::new(find()?, plan, file.clone(), arena.clone(), &tensors)
            .map_err(|refused| GpuFault::Refused { reason: refused.reason })?;
        Ok(Self { choice: Choice::new(backend), arena, bound: Mutex::new(bound), tickets: Tickets::default() })
    }

    /// Whether a cache of this format can be its.
    pub fn takes(&self, format: KvFormat) -> bool {
        cache_of(format).is_some()
    }

    /// Gives back the memory that computing takes; the next pass takes it anew. Waits for one that runs.
    pub fn release(&self) {
        self.bound().release();
    }

    /// Held by whoever's turn it is; what a panic left is written anew by the next pass.
    fn bound(&self) -> MutexGuard<'_, Bound> {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does a pass and hands what it leaves to `take`. While the GPU works, what comes next is encoded: the rest of the pass, and
    /// at last the next token, whose id is read from memory when it runs.
    pub fn pass(&self, pass: &Pass<'_>, take: impl FnOnce(Left<'_>)) -> Result<(), Fault> {
        let _ticket = self.tickets.take(pass.stop).map_err(|_| Fault::Stopped)?;
        let mut bound = self.bound();
        let shape = bound.prepare(pass)?;
        let (list, turn) = match bound.ready(shape) {
            Some(turn) => (Vec::new(), turn),
            None => bound.list(shape),
        };
        let few = pass.tokens.len() < MATMAT_TOKENS as usize;
        let mut pieces = list.chunks(if few { list.len().max(1) } else { DISPATCHES });
        if let Some(first) = pieces.next() {
            bound.encode(first)?;
        }
        loop {
            if pass.stop.load(Ordering::Relaxed) {
                return Err(Fault::Stopped);
            }
            let Some(next) = pieces.next() else { break };
            bound.run(|bound| bound.encode(next))?;
        }
        bound.run(|bound| {
            // What is wrong with it is told to whoever needs it.
            let _told_later = bound.encode_token_behind(shape);
            Ok(())
        })?;
        if pass.wanted > 0 {
            take(bound.left(shape, turn));
        }
        Ok(())
    }
}
