//! One sequence of tokens in a model: its KV cache, and the memory that computing takes.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError};

use sprat_kernels::{Isa, KvFormat};

use super::{Model, transformer};
use crate::backend::cpu::{Buffers, KvCache, MAX_BATCH, Pass, Pool, Shared, Work, Worker, default_workers};
use crate::config::Rope;
use crate::error::Error;

/// Logits held at once when all are asked for: 32 MB of f32.
const MAX_LOGITS: usize = 8 << 20;

/// How a context computes; by default everything as the model and the machine suggest.
#[derive(Clone, Debug, Default)]
pub struct ContextOptions {
    /// Positions it may hold; none for what the model was made for.
    pub max_positions: Option<usize>,
    /// Worker threads; none for the cores that this process may use and that are fast enough to help. The tokens do not
    /// depend on it.
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
    max_positions: usize,
    cache: KvCache,
    buffers: Buffers,
    ropes: Vec<Rope>,
    logits: Shared<f32>, // [rows, vocabulary]
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
        let threads = options.threads.unwrap_or_else(default_workers).max(1);
        let batch = options.batch.unwrap_or(MAX_BATCH).clamp(1, MAX_BATCH);
        let buffers = Buffers::new(&model.config, &model.weights, batch, threads);
        let trained = model.config.context_length;
        let mut max_positions = options.max_positions.unwrap_or(trained);
        if model.weights.position_embedding.is_some() {
            // Beyond these there are no embeddings to look up.
            max_positions = max_positions.min(trained);
        }
        let ropes = model.weights.ropes(&model.config, max_positions, &model.file);
        let logits = Shared::new(model.config.vocabulary);
        let cache = KvCache::new(options.kv_format, &model.config.layers)?;
        let options = options.clone();
        Ok(Self { model, isa, options, threads, max_positions, cache, buffers, ropes, logits })
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

    /// Bytes of the KV cache.
    pub fn kv_bytes(&self) -> usize {
        self.cache.bytes()
    }

    /// Bytes of the memory that computing takes, besides the cache.
    pub fn scratch_bytes(&self) -> usize {
        self.buffers.bytes() + self.logits.bytes()
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

    /// A second sequence that begins as this one is. They share the cache until one of them writes there.
    pub fn fork(&self) -> Result<Self, Error> {
        let mut fork = Self::new(self.model.clone(), &self.options)?;
        fork.restore(self.snapshot());
        Ok(fork)
    }

    /// Appends `tokens` and returns the logits after the last, `[vocabulary]`. On an error the context is as before.
    pub fn feed(&mut self, tokens: &[u32], stop: &AtomicBool) -> Result<&mut [f32], Error> {
        self.transaction(tokens, |context| {
            let batch = context.buffers.rows;
            let mut rest = tokens;
            if context.model.config.state_len > 0 && tokens.len() > 1 {
                let (before, last) = tokens.split_at(tokens.len() - 1);
                before.chunks(batch).try_for_each(|part| context.pass(part, 0, stop))?;
                context.checkpoint();
                rest = last;
            }
            while rest.len() > batch {
                let (now, later) = rest.split_at(batch);
                context.pass(now, 0, stop)?;
                rest = later;
            }
            context.pass(rest, 1, stop)
        })?;
        let vocabulary = self.model.config.vocabulary;
        Ok(&mut self.logits.as_mut_slice()[..vocabulary])
    }

    /// Appends `tokens` and hands the logits after each to `each`. On an error the context is as before.
    pub fn feed_each(
        &mut self,
        tokens: &[u32],
        stop: &AtomicBool,
        each: &mut dyn FnMut(&[f32]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let vocabulary = self.model.config.vocabulary;
        let batch = self.buffers.rows.min(MAX_LOGITS / vocabulary).max(1);
        if self.logits.len() < batch * vocabulary {
            self.logits = Shared::new(batch * vocabulary);
        }
        self.transaction(tokens, |context| {
            for part in tokens.chunks(batch) {
                context.pass(part, part.len(), stop)?;
                context.logits.as_slice().chunks_exact(vocabulary).take(part.len()).try_for_each(&mut *each)?;
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
        let before = self.cache.mark();
        let result = work(self);
        if result.is_err() {
            self.cache.back_to(before);
        }
        result
    }

    /// One forward pass over `tokens`; the logits of the last `wanted` are left in `logits`.
    fn pass(&mut self, tokens: &[u32], wanted: usize, stop: &AtomicBool) -> Result<(), Error> {
        let model = &*self.model;
        self.cache.reserve(tokens.len(), &model.config)?;
        self.buffers.prepare(self.cache.len() + tokens.len());
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
            buffers: &self.buffers,
            logits: &self.logits,
        };
        let work = if tokens.len() == 1 { Work::Token } else { Work::Batch };
        Pool::global().run(work, self.threads, stop, &|team| {
            // Each worker takes its own place, so the lock is free; a poisoned one holds only scratch.
            let mut local = pass.buffers.locals[team.index].lock().unwrap_or_else(PoisonError::into_inner);
            // An error here is the pool's own: `run` reports it.
            let _ended = transformer::run(&mut Worker::new(&pass, team, &mut local));
        })?;
        self.cache.advance(tokens.len());
        Ok(())
    }
}
