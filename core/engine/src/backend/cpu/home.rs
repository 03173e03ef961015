//! Where the pages of a model's sequences come from, and who counts them.

use std::sync::Arc;

#[cfg(feature = "metal")]
use super::arena::Arena;
use super::ledger::Ledger;

/// What the sequences of a model share.
#[derive(Clone)]
pub struct Home {
    /// Counts them.
    pub ledger: Arc<Ledger>,
    /// Where they lie, as long as it has room, so that a GPU sees them.
    #[cfg(feature = "metal")]
    pub arena: Option<Arc<Arena>>,
}

impl Home {
    /// With pages that lie anywhere.
    pub fn new(ledger: Arc<Ledger>) -> Self {
        Self {
            ledger,
            #[cfg(feature = "metal")]
            arena: None,
        }
    }
}
