//! A model's dimensions, read from the metadata and checked once, so that nothing later needs to doubt them.

mod experts;
mod family;
mod keys;
mod layers;
mod recurrent;
mod rope;
mod spec;

use sprat_gguf::Contents;
use sprat_kernels::KvFormat;

pub use experts::{ExpertsConfig, Routing};
use keys::Keys;
pub use layers::LayerConfig;
pub use recurrent::{MAX_TAPS, RecurrentConfig, RecurrentKind};
pub use rope::{Rope, RopeConfig};
pub use spec::{Block, NormKind, Spec};

use crate::error::Error;
use spec::Sizes;

/// Largest accepted value of each dimension: far above any model that fits a phone, small enough that products of
/// two dimensions cannot overflow and that a lying file cannot ask for absurd buffers.
mod limits {
    pub const LAYERS: usize = 512;
    pub const DIM: usize = 1 << 17;
    pub const HEADS: usize = 1 << 10;
    pub const HEAD_DIM: usize = 512;
    pub const FEED_FORWARD: usize = 1 << 19;
    pub const VOCABULARY: usize = 1 << 22;
    pub const STREAMS: usize = super::MAX_STREAMS;
    pub const CONTEXT: usize = 1 << 24;
}

/// Most residual streams side by side.
pub const MAX_STREAMS: usize = 8;

/// A model's dimensions and scales.
#[derive(Debug)]
pub struct Config {
    /// What the family fixes.
    pub spec: &'static Spec,
    /// Width of the residual stream.
    pub dim: usize,
    /// The mixture of experts that takes the place of the feed-forward part or stands beside it.
    pub experts: Option<ExpertsConfig>,
    /// Size of the input that each layer has of its own for each token; 0 for none.
    pub per_layer_input: usize,
    /// Residual streams side by side; layers work on the first.
    pub streams: usize,
    /// Size of the vocabulary: rows of the embedding.
    pub vocabulary: usize,
    /// Positions the model was made for.
    pub context_length: usize,
    /// Added to the mean square in every norm.
    pub norm_eps: f32,
    /// The layers, first to last.
    pub layers: Vec<LayerConfig>,
    /// Layers behind the last that only guess at further tokens. They are left out.
    pub extra_layers: usize,
    /// Floats that the layers without attention carry from token to token, all together.
    pub state_len: usize,
    /// The distinct rotary embeddings; layers refer to them by index.
    pub ropes: Vec<RopeConfig>,
    /// Factor on the embeddings.
    pub embedding_scale: f32,
    /// Factor on what each block adds to the residual stream.
    pub residual_scale: f32,
    /// Factor on the scores of attention.
    pub attention_scale: f32,
    /// Soft cap of the scores, after their scale.
    pub attention_cap: Option<f32>,
    /// Sharpens the queries of late positions.
    pub temperature: Option<Temperature>,
    /// Factor on the logits.
    pub logit_scale: f32,
    /// Soft cap of the logits, after their scale.
    pub logit_cap: Option<f32>,
    /// Whether attention and feed-forward part read the same stream, each through its own norm.
    pub parallel: bool,
}

/// Queries at position `p` are multiplied by `1 + scale * ln(floor(p / period) + 1)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Temperature {
    /// How much the logarithm counts.
    pub scale: f64,
    /// Positions of one step: the context length of the training.
    pub period: usize,
}

impl Temperature {
    /// The factor of a position.
    pub fn at(&self, position: usize) -> f32 {
        (1.0 + self.scale * sprat_kernels::math::ln((position / self.period) as f64 + 1.0)) as f32
    }
}

impl Config {
    /// Reads and checks the metadata of `contents`, whose arrays lie in `file`.
    pub fn read(contents: &Contents, file: &[u8]) -> Result<Self, Error> {
        let name = contents
            .str("general.architecture")?
            .ok_or_else(|| Error::MissingKey { key: "general.architecture".to_owned() })?;
        let spec = family::find(name)?;
        let keys = Keys::new(contents, file, name);

        let dim = keys.dimension("embedding_length", limits::DIM)?;
        let all_layers = keys.dimension("block_count", limits::LAYERS)?;
        let extra_layers = keys.count("nextn_predict_layers", all_layers - 1)?.unwrap_or(0);
        let n_layers = all_layers - extra_layers;
        let widths = keys.count_per_layer("feed_forward_length", n_layers, limits::FEED_FORWARD)?;
        let width = widths.as_ref().and_then(|widths| widths.first().copied());
        let experts = ExpertsConfig::read(spec, &keys, width)?;
        let widths = match (widths, &experts) {
            (Some(widths), _) => widths,
            (None, Some(experts)) => vec![experts.feed_forward; n_layers],
            (None, None) => return Err(keys.missing("feed_forward_length")),
        };
        for &width in &widths {
            keys.require("feed_forward_length", width, width > 0, "outside the accepted range")?;
        }
        let context_length = keys.dimension("context_length", limits::CONTEXT)?;
        let n_heads = keys.dimension("attention.head_count", limits::HEADS)?;
        let kv_heads = keys.count_per_layer("attention.head_count_kv", n_layers, limits::HEADS)?;
        let kv_heads = kv_heads.unwrap_or(vec![n_heads; n_layers]);
        let head_dim = keys.dimension_or("attention.key_length", dim / n_heads, limits::HEAD_DIM)?;
        let value_dim = keys.dimension_or("attention.value_length", dim / n_heads, limits::HEAD_DIM)?;
        for &n in &kv_heads {
            // Recurrent layers have none.
            let fits = n_heads.checked_rem(n).map_or(spec.recurrent.is_some(), |rest| rest == 0);
            keys.require("attention.head_count_kv", n, fits, "it does not divide the heads")?;
        }
        for (key, value) in [("attention.key_length", head_dim), ("attention.value_length", value_dim)] {
            keys.require(key, value, value > 0 && value % 8 == 0, "head sizes are multiples of 8")?;
        }
        let vocabulary = vocabulary(contents)?;
        let eps_key = spec.norm.eps_key();
        let norm_eps = keys.f32(eps_key)?.ok_or_else(|| keys.missing(eps_key))?;
        keys.require(eps_key, norm_eps, (0.0..1.0).contains(&norm_eps), "not in 0..1")?;

        let layer = LayerConfig {
            n_heads,
            n_kv_heads: 0,
            head_dim,
            value_dim,
            window: None,
            rope: Some(0),
            feed_forward: 0,
            sparsity: None,
            kv_of: None,
            recurrent: None,
        };
        let rope = keys.rope(head_dim, context_length)?;
        let temperature = keys.temperature(spec.temperature, rope.original_context)?;
        let (mut layers, ropes) = layers::plan(spec, &keys, &layer, n_layers, rope)?;
        for ((layer, &n_kv_heads), &feed_forward) in layers.iter_mut().zip(&kv_heads).zip(&widths) {
            (layer.n_kv_heads, layer.feed_forward) = (n_kv_heads, feed_forward);
        }
        layers::share_kv(spec, &keys, &mut layers)?;
        layers::make_sparse(spec, &keys, &mut layers)?;
        let state_len = layers::make_recurrent(spec, &keys, dim, &mut layers)?;
        let streams = if spec.parallel_streams {
            // Only the first is ever the one that layers work on.
            let active = keys.count("altup.active_idx", limits::STREAMS)?.unwrap_or(0);
            keys.require("altup.active_idx", active, active == 0, "layers work on the first stream")?;
            let streams = keys.dimension_or("altup.num_inputs", 4, limits::STREAMS)?;
            keys.require("altup.num_inputs", streams, streams > 1, "outside the accepted range")?;
            streams
        } else {
            1
        };
        let sizes = Sizes { dim, layers: n_layers, n_heads, head_dim };
        Ok(Self {
            spec,
            dim,
            experts,
            per_layer_input: keys.count("embedding_length_per_layer_input", limits::DIM)?.unwrap_or(0),
            streams,
            vocabulary,
            context_length,
            norm_eps,
            layers,
            extra_layers,
            state_len,
            ropes,
            embedding_scale: keys.factor(spec.embedding_scale, &sizes)?,
            residual_scale: keys.factor(spec.residual_scale, &sizes)?,
            attention_scale: keys.factor(spec.attention_scale, &sizes)?,
            attention_cap: keys.cap(spec.attention_cap)?,
            temperature,
            logit_scale: keys.factor(spec.logit_scale, &sizes)?,
            logit_cap: keys.cap(spec.logit_cap)?,
            parallel: spec.block == Block::ParallelByKey && keys.bool_or("use_parallel_residual", true)?,
        })
    }
}

impl Config {
    /// Bytes of the KV cache for each position.
    pub fn kv_bytes_per_position(&self, format: KvFormat) -> usize {
        let words = |l: &LayerConfig| l.n_kv_heads * (format.row_len(l.head_dim) + format.row_len(l.value_dim));
        self.layers.iter().filter(|layer| layer.has_kv()).map(|layer| 2 * words(layer)).sum()
    }
}

/// Rows of the embedding; every later shape check of embedding and output compares with it.
fn vocabulary(contents: &Contents) -> Result<usize, Error> {
    let name = "token_embd.weight";
    let tensor = contents.tensor(name).ok_or_else(|| Error::MissingTensor { name: name.to_owned() })?;
    let rows = tensor.shape.get(1).copied().unwrap_or(1);
    match usize::try_from(rows) {
        Ok(rows) if (1..=limits::VOCABULARY).contains(&rows) => Ok(rows),
        _ => Err(Error::BadKey { key: name.to_owned(), value: rows.to_string(), reason: "no usable number of rows" }),
    }
}
