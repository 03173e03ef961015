//! From the logits of one position to the next token: a chain of filters and a draw.
//!
//! The chain is that of llama.cpp by default, in its order: logit bias, penalties, top-k, typical, top-p, min-p,
//! temperature, draw. A grammar that allows only some tokens will stand between bias and penalties, where all logits are
//! still there to be masked.
//!
//! The arithmetic is f64 in a fixed order with our own `exp` and `ln`: the same logits, options and seed give the same token
//! on every machine.

mod best;
mod options;
mod penalties;
mod random;
mod sample;

pub use best::Best;
pub use options::SamplerOptions;
pub use sample::{Sampler, SamplerState};
