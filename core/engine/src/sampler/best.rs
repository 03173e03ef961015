//! The likeliest tokens of logits that come piece by piece and need never all be there.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// A token that may come next.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub id: u32,
    pub logit: f32,
    /// Unnormalized probability, and in the typical filter the distance from the expected surprise.
    pub weight: f64,
}

impl Candidate {
    /// The likelier first, then the lower id: an order without ties.
    pub fn order(&self, other: &Candidate) -> Ordering {
        other.logit.total_cmp(&self.logit).then(self.id.cmp(&other.id))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Candidate) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Candidate {}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Candidate) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Candidate {
    fn cmp(&self, other: &Candidate) -> Ordering {
        self.order(other)
    }
}

/// The tokens that can be chosen at all, of those from `first` on.
pub(super) fn possible(first: u32, logits: &[f32]) -> impl Iterator<Item = Candidate> {
    // Not a number is not above minus infinity. Added to zero, minus zero is zero: they are equally likely.
    let all = logits.iter().zip(first..).map(|(&logit, id)| Candidate { id, logit: logit + 0.0, weight: 0.0 });
    all.filter(|candidate| candidate.logit > f32::NEG_INFINITY)
}

/// The likeliest tokens of those offered, by ascending id.
#[derive(Debug, Default)]
pub struct Best(BinaryHeap<Candidate>);

impl Best {
    /// None yet, in memory that was used before.
    pub(super) fn reusing(memory: Vec<Candidate>) -> Best {
        Best(BinaryHeap::from(memory))
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Takes up to `most` tokens in all, of those from `first` on with these logits. Ids must ascend from offer to offer.
    pub fn offer(&mut self, most: usize, first: u32, logits: &[f32]) {
        // The heap's root is the unlikeliest of the best so far: most tokens cost one comparison with it.
        for candidate in possible(first, logits) {
            if self.0.len() < most {
                self.0.push(candidate);
            } else if let Some(mut root) = self.0.peek_mut()
                && candidate.logit > root.logit
            {
                *root = candidate;
            }
        }
    }

    /// The tokens, in no order.
    pub(super) fn candidates(&self) -> impl Iterator<Item = Candidate> {
        self.0.iter().copied()
    }

    /// The tokens, the likeliest first.
    pub(super) fn into_sorted(self) -> Vec<Candidate> {
        self.0.into_sorted_vec()
    }
}
