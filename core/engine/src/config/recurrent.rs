//! Layers that carry a state from token to token instead of keys and values.

use super::keys::Keys;
use super::limits;
use crate::error::Error;

/// Most taps of a convolution; models have 3 or 4.
pub const MAX_TAPS: usize = 8;

/// Largest row of a state; models have 64 to 256.
const MAX_STATE_SIZE: usize = 1024;

/// What a layer without attention does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecurrentKind {
    /// A short convolution between two gates (LFM2).
    Convolution,
    /// A gated delta net. Source: arXiv 2412.06464.
    DeltaNet,
    /// A selective state space. Source: arXiv 2405.21060.
    StateSpace,
}

/// A layer's dimensions. Its state is the last inputs of the convolution, `[taps - 1, channels]`, then the matrices of the
/// heads, `[heads, head_dim, state_size]`.
#[derive(Clone, Debug, PartialEq)]
pub struct RecurrentConfig {
    /// What it does.
    pub kind: RecurrentKind,
    /// Inputs of the convolution for each output.
    pub taps: usize,
    /// Channels of the convolution.
    pub channels: usize,
    /// Heads; 0 in a convolution.
    pub heads: usize,
    /// Rows of a head's state: the size of what it puts out.
    pub head_dim: usize,
    /// Columns of a head's state: the size of what writes and reads it.
    pub state_size: usize,
    /// How many writers and readers there are; divides `heads`.
    pub groups: usize,
    /// Where its state begins in the blob of all layers.
    pub state_at: usize,
}

impl RecurrentConfig {
    /// The layers of `spec`'s recurrent kind in this file.
    pub fn read(kind: RecurrentKind, keys: &Keys<'_>, dim: usize) -> Result<Self, Error> {
        if kind == RecurrentKind::Convolution {
            let taps = Self::taps(keys, "shortconv.l_cache")?;
            let none = Self { kind, taps, channels: dim, heads: 0, head_dim: 0, state_size: 0, groups: 0, state_at: 0 };
            return Ok(none);
        }
        let taps = Self::taps(keys, "ssm.conv_kernel")?;
        let state_size = keys.dimension("ssm.state_size", MAX_STATE_SIZE)?;
        let groups = keys.dimension("ssm.group_count", limits::HEADS)?;
        let heads = keys.dimension("ssm.time_step_rank", limits::HEADS)?;
        let inner = keys.dimension("ssm.inner_size", limits::DIM)?;
        keys.require("ssm.inner_size", inner, inner.is_multiple_of(heads), "the heads do not divide it")?;
        keys.require("ssm.time_step_rank", heads, heads.is_multiple_of(groups), "the groups do not divide it")?;
        let channels = inner + 2 * groups * state_size;
        Ok(Self { kind, taps, channels, heads, head_dim: inner / heads, state_size, groups, state_at: 0 })
    }

    fn taps(keys: &Keys<'_>, key: &str) -> Result<usize, Error> {
        let taps = keys.dimension(key, MAX_TAPS)?;
        keys.require(key, taps, taps > 1, "a convolution needs two taps")?;
        Ok(taps)
    }

    /// Whether layer `index` of a family is recurrent, where the file does not list them. Most say it by having no key heads.
    pub fn is_at(kind: RecurrentKind, keys: &Keys<'_>, index: usize, n_kv_heads: usize) -> Result<bool, Error> {
        match kind {
            RecurrentKind::DeltaNet => {
                let interval = keys.dimension_or("full_attention_interval", 4, limits::LAYERS)?;
                Ok(!(index + 1).is_multiple_of(interval))
            }
            _ => Ok(n_kv_heads == 0),
        }
    }

    /// Size of what the layer puts out, before its last projection.
    pub fn width(&self) -> usize {
        if self.kind == RecurrentKind::Convolution { self.channels } else { self.heads * self.head_dim }
    }

    /// Where the heads' matrices begin in the blob.
    pub fn matrices_at(&self) -> usize {
        self.state_at + (self.taps - 1) * self.channels
    }

    /// Where the layer's state ends.
    pub fn state_end(&self) -> usize {
        self.matrices_at() + self.heads * self.head_dim * self.state_size
    }

    /// Which group a head belongs to.
    pub fn group_of(&self, head: usize) -> usize {
        if self.kind == RecurrentKind::DeltaNet { head % self.groups } else { head / (self.heads / self.groups) }
    }

    /// Channels where what reads the state begins (queries, C), where what writes it (keys, B), and where what is written
    /// (values, x).
    pub fn parts(&self) -> [usize; 3] {
        let (inner, all) = (self.heads * self.head_dim, self.groups * self.state_size);
        if self.kind == RecurrentKind::DeltaNet { [0, all, 2 * all] } else { [inner + all, inner, 0] }
    }
}
