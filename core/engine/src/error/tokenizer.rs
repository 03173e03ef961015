//! What can be wrong with a vocabulary or a text.

/// What can be wrong with a vocabulary or a text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {}
