//! What a plan needs to know of a model: dimensions, and where the tensors lie in the file.

use crate::formats::Format;

/// A weight matrix `[rows, cols]` in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// Block format.
    pub format: Format,
    /// Outputs.
    pub rows: u32,
    /// Inputs; a multiple of the format's block.
    pub cols: u32,
    /// Place in the file, bytes; even.
    pub offset: u64,
}

impl Matrix {
    /// Bytes of all rows.
    pub fn bytes(&self) -> u64 {
        u64::from(self.rows) * u64::from(self.format.row_bytes(self.cols))
    }
}

/// A matrix, and what is added to its product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Projection {
    /// The rows.
    pub matrix: Matrix,
    /// Place of f32 `[rows]` in the file; a multiple of 4. Of q, k and v all three have one or none.
    pub bias: Option<u64>,
}

/// One layer. Vectors are f32 at a place in the file that is a multiple of 4.
#[derive(Clone, Copy, Debug)]
pub struct Layer {
    /// Norm before attention, `[dim]`.
    pub attention_norm: Option<u64>,
    /// Queries `[n_heads * head_dim, dim]`, keys `[n_kv_heads * head_dim, dim]`, values `[n_kv_heads * value_dim, dim]`.
    pub qkv: [Projection; 3],
    /// Norms of queries and keys, of the shape that [`Model::qk_norm`] says.
    pub qk_norms: Option<[u64; 2]>,
    /// How many positions a query sees at most, its own included; none for all.
    pub window: Option<u32>,
    /// Which of the model's rotary embeddings; none where the layer does not rotate.
    pub rope: Option<u32>,
    /// Output of attention, `[dim, n_heads * value_dim]`.
    pub attention_out: Projection,
    /// Norm of what attention puts out, before it is added to the stream, `[dim]`.
    pub attention_post_norm: Option<u64>,
    /// Norm before the feed-forward part, `[dim]`.
    pub feed_forward_norm: Option<u64>,
    /// Gate, `[feed_forward, dim]`.
    pub gate: Matrix,
    /// Up, `[feed_forward, dim]`, of gate's format.
    pub up: Matrix,
    /// Down, `[dim, feed_forward]`.
    pub down: Projection,
    /// Norm of what the feed-forward part puts out, `[dim]`.
    pub feed_forward_post_norm: Option<u64>,
}

/// Shapes of the norms of queries and keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QkNorm {
    /// `[head_dim]`: the same weights for every head.
    #[default]
    Shared,
    /// `[heads * head_dim]`: weights for each head.
    Each,
    /// `[heads * head_dim]`: one norm over all heads.
    Whole,
}

/// What gates go through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// `x * sigmoid(x)`.
    #[default]
    Silu,
    /// GELU's tanh form.
    GeluTanh,
}

/// Queries at position `p` are multiplied by `1 + scale * ln(floor(p / period) + 1)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Temperature {
    /// How much the logarithm counts.
    pub scale: f32,
    /// Positions of one step.
    pub period: u32,
}

/// How the cache stores keys and values. Only storing rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Cache {
    /// Half precision.
    #[default]
    F16,
    /// Blocks of 32: a half-precision scale and signed bytes.
    Q8_0,
}

impl Cache {
    /// Bytes of a key or value of `dim` values.
    pub const fn row_bytes(self, dim: u32) -> u32 {
        match self {
            Self::F16 => 2 * dim,
            Self::Q8_0 => dim / 32 * 34,
        }
    }

    /// Its rows' format, after which kernels are named.
    pub(crate) const fn format(self) -> Format {
        match self {
            Self::F16 => Format::F16,
            Self::Q8_0 => Format::Q8_0,
        }
    }
}

/// A model of the families whose layers are RMS norms, grouped-query attention with rotary embedding, and a gated
/// feed-forward part behind it.
#[derive(Clone, Debug)]
pub struct Model {
    /// Width of the residual stream; a multiple of 16.
    pub dim: u32,
    /// Width of the feed-forward part; a multiple of 16.
    pub feed_forward: u32,
    /// Query heads.
    pub n_heads: u32,
    /// Key and value heads; divides `n_heads`.
    pub n_kv_heads: u32,
    /// Size of a query or key head; a multiple of 8, at most 256.
    pub head_dim: u32,
    /// Size of a value head; a multiple of 8, at most 256.
    pub value_dim: u32,
    /// How many values of a head rotate: even.
    pub rotated: u32,
    /// How many rotary embeddings there are; 1 where all layers rotate alike.
    pub ropes: u32,
    /// Whether neighbours rotate together; else values half of `rotated` apart.
    pub adjacent: bool,
    /// Shape of the norms of queries and keys.
    pub qk_norm: QkNorm,
    /// Whether these norms follow the rotation.
    pub qk_norm_late: bool,
    /// Added to the mean square in every norm.
    pub norm_eps: f32,
    /// What gates go through.
    pub activation: Activation,
    /// Factor on the embeddings.
    pub embedding_scale: f32,
    /// Factor on what attention and the feed-forward part add to the stream.
    pub residual_scale: f32,
    /// Factor on the scores of attention.
    pub attention_scale: f32,
    /// Soft cap of the scores, `cap * tanh(x / cap)`, after their scale.
    pub attention_cap: Option<f32>,
    /// What sharpens the queries of late positions.
    pub temperature: Option<Temperature>,
    /// Factor on the logits.
    pub logit_scale: f32,
    /// Soft cap of the logits, after their scale.
    pub logit_cap: Option<f32>,
    /// How keys and values are stored.
    pub cache: Cache,
    /// Token embeddings, `[vocabulary, dim]`.
    pub embedding: Matrix,
    /// First to last.
    pub layers: Vec<Layer>,
    /// Last norm, `[dim]`.
    pub output_norm: u64,
    /// The head, `[vocabulary, dim]`; the embedding again where the file ties them.
    pub output: Matrix,
    /// Entries of the page table for each layer.
    pub max_pages: u32,
}

/// Why there is no plan for a model: what the shaders cannot do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsupported {
    /// A head's size is no multiple of 8 (of 32 with a cache of Q8_0), or above 256.
    HeadSize {
        /// Of a query, key or value head.
        size: u32,
    },
    /// More values rotate than a head has, or an odd number.
    Rotation {
        /// How many.
        values: u32,
    },
    /// The query heads cannot be shared out among the key heads.
    Heads {
        /// Query heads.
        queries: u32,
        /// Key and value heads.
        keys: u32,
    },
    /// A width is no multiple of 16.
    Width {
        /// Of the stream or of the feed-forward part.
        width: u32,
    },
    /// Gate and up of a layer have different formats.
    GateAndUp {
        /// The layer.
        layer: usize,
    },
    /// Some of q, k and v of a layer have a bias, and some have none.
    SomeBiases {
        /// The layer.
        layer: usize,
    },
    /// A layer's rotary embedding is not among the model's.
    Rope {
        /// The layer.
        layer: usize,
    },
    /// Norms over all heads that follow the rotation.
    LateWholeNorm,
}

impl std::fmt::Display for Unsupported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::HeadSize { size } => write!(f, "a head of {size} values"),
            Self::Rotation { values } => write!(f, "{values} values of a head that rotate"),
            Self::Heads { queries, keys } => write!(f, "{queries} query heads for {keys} key heads"),
            Self::Width { width } => write!(f, "a width of {width}, which is no multiple of 16"),
            Self::GateAndUp { layer } => write!(f, "gate and up of different formats in layer {layer}"),
            Self::SomeBiases { layer } => write!(f, "biases of some of q, k and v in layer {layer}"),
            Self::Rope { layer } => write!(f, "no rotary embedding for layer {layer}"),
            Self::LateWholeNorm => write!(f, "norms over all heads behind the rotation"),
        }
    }
}

impl std::error::Error for Unsupported {}

impl Model {
    /// Whether the shaders can run it.
    ///
    /// # Errors
    /// What they cannot do, the first that is found.
    pub fn check(&self) -> Result<(), Unsupported> {
        let refuse = |bad: bool, reason: Unsupported| if bad { Err(reason) } else { Ok(()) };
        let multiple = if self.cache == Cache::Q8_0 { 32 } else { 8 };
        for size in [self.head_dim, self.value_dim] {
            refuse(size == 0 || size > 256 || !size.is_multiple_of(multiple), Unsupported::HeadSize { size })?;
        }
        let values = self.rotated;
        refuse(values > self.head_dim || !values.is_multiple_of(2), Unsupported::Rotation { values })?;
        let (queries, keys) = (self.n_heads, self.n_kv_heads);
        refuse(queries == 0 || keys == 0 || !queries.is_multiple_of(keys), Unsupported::Heads { queries, keys })?;
        for width in [self.dim, self.feed_forward] {
            refuse(width == 0 || !width.is_multiple_of(16), Unsupported::Width { width })?;
        }
        for (layer, tensors) in self.layers.iter().enumerate() {
            refuse(tensors.gate.format != tensors.up.format, Unsupported::GateAndUp { layer })?;
            let biases = tensors.qkv.iter().filter(|projection| projection.bias.is_some()).count();
            refuse(![0, 3].contains(&biases), Unsupported::SomeBiases { layer })?;
            refuse(tensors.rope.is_some_and(|rope| rope >= self.ropes), Unsupported::Rope { layer })?;
            let late = tensors.qk_norms.is_some() && self.qk_norm == QkNorm::Whole && self.qk_norm_late;
            refuse(late, Unsupported::LateWholeNorm)?;
        }
        Ok(())
    }

    /// Values of one token's queries, keys and values.
    pub fn qkv_len(&self) -> u32 {
        (self.n_heads + self.n_kv_heads) * self.head_dim + self.n_kv_heads * self.value_dim
    }

    /// Bytes of one page of one layer: K `[n_kv_heads, 64, row]`, V `[n_kv_heads, 64, row]`, a row as the cache stores it.
    pub fn page_bytes(&self) -> u64 {
        let rows = self.cache.row_bytes(self.head_dim) + self.cache.row_bytes(self.value_dim);
        u64::from(self.n_kv_heads) * 64 * u64::from(rows)
    }

    /// Whether some layer norms what a block puts out.
    pub(crate) fn has_post_norms(&self) -> bool {
        self.layers.iter().any(|layer| layer.attention_post_norm.or(layer.feed_forward_post_norm).is_some())
    }
}
