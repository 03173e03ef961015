//! Rows times many tokens (`matmat.metal`): the sizes of its tile.

/// From so many tokens on a tile of 32 pays: below, its multiplications for tokens that are not there cost more than walking
/// over the weights once per 4 tokens. An estimate until it is measured on a device.
pub const FEWEST_TOKENS: u32 = 9;

/// Rows of a tile.
pub(crate) const ROWS: u32 = 64;
/// Tokens of a tile.
pub(crate) const TOKENS: u32 = 32;
/// Values of k of a step.
const K: u32 = 32;

/// Weights, inputs, scales.
pub(crate) const THREADGROUP_BYTES: u32 = 4 * (ROWS * K + TOKENS * K + TOKENS);
