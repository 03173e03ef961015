//! The likeliest tokens, kept by each worker while it computes logits: where few decide, the others are never written.

use std::sync::{Mutex, PoisonError};

use crate::backend::cpu::{Head, MAX_WORKERS};
use crate::error::Error;
use crate::sampler::{Best, Sampler};

/// What the workers keep.
pub(super) struct Kept([Mutex<Best>; MAX_WORKERS]);

impl Kept {
    /// Nothing yet.
    pub fn new() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }

    /// The token that `sampler` chooses after `feed`, which hands all logits to its head.
    pub fn choose(
        &mut self,
        sampler: &mut Sampler,
        most: usize,
        feed: impl FnOnce(&dyn Head) -> Result<(), Error>,
    ) -> Result<Option<u32>, Error> {
        self.all().for_each(Best::clear);
        feed(&Keep { sampler, most, kept: self })?;
        Ok(sampler.sample_best(self.all().map(|best| &*best)))
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Best> {
        self.0.iter_mut().map(|best| best.get_mut().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Keeps `most` tokens for each worker.
struct Keep<'a> {
    sampler: &'a Sampler,
    most: usize,
    kept: &'a Kept,
}

impl Head for Keep<'_> {
    fn take(&self, worker: usize, first: usize, logits: &mut [f32]) {
        let first = first as u32; // ids are 32 bits
        self.sampler.adjust(first, logits);
        // Each worker takes its own, so the lock is free; a poisoned one holds only what is cleared.
        let mut best = self.kept.0[worker].lock().unwrap_or_else(PoisonError::into_inner);
        best.offer(self.most, first, logits);
    }

    #[cfg(feature = "metal")]
    fn likeliest(&self) -> Option<usize> {
        Some(self.most).filter(|_| !self.sampler.adjusts())
    }

    #[cfg(feature = "metal")]
    fn take_likeliest(&self, tokens: &[(u32, f32)]) {
        let mut best = self.kept.0[0].lock().unwrap_or_else(PoisonError::into_inner);
        tokens.iter().for_each(|&(id, logit)| best.offer(self.most, id, &[logit]));
    }
}
