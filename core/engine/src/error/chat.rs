//! What can be wrong with a chat template or its messages.

/// What can be wrong with a chat template or its messages.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChatError {}
