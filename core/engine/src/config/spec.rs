//! What can differ between model families, as data.

use sprat_kernels::{Activation, Pairing};

use super::experts::ExpertsSpec;
use super::recurrent::RecurrentKind;

/// The facts of a family that its files do not state. What the tensors themselves show (biases, tied embeddings,
/// fused projections, shapes of q/k norms, a plain or a gated feed-forward part) is read from the tensors.
#[derive(Debug)]
pub struct Spec {
    /// `general.architecture` of its files.
    pub name: &'static str,
    /// Which norm the layers use.
    pub norm: NormKind,
    /// Where the layers have norms.
    pub norms: NormNames,
    /// Whether attention and feed-forward part read the same stream.
    pub block: Block,
    /// Whether q and k are normed after they are rotated and not before.
    pub qk_norm_after_rope: bool,
    /// Which values of a head rotate together.
    pub pairing: Pairing,
    /// Which layers rotate.
    pub rotation: Rotation,
    /// Which layers see only the last so many positions.
    pub windows: Option<Windows>,
    /// Whether `attention.temperature_scale` sharpens the queries of late positions.
    pub temperature: bool,
    /// The nonlinearity of the feed-forward part.
    pub activation: Activation,
    /// Whether gate and up are clamped before they are multiplied, as gpt-oss does (`activation` is not used then).
    pub clamped_gate: bool,
    /// What layers without attention do, in families that have some.
    pub recurrent: Option<RecurrentKind>,
    /// Whether values are normed, without weights, head by head.
    pub value_norm: bool,
    /// Whether the last layers use the keys and values of earlier ones.
    pub shared_kv: Option<SharedKv>,
    /// Which layers let only the largest gates of the feed-forward part through.
    pub sparsity: Option<Sparsity>,
    /// Whether there are several streams, `altup.num_inputs`, of which each layer works on the first.
    pub parallel_streams: bool,
    /// Whether queries bring a gate for the output of attention, each head's behind it in `attn_q`.
    pub gated_attention: bool,
    /// How experts are chosen and weighted, in files that have some.
    pub experts: ExpertsSpec,
    /// Factor on the embeddings.
    pub embedding_scale: Factor,
    /// Factor on what each block adds to the stream.
    pub residual_scale: Factor,
    /// Factor on the scores of attention.
    pub attention_scale: Factor,
    /// Factor on the logits.
    pub logit_scale: Factor,
    /// Soft cap of the scores of attention, after their scale.
    pub attention_cap: Cap,
    /// Soft cap of the logits, after their scale.
    pub logit_cap: Cap,
}

/// A kind of normalization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// Root mean square only. Source: arXiv 1910.07467.
    Rms,
    /// Mean and variance, with a bias where the file has one. Source: arXiv 1607.06450.
    Layer,
}

impl NormKind {
    /// The metadata key of the number that is added under the root.
    pub fn eps_key(self) -> &'static str {
        match self {
            Self::Rms => "attention.layer_norm_rms_epsilon",
            Self::Layer => "attention.layer_norm_epsilon",
        }
    }
}

/// Names of a layer's norms in the file; none where the family has no norm in that place.
#[derive(Clone, Copy, Debug)]
pub struct NormNames {
    /// On the stream, before attention reads it.
    pub before_attention: Option<&'static str>,
    /// On what attention puts out, before it is added to the stream.
    pub after_attention: Option<&'static str>,
    /// On the stream, before the feed-forward part reads it.
    pub before_feed_forward: Option<&'static str>,
    /// On what the feed-forward part puts out.
    pub after_feed_forward: Option<&'static str>,
}

impl NormNames {
    /// Before each block.
    pub const BEFORE: Self = Self {
        before_attention: Some("attn_norm"),
        after_attention: None,
        before_feed_forward: Some("ffn_norm"),
        after_feed_forward: None,
    };
    /// After each block.
    pub const AFTER: Self = Self {
        before_attention: None,
        after_attention: Some("post_attention_norm"),
        before_feed_forward: None,
        after_feed_forward: Some("post_ffw_norm"),
    };
    /// Before and after each block.
    pub const AROUND: Self = Self {
        after_attention: Self::AFTER.after_attention,
        after_feed_forward: Self::AFTER.after_feed_forward,
        ..Self::BEFORE
    };
}

/// How attention and feed-forward part follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// The feed-forward part reads the stream with attention's output in it.
    Sequential,
    /// Both read the same stream, through one norm, in layers that have no `ffn_norm`.
    ParallelWithoutNorm,
    /// Both read the same stream, each through its own norm, if the key `use_parallel_residual` says so.
    ParallelByKey,
}

/// Which layers rotate queries and keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// All.
    All,
    /// None: positions are embedded, or do not matter.
    None,
    /// All but those with `index % period == period - 1`.
    Except {
        /// Length of the pattern.
        period: usize,
    },
    /// All, unless the key `rope.scaling.finetuned` is false: then none.
    BySwitch,
}

/// Which layers see only the last `attention.sliding_window` positions: all but those with
/// `index % period == period - 1`.
#[derive(Clone, Copy, Debug)]
pub struct Windows {
    /// Length of the pattern.
    pub period: usize,
    /// The width where the file does not state one; none for no windows then.
    pub default_width: Option<usize>,
    /// What sets the rotary embedding of these layers apart.
    pub rope: WindowRope,
    /// Whether `attention.sliding_window_pattern` lists the layers instead, and their heads have sizes of their own.
    pub listed: bool,
    /// Number of layers of the only size of the family that has windows.
    pub only_with_layers: Option<usize>,
}

/// Which layers have no keys and values of their own: they use those of the last layer of their kind, with a window or
/// without, that has some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharedKv {
    /// The last `attention.shared_kv_layers`.
    ByKey,
    /// Those from so many on, whatever the file says.
    From(usize),
}

/// Gates of the feed-forward part that are not so many standard deviations above their mean become 0, the others lose
/// that much. The key `activation_sparsity_scale` lists the deviations by layer, 0 where all gates pass.
#[derive(Clone, Copy, Debug)]
pub struct Sparsity {
    /// Where the file has no list, this many first layers do so.
    pub layers: usize,
    /// With so many deviations.
    pub deviations: f32,
}

/// How layers with a window rotate, compared with those without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowRope {
    /// Alike.
    Same,
    /// With the base `rope.freq_base_swa` (10000 by default), not stretched.
    OwnBase,
    /// With the same base, not stretched.
    Plain,
    /// Only they do.
    Alone,
}

/// A number by which a family multiplies something.
#[derive(Clone, Copy, Debug)]
pub enum Factor {
    /// Fixed by the family, given the model's sizes.
    Fixed(fn(&Sizes) -> f32),
    /// The value of a metadata key.
    Key {
        /// The key.
        key: &'static str,
        /// Whether the factor is the inverse of the value.
        inverse: bool,
        /// The factor where the file does not have the key.
        default: fn(&Sizes) -> f32,
    },
}

impl Factor {
    /// No factor.
    pub const ONE: Self = Self::Fixed(|_| 1.0);
}

/// Sizes on which factors depend.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Width of the residual stream.
    pub dim: usize,
    /// Layers.
    pub layers: usize,
    /// Query heads.
    pub n_heads: usize,
    /// Size of a query head.
    pub head_dim: usize,
}

impl Sizes {
    /// `1 / sqrt(head_dim)`: the usual scale of attention.
    pub fn inverse_root_of_head(&self) -> f32 {
        1.0 / (self.head_dim as f32).sqrt()
    }
}

/// A soft cap, `cap * tanh(x / cap)`.
#[derive(Clone, Copy, Debug)]
pub enum Cap {
    /// The family has none.
    None,
    /// The value of a metadata key, or the default.
    Key {
        /// The key.
        key: &'static str,
        /// The cap where the file does not have the key.
        default: Option<f32>,
    },
}
