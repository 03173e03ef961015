//! One sequence of tokens in a model: its KV cache, and the memory that computing takes.

#[cfg(feature = "metal")]
mod gpu;

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};

use sprat_kernels::{Isa, KvFormat};

use super::{Model, transformer};
use crate::backend::cpu::{
    Buffers, Charge, Halt, Head, KvCache, MAX_BATCH, MAX_WORKERS, Pass, Pool, Shared, Work, Worker, default_workers,
};
use crate::config::Rope;
use crate::error::Error;
use crate::governor::{Restraint, governor};

/// Logits held at once when all are asked for: 32 MB of f32.
const MAX_LOGITS: usize = 8 << 20;

/// How a context computes; by default everything as the model and the machine suggest.
#[derive(Clone, Debug, Default)]
pub struct ContextOptions {
    /// Positions it may hold; none for what the model was made for.
    pub max_positions: Option<usize>,
    /// Worker threads; none for the cores that this process may use and that are fast enough to help, or for single tokens
    /// fewer where the first ones show that fewer serve. The tokens do not depend on it.
    pub threads: Option<usize>,
    /// Tokens of one pass, up to 256. The tokens do not depend on it.
    pub batch: Option<usize>,
    /// How keys and values are stored: half precision, or in less memory and not quite the same numbers.
    pub kv_format: KvFormat,
    /// Name of the instruction set whose kernels compute; none for the best this CPU has. The tokens do not depend on it.
    pub instruction_set: Option<String>,
}

/// A sequence of tokens that can be extended and cut back.
pub struct Context {
    model: Arc<Model>,
    isa: &'static Isa,
    options: ContextOptions,
    threads: usize,
    batch: usize,
    max_positions: usize,
    cache: KvCache,
    ropes: Vec<Rope>,
    restraint: Restraint,
    computed: Computed,
    scratch: Option<Scratch>, // none until the first pass, and after `release_scratch`
}

/// How many tokens went through the model, and where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Computed {
    /// On the CPU.
    pub cpu_tokens: usize,
    /// On the GPU.
    pub gpu_tokens: usize,
}

/// What computing takes, besides the cache.
struct Scratch {
    buffers: Buffers,
    logits: Shared<f32>, // [rows, vocabulary]
    charge: Option<Charge>,
}

impl Scratch {
    /// For passes of `batch` tokens and the logits of `rows`. Large buffers cost nothing until they are touched, so what
    /// the ledger refuses was never there.
    fn new(model: &Model, batch: usize, threads: usize, rows: usize) -> Result<Self, Error> {
        let buffers = Buffers::new(&model.config, &model.weights, batch, threads)?;
        let logits = Shared::new(rows * model.config.vocabulary)?;
        let mut scratch = Self { buffers, logits, charge: None };
        scratch.charge = Some(scratch.count(model)?);
        Ok(scratch)
    }

    fn bytes(&self) -> usize {
        self.buffers.bytes() + self.logits.bytes()
    }

    fn count(&self, model: &Model) -> Result<Charge, Error> {
        model.home.ledger.charge("buffers", self.bytes())
    }
}

impl Context {
    /// An empty sequence of `model`.
    pub fn new(model: Arc<Model>, options: &ContextOptions) -> Result<Self, Error> {
        let isa = match &options.instruction_set {
            None => Isa::detect(),
            Some(name) => Isa::available()
                .iter()
                .find(|isa| isa.name() == name)
                .ok_or_else(|| Error::InstructionSet { name: name.clone() })?,
        };
        let threads = options.threads.unwrap_or_else(default_workers).clamp(1, MAX_WORKERS);
        let batch = options.batch.unwrap_or(MAX_BATCH).clamp(1, MAX_BATCH);
        let trained = model.config.context_length;
        let mut max_positions = options.max_positions.unwrap_or(trained);
        if model.weights.position_embedding.is_some() {
            // Beyond these there are no embeddings to look up.
            max_positions = max_positions.min(trained);
        }
        model.file.check()?;
        let ropes = model.weights.ropes(&model.config, max_positions, &model.file);
        let cache = KvCache::new(options.kv_format, &model.config.layers, model.home.clone())?;
        let options = options.clone();
        Ok(Self {
            model,
            isa,
            options,
            threads,
            batch,
            max_positions,
            cache,
            ropes,
            restraint: Restraint::default(),
            computed: Computed::default(),
            scratch: None,
        })
    }

    /// The model it runs.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Positions that are filled.
    pub fn len(&self) -> usize {
        self.cache.len()
    }

    /// Whether it holds no token.
    pub fn is_empty(&self) -> bool {
        self.cache.is_empty()
    }

    /// Positions it may hold.
    pub fn max_positions(&self) -> usize {
        self.max_positions
    }

    /// How the KV cache is stored.
    pub fn kv_format(&self) -> KvFormat {
        self.options.kv_format
    }

    /// Bytes of the KV cache.
    pub fn kv_bytes(&self) -> usize {
        self.cache.bytes()
    }

    /// Bytes of the memory that computing takes, besides the cache.
    pub fn scratch_bytes(&self) -> usize {
        self.scratch.as_ref().map_or(0, Scratch::bytes)
    }

    /// Gives back the memory that computing takes; the next pass takes it anew. That of a GPU serves all contexts of the model.
    pub fn release_scratch(&mut self) {
        self.scratch = None;
        #[cfg(feature = "metal")]
        self.model.release_gpu();
    }

    /// Memory for a pass in a context of `positions` that leaves the logits of `rows` tokens.
    fn prepare(&mut self, positions: usize, rows: usize) -> Result<(), Error> {
        let len = rows * self.model.config.vocabulary;
        let mut scratch = match self.scratch.take() {
            Some(scratch) => scratch,
            None => Scratch::new(&self.model, self.batch, self.threads, rows)?,
        };
        let more_rows = scratch.logits.len() < len;
        if more_rows {
            // The old ones first: both at once may be more than is allowed.
            scratch.logits = Shared::new(0)?;
            scratch.logits = Shared::new(len)?;
        }
        if scratch.buffers.prepare(positions)? || more_rows {
            scratch.charge = None;
            scratch.charge = Some(scratch.count(&self.model)?);
        }
        self.scratch = Some(scratch);
        Ok(())
    }

    /// The logits of the last pass.
    fn logits(&mut self) -> Result<&mut [f32], Error> {
        let scratch = self.scratch.as_mut().ok_or(Error::Internal { what: "no pass has run" })?;
        Ok(scratch.logits.as_mut_slice())
    }

    /// What the governor did to the passes since it was last asked.
    pub fn take_restraint(&mut self) -> Restraint {
        std::mem::take(&mut self.restraint)
    }

    /// How many tokens went through the model since this was last asked, those of passes that were undone included.
    pub fn take_computed(&mut self) -> Computed {
        std::mem::take(&mut self.computed)
    }

    /// The cache as it is now, sharing its pages: cheap.
    pub fn snapshot(&self) -> KvCache {
        self.cache.clone()
    }

    /// Goes back to a snapshot of this context.
    pub fn restore(&mut self, snapshot: KvCache) {
        self.cache = snapshot;
    }

    /// Keeps the states that layers carry from token to token, so that [`Context::rewind`] can come back to this very
    /// position. [`Context::feed`] does it by itself before the last of several tokens: there a reply begins. The first
    /// and the three latest checkpoints are kept, each as large as the states; without states there is nothing to keep.
    pub fn checkpoint(&mut self) {
        self.cache.checkpoint();
    }

    /// Forgets all positions from `len` on and tells how many remain: `len`, or fewer in a model whose layers carry
    /// states, down to the last checkpoint or to none.
    pub fn rewind(&mut self, len: usize) -> usize {
        self.cache.rewind(len)
    }

    /// Whether what it holds is gone with the file that it was restored from: only rewinding to 0 helps.
    pub(crate) fn is_lost(&self) -> bool {
        self.cache.is_lost()
    }

    /// Whether [`Context::rewind`] comes back to any position.
    pub fn rewinds_exactly(&self) -> bool {
        self.model.config.state_len == 0
    }

    /// Forgets the positions of `gap` and all but `behind` after it, which move to where the gap began: their keys are turned
    /// to their new positions, everything else stays as it is, what later layers know of the gap included. From there on
    /// the context [`is_approximate`](Self::is_approximate). On an error it is as before.
    ///
    /// # Errors
    /// [`Error::CannotMove`], out of memory.
    pub fn close_gap(&mut self, gap: Range<usize>, behind: usize) -> Result<(), Error> {
        let Model { config, weights, .. } = &*self.model;
        weights.check_movable(config)?;
        self.cache.close_gap(gap, behind, config, &self.ropes)
    }

    /// Whether the cache holds other values than computing its tokens gives: keys that were moved, or from a file that
    /// stores them more coarsely. Rewinding to before them ends it.
    pub fn is_approximate(&self) -> bool {
        self.cache.is_approximate()
    }

    /// A second sequence that begins as this one is. They share the cache until one of them writes there.
    pub fn fork(&self) -> Result<Self, Error> {
        let mut fork = Self::new(self.model.clone(), &self.options)?;
        fork.restore(self.snapshot());
        Ok(fork)
    }

    /// Appends `tokens` and returns the logits after the last, `[vocabulary]`. On an error the context is as before.
    pub fn feed(&mut self, tokens: &[u32], stop: &AtomicBool) -> Result<&mut [f32], Error> {
        self.feed_with(tokens, None, stop)?;
        self.row(0)
    }

    /// Appends `tokens` and hands the logits after the last to `head`, each id once. On an error the context is as before.
    pub(crate) fn feed_to(&mut self, tokens: &[u32], head: &dyn Head, stop: &AtomicBool) -> Result<(), Error> {
        self.feed_with(tokens, Some(head), stop)
    }

    fn feed_with(&mut self, tokens: &[u32], head: Option<&dyn Head>, stop: &AtomicBool) -> Result<(), Error> {
        self.transaction(tokens, |context| {
            // A pace that changes meanwhile counts from the next feed on; workers follow at once.
            let batch = governor().pace().batch(context.batch);
            let mut rest = tokens;
            if context.model.config.state_len > 0 && tokens.len() > 1 {
                let (before, last) = tokens.split_at(tokens.len() - 1);
                before.chunks(batch).try_for_each(|part| context.pass(part, 0, head, stop))?;
                context.checkpoint();
                rest = last;
            }
            while rest.len() > batch {
                let (now, later) = rest.split_at(batch);
                context.pass(now, 0, head, stop)?;
                rest = later;
            }
            context.pass(rest, 1, head, stop)
        })
    }

    /// Appends a few tokens and leaves the logits after each, bit for bit those of feeding them one by one, to
    /// [`row`](Self::row). On an error the context is as before.
    pub fn feed_all(&mut self, tokens: &[u32], stop: &AtomicBool) -> Result<(), Error> {
        assert!(tokens.len() <= self.batch, "a pass takes so many tokens at most");
        self.transaction(tokens, |context| context.pass(tokens, tokens.len(), None, stop))
    }

    /// The logits after token `i` of those that the last pass left logits of, `[vocabulary]`.
    pub fn row(&mut self, i: usize) -> Result<&mut [f32], Error> {
        let vocabulary = self.model.config.vocabulary;
        let row = self.logits()?.chunks_exact_mut(vocabulary).nth(i);
        row.ok_or(Error::Internal { what: "no logits of this token" })
    }

    /// Tokens of one pass at most.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Appends `tokens` and hands the logits after each to `each`. On an error the context is as before.
    pub fn feed_each(
        &mut self,
        tokens: &[u32],
        stop: &AtomicBool,
        each: &mut dyn FnMut(&[f32]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let vocabulary = self.model.config.vocabulary;
        let batch = self.batch.min(MAX_LOGITS / vocabulary).max(1);
        self.transaction(tokens, |context| {
            for part in tokens.chunks(batch) {
                context.pass(part, part.len(), None, stop)?;
                context.logits()?.chunks_exact(vocabulary).take(part.len()).try_for_each(&mut *each)?;
            }
            Ok(())
        })
    }

    fn transaction(&mut self, tokens: &[u32], work: impl FnOnce(&mut Self) -> Result<(), Error>) -> Result<(), Error> {
        if tokens.is_empty() {
            return Err(Error::EmptyPrompt);
        }
        let vocabulary = self.model.config.vocabulary;
        if let Some(&id) = tokens.iter().find(|&&id| id as usize >= vocabulary) {
            return Err(Error::BadToken { id, vocabulary });
        }
        let used = self.len() + tokens.len();
        if used > self.max_positions {
            return Err(Error::ContextFull { used, limit: self.max_positions });
        }
        self.model.file.check()?;
        if self.cache.is_lost() {
            return Err(Error::CacheLost);
        }
        let before = self.cache.mark();
        let result = work(self);
        if result.is_err() {
            self.cache.back_to(before);
        }
        result
    }

    /// One forward pass over `tokens`; the logits of the last `wanted` go to `head` or are left in `logits`.
    fn pass(&mut self, tokens: &[u32], wanted: usize, head: Option<&dyn Head>, stop: &AtomicBool) -> Result<(), Error> {
        self.cache.reserve(tokens.len(), &self.model.config)?;
        #[cfg(feature = "metal")]
        if self.pass_on_gpu(tokens, wanted, head, stop)? {
            return Ok(());
        }
        let rows = if head.is_some() { 0 } else { wanted.max(1) };
        self.prepare(self.cache.len() + tokens.len(), rows)?;
        let Scratch { buffers, logits, .. } = self.scratch.as_ref().ok_or(Error::Internal { what: "no buffers" })?;
        let model = &*self.model;
        model.watch.begin_pass();
        let pass = Pass {
            isa: self.isa,
            config: &model.config,
            weights: &model.weights,
            ropes: &self.ropes,
            file: &model.file,
            watch: &model.watch,
            tokens,
            wanted,
            cache: &self.cache,
            buffers,
            logits,
            head,
        };
        let work = if tokens.len() == 1 { Work::Token } else { Work::Batch };
        let pace = governor().admit(&mut self.restraint, || stop.load(Ordering::Relaxed));
        // What the app asked for stands; otherwise the first tokens show what serves them best.
        let all = pace.workers(self.threads);
        let on_trial = work == Work::Token && self.options.threads.is_none();
        let workers = if on_trial { model.trial.workers(all) } else { all };
        let lost = model.file.lost();
        let ran = Pool::global().run(work, workers, Halt { stop, lost }, &|team| {
            // Each worker takes its own place, so the lock is free; a poisoned one holds only scratch.
            let mut local = pass.buffers.locals[team.index].lock().unwrap_or_else(PoisonError::into_inner);
            // An error here is the pool's own: `run` reports it.
            let _ended = transformer::run(&mut Worker::new(&pass, team, &mut local));
        });
        if lost.load(Ordering::Relaxed) {
            // Zeros were computed with.
            return Err(Error::FileLost);
        }
        if self.cache.was_lost() {
            return Err(Error::CacheLost);
        }
        let ran = ran?;
        if on_trial {
            model.trial.observe(all, ran.workers, ran.time);
        }
        #[cfg(feature = "metal")]
        model.cpu_took(work, ran.time);
        self.cache.advance(tokens.len());
        self.computed.cpu_tokens += tokens.len();
        Ok(())
    }
}
