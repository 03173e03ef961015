//! What can be wrong with generation options.

/// What can be wrong with generation options.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {}
