//! A model's dimensions, read from the metadata and checked once, so that nothing later needs to doubt them.

mod family;
mod keys;
mod rope;
mod spec;

use sprat_gguf::Contents;

use keys::Keys;
pub use rope::{Rope, RopeConfig};
pub use spec::Spec;

use crate::error::Error;

/// Largest accepted value of each dimension: far above any model that fits a phone, small enough that products of
/// two dimensions cannot overflow and that a lying file cannot ask for absurd buffers.
mod limits {
    pub const LAYERS: usize = 512;
    pub const DIM: usize = 1 << 17;
    pub const HEADS: usize = 1 << 10;
    pub const HEAD_DIM: usize = 512;
    pub const FEED_FORWARD: usize = 1 << 19;
    pub const VOCABULARY: usize = 1 << 22;
    pub const CONTEXT: usize = 1 << 24;
}

/// A model's dimensions and scales.
#[derive(Debug)]
pub struct Config {
    /// What the family fixes.
    pub spec: &'static Spec,
    /// Width of the residual stream.
    pub dim: usize,
    /// Width of the feed-forward part.
    pub feed_forward: usize,
    /// Size of the vocabulary: rows of the embedding.
    pub vocabulary: usize,
    /// Positions the model was made for.
    pub context_length: usize,
    /// Added to the mean square in every norm.
    pub norm_eps: f32,
    /// The layers, first to last.
    pub layers: Vec<LayerConfig>,
    /// The distinct rotary embeddings; layers refer to them by index.
    pub ropes: Vec<RopeConfig>,
    /// Factor on the scores of attention.
    pub attention_scale: f32,
}

/// One layer's dimensions.
#[derive(Clone, Debug)]
pub struct LayerConfig {
    /// Query heads.
    pub n_heads: usize,
    /// Key and value heads; divides `n_heads`.
    pub n_kv_heads: usize,
    /// Size of a query or key head; a multiple of 8.
    pub head_dim: usize,
    /// Size of a value head; a multiple of 8.
    pub value_dim: usize,
    /// How far back a query sees, itself included; none for all the way.
    pub window: Option<usize>,
    /// Index into [`Config::ropes`]; none where positions are not rotated.
    pub rope: Option<usize>,
}

impl Config {
    /// Reads and checks the metadata of `contents`.
    pub fn read(contents: &Contents) -> Result<Self, Error> {
        let name = contents
            .str("general.architecture")?
            .ok_or_else(|| Error::MissingKey { key: "general.architecture".to_owned() })?;
        let spec = family::find(name)?;
        let keys = Keys::new(contents, name);

        let dim = keys.dimension("embedding_length", limits::DIM)?;
        let n_layers = keys.dimension("block_count", limits::LAYERS)?;
        let feed_forward = keys.dimension("feed_forward_length", limits::FEED_FORWARD)?;
        let context_length = keys.dimension("context_length", limits::CONTEXT)?;
        let n_heads = keys.dimension("attention.head_count", limits::HEADS)?;
        let n_kv_heads = keys.dimension_or("attention.head_count_kv", n_heads, limits::HEADS)?;
        let head_dim = keys.dimension_or("attention.key_length", dim / n_heads, limits::HEAD_DIM)?;
        let value_dim = keys.dimension_or("attention.value_length", dim / n_heads, limits::HEAD_DIM)?;
        keys.require("attention.head_count_kv", n_kv_heads, n_heads % n_kv_heads == 0, "it does not divide the heads")?;
        for (key, value) in [("attention.key_length", head_dim), ("attention.value_length", value_dim)] {
            keys.require(key, value, value > 0 && value % 8 == 0, "head sizes are multiples of 8")?;
        }
        let vocabulary = vocabulary(contents)?;
        let norm_eps = keys.f32("attention.layer_norm_rms_epsilon")?;
        let norm_eps = norm_eps.ok_or_else(|| keys.missing("attention.layer_norm_rms_epsilon"))?;
        keys.require("attention.layer_norm_rms_epsilon", norm_eps, (0.0..1.0).contains(&norm_eps), "not in 0..1")?;

        let rope = keys.rope(head_dim, context_length)?;
        let layer = LayerConfig { n_heads, n_kv_heads, head_dim, value_dim, window: None, rope: Some(0) };
        Ok(Self {
            spec,
            dim,
            feed_forward,
            vocabulary,
            context_length,
            norm_eps,
            layers: vec![layer; n_layers],
            ropes: vec![rope],
            attention_scale: 1.0 / (head_dim as f32).sqrt(),
        })
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
