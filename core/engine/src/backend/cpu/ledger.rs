//! What a model's sequences have allocated, counted together, and the limit an app sets on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::Error;

/// Counts anonymous bytes.
#[derive(Debug)]
pub struct Ledger {
    limit: usize,
    used: AtomicUsize,
}

impl Default for Ledger {
    /// Without a limit.
    fn default() -> Self {
        Self { limit: usize::MAX, used: AtomicUsize::new(0) }
    }
}

/// Bytes that are counted until it is dropped.
#[derive(Debug)]
pub struct Charge {
    ledger: Arc<Ledger>,
    bytes: usize,
}

impl Ledger {
    /// With a limit in bytes.
    pub fn new(limit: usize) -> Self {
        Self { limit, ..Self::default() }
    }

    /// Bytes that are counted now.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Counts `bytes`, or refuses what would exceed the limit.
    pub fn charge(self: &Arc<Self>, what: &'static str, bytes: usize) -> Result<Charge, Error> {
        let add = |used: usize| used.checked_add(bytes).filter(|&sum| sum <= self.limit);
        match self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add) {
            Ok(_) => Ok(Charge { ledger: self.clone(), bytes }),
            Err(used) => Err(Error::OverBudget { what, bytes, used, limit: self.limit }),
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.ledger.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_exceeds_the_limit_is_refused_and_what_is_given_back_counts_no_more() {
        let ledger = Arc::new(Ledger::new(100));
        let first = ledger.charge("a", 60).expect("within the limit");
        assert!(matches!(
            ledger.charge("b", 41),
            Err(Error::OverBudget { what: "b", bytes: 41, used: 60, limit: 100 })
        ));
        assert!(ledger.charge("c", usize::MAX).is_err());
        let second = ledger.charge("d", 40).expect("just within");
        drop(first);
        assert_eq!(ledger.used(), 40);
        drop(second);
        assert_eq!(ledger.used(), 0);
    }
}
