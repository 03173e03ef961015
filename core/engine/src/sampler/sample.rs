//! The chain: which token comes next.

use std::hash::{BuildHasher, RandomState};

use sprat_kernels::math::{exp, ln};

use super::best::{self, Best, Candidate};
use super::options::SamplerOptions;
use super::penalties::{Penalties, logit_of};
use super::random::Random;
use crate::error::Error;
use crate::error::memory::room;

/// How many candidates are put in order at first where top-p or the draw may need few of very many.
const FIRST_SORTED: usize = 256;

/// Most tokens worth keeping apart from the rest: beyond, all logits are as cheap.
const MOST_KEPT: usize = 256;

/// Chooses tokens. Allocates nothing after construction.
#[derive(Debug, Clone)]
pub struct Sampler {
    options: SamplerOptions,
    seed: u64,
    random: Random,
    penalties: Penalties,
    /// What is left of the vocabulary, the likeliest first as far as it is in order.
    candidates: Vec<Candidate>,
}

/// What a sampler knows beyond its options: with it, a saved or undone session goes on with the same tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SamplerState {
    /// Where the random numbers stand.
    pub random: u64,
    /// The tokens that the penalties see, oldest first.
    pub recent: Vec<u32>,
}

impl Sampler {
    /// A sampler for a vocabulary of this size.
    ///
    /// # Errors
    /// An option out of range, or a bias for a token that does not exist; no memory for all candidates.
    pub fn new(options: SamplerOptions, vocabulary: usize) -> Result<Sampler, Error> {
        options.validate(vocabulary)?;
        let seed = options.seed.unwrap_or_else(|| RandomState::new().hash_one(0));
        let candidates = match (options.temperature, options.top_k) {
            (0.0, _) => 0,
            (_, 0) => vocabulary,
            (_, k) => k.min(vocabulary),
        };
        Ok(Sampler {
            seed,
            random: Random::new(seed),
            penalties: Penalties::new(&options)?,
            candidates: room(candidates, "candidates")?,
            options,
        })
    }

    /// The options it was made with.
    pub fn options(&self) -> &SamplerOptions {
        &self.options
    }

    /// The seed in use: the given one, or the one that was taken from the system.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Takes a token into the penalties' window: of the prompt, or the one that was chosen.
    pub fn accept(&mut self, id: u32) {
        self.penalties.accept(id);
    }

    /// Adds bias and penalties to the logits of the tokens from `first` on.
    pub fn adjust(&self, first: u32, logits: &mut [f32]) {
        for &(id, bias) in &self.options.logit_bias {
            if let Some(logit) = logit_of(id, first, logits) {
                *logit += bias;
            }
        }
        self.penalties.apply(first, logits);
    }

    /// Whether [`Sampler::adjust`] does anything.
    #[cfg(feature = "metal")]
    pub(crate) fn adjusts(&self) -> bool {
        self.options.penalizes() || !self.options.logit_bias.is_empty()
    }

    /// How many of the likeliest tokens, after [`Sampler::adjust`], decide the choice; none if it takes all of them, or too
    /// many to be kept apart.
    pub fn decisive(&self) -> Option<usize> {
        match (self.options.temperature, self.options.top_k) {
            (0.0, _) => Some(1),
            (_, k @ 1..=MOST_KEPT) => Some(k),
            _ => None,
        }
    }

    /// Chooses the next token. Changes `logits` `[vocabulary]` by bias and penalties.
    ///
    /// A logit that is not a number is never chosen; among infinite ones the choice is even. `None` if no logit is a
    /// number above minus infinity. Above temperature 0 each call draws exactly one random number.
    pub fn sample(&mut self, logits: &mut [f32]) -> Option<u32> {
        self.adjust(0, logits);
        if self.options.temperature == 0.0 {
            return likeliest(logits);
        }
        self.top_k(logits);
        self.choose()
    }

    /// The same choice from the [`decisive`](Sampler::decisive) number of tokens of each part of the vocabulary, whose
    /// logits were adjusted.
    pub fn sample_best<'a>(&mut self, parts: impl Iterator<Item = &'a Best>) -> Option<u32> {
        self.candidates.clear();
        parts.for_each(|part| self.candidates.extend(part.candidates()));
        self.sort_all();
        if self.options.temperature == 0.0 {
            return self.candidates.first().map(|candidate| candidate.id);
        }
        self.candidates.truncate(self.options.top_k);
        self.choose()
    }

    /// Chooses from the candidates.
    fn choose(&mut self) -> Option<u32> {
        let draw = self.random.unit();
        let max = self.candidates.iter().map(|candidate| candidate.logit).reduce(f32::max)?;
        self.weigh(max, 1.0);
        if self.options.typical_p < 1.0 {
            self.typical(max);
        }
        if self.options.top_p < 1.0 {
            self.top_p();
        }
        if self.options.min_p > 0.0 {
            // The likeliest of those left: the typical filter may have dropped the likeliest of all.
            let greatest = self.candidates.iter().map(|candidate| candidate.weight).fold(0.0, f64::max);
            let least = f64::from(self.options.min_p) * greatest;
            self.candidates.retain(|candidate| candidate.weight >= least);
        }
        if self.options.temperature != 1.0 {
            self.weigh(max, f64::from(self.options.temperature));
        }
        self.draw(draw)
    }

    /// What must be kept to go on with the same tokens later.
    pub fn state(&self) -> SamplerState {
        SamplerState { random: self.random.counter, recent: self.penalties.recent().collect() }
    }

    /// Goes back to a state. Of more tokens than the window holds, the last ones count.
    pub fn restore(&mut self, state: &SamplerState) {
        self.random.counter = state.random;
        self.penalties.restore(&state.recent);
    }

    /// Fills the candidates: the `top_k` likeliest in order, or all without order. Leaves out what cannot be chosen.
    fn top_k(&mut self, logits: &[f32]) {
        self.candidates.clear();
        if self.options.top_k == 0 {
            self.candidates.extend(best::possible(0, logits));
            return;
        }
        let mut best = Best::reusing(std::mem::take(&mut self.candidates));
        best.offer(self.options.top_k, 0, logits);
        self.candidates = best.into_sorted();
    }

    /// Gives every candidate `exp((logit - max) / temperature)`; of infinite logits 1 and of the others 0.
    fn weigh(&mut self, max: f32, temperature: f64) {
        for candidate in &mut self.candidates {
            candidate.weight = match candidate.logit == max {
                true => 1.0,
                false => exp((f64::from(candidate.logit) - f64::from(max)) / temperature),
            };
        }
    }

    /// Keeps the candidates nearest to the expected surprise until they reach `typical_p`.
    fn typical(&mut self, max: f32) {
        self.sort_all();
        let total: f64 = self.candidates.iter().map(|candidate| candidate.weight).sum();
        let log_total = ln(total);
        let surprise = |candidate: &Candidate| match candidate.logit == max {
            true => log_total,
            false => log_total - (f64::from(candidate.logit) - f64::from(max)),
        };
        let possible = self.candidates.iter().filter(|candidate| candidate.weight > 0.0);
        let expected: f64 = possible.map(|candidate| candidate.weight / total * surprise(candidate)).sum();
        let distance = |candidate: &Candidate| (surprise(candidate) - expected).abs();
        self.candidates.sort_unstable_by(|a, b| distance(a).total_cmp(&distance(b)).then(a.order(b)));
        let wanted = f64::from(self.options.typical_p) * total;
        let mut reached = 0.0;
        let last = self.candidates.iter().position(|candidate| {
            reached += candidate.weight;
            reached > wanted
        });
        if let Some(last) = last {
            self.candidates.truncate(last + 1);
        }
        self.sort_all();
    }

    /// Keeps the likeliest candidates until they reach `top_p`.
    fn top_p(&mut self) {
        // Added up in the order they stand in, which depends on nothing but the logits.
        let total: f64 = self.candidates.iter().map(|candidate| candidate.weight).sum();
        let wanted = f64::from(self.options.top_p) * total;
        let mut reached = 0.0;
        let mut sorted = 0;
        for index in 0..self.candidates.len() {
            if index == sorted {
                sorted = self.sort_more(sorted);
            }
            reached += self.candidates[index].weight;
            if reached >= wanted {
                self.candidates.truncate(index + 1);
                return;
            }
        }
    }

    /// Puts candidates from `sorted` on in order, more each time, and tells how many are.
    fn sort_more(&mut self, sorted: usize) -> usize {
        let rest = &mut self.candidates[sorted..];
        let more = (sorted * 4).max(FIRST_SORTED);
        if more < rest.len() {
            rest.select_nth_unstable(more);
        }
        let more = more.min(rest.len());
        rest[..more].sort_unstable();
        sorted + more
    }

    fn sort_all(&mut self) {
        self.candidates.sort_unstable();
    }

    /// The candidate at which the running sum of weights passes `draw` (0 to 1) of their total.
    fn draw(&self, draw: f64) -> Option<u32> {
        let total: f64 = self.candidates.iter().map(|candidate| candidate.weight).sum();
        let wanted = draw * total;
        let mut reached = 0.0;
        let chosen = self.candidates.iter().find(|candidate| {
            reached += candidate.weight;
            reached > wanted
        });
        // Rounding may leave the sum at `wanted`; then it is the last that has any weight.
        let chosen = chosen.or_else(|| self.candidates.iter().rev().find(|candidate| candidate.weight > 0.0));
        chosen.map(|candidate| candidate.id)
    }
}

/// The first of the greatest logits.
fn likeliest(logits: &[f32]) -> Option<u32> {
    let mut best = None;
    let mut greatest = f32::NEG_INFINITY;
    for (&logit, id) in logits.iter().zip(0..) {
        if logit > greatest {
            (best, greatest) = (Some(id), logit);
        }
    }
    best
}

#[cfg(test)]
mod tests;
