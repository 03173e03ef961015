//! Penalties on tokens that came lately, by llama.cpp's formula.

use std::collections::VecDeque;

use super::options::SamplerOptions;
use crate::error::Error;
use crate::error::memory::room;

/// The logit of a token among those of the tokens from `first` on.
pub(super) fn logit_of(id: u32, first: u32, logits: &mut [f32]) -> Option<&mut f32> {
    logits.get_mut(id.checked_sub(first)? as usize)
}

/// The last tokens and how often each is among them. Allocates nothing after construction.
#[derive(Debug, Clone)]
pub(super) struct Penalties {
    repetition: f32,
    frequency: f32,
    presence: f32,
    limit: usize,
    window: VecDeque<u32>,
    /// Tokens in the window and their counts, by ascending id.
    counts: Vec<(u32, u32)>,
}

impl Penalties {
    pub(super) fn new(options: &SamplerOptions) -> Result<Penalties, Error> {
        const WHAT: &str = "the penalties' window";
        let limit = if options.penalizes() { options.penalty_window } else { 0 };
        Ok(Penalties {
            repetition: options.repetition_penalty,
            frequency: options.frequency_penalty,
            presence: options.presence_penalty,
            limit,
            window: room(limit, WHAT)?.into(),
            counts: room(limit, WHAT)?,
        })
    }

    /// Takes the token that came.
    pub(super) fn accept(&mut self, id: u32) {
        if self.limit == 0 {
            return;
        }
        if self.window.len() == self.limit
            && let Some(oldest) = self.window.pop_front()
            && let Ok(at) = self.counts.binary_search_by_key(&oldest, |&(id, _)| id)
        {
            self.counts[at].1 -= 1;
            if self.counts[at].1 == 0 {
                self.counts.remove(at);
            }
        }
        self.window.push_back(id);
        match self.counts.binary_search_by_key(&id, |&(id, _)| id) {
            Ok(at) => self.counts[at].1 += 1,
            Err(at) => self.counts.insert(at, (id, 1)),
        }
    }

    /// Changes the logits of the tokens in the window, of those from `first` on that are there.
    pub(super) fn apply(&self, first: u32, logits: &mut [f32]) {
        for &(id, count) in &self.counts {
            if let Some(logit) = logit_of(id, first, logits) {
                // A negative logit divided would become likelier.
                *logit = if *logit <= 0.0 { *logit * self.repetition } else { *logit / self.repetition };
                *logit -= count as f32 * self.frequency + self.presence;
            }
        }
    }

    /// The tokens in the window, oldest first.
    pub(super) fn recent(&self) -> impl Iterator<Item = u32> {
        self.window.iter().copied()
    }

    /// Forgets everything and takes these tokens.
    pub(super) fn restore(&mut self, recent: &[u32]) {
        self.window.clear();
        self.counts.clear();
        recent.iter().for_each(|&id| self.accept(id));
    }
}
