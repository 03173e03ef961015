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

/// One of q, k, v.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Projection {
    /// The rows.
    pub matrix: Matrix,
    /// Place of f32 `[rows]` in the file; a multiple of 4. All three projections have one or none.
    pub bias: Option<u64>,
}

/// One layer. Vectors are f32 at a place in the file that is a multiple of 4.
#[derive(Clone, Copy, Debug)]
pub struct Layer {
    /// Norm before attention, `[dim]`.
    pub attention_norm: u64,
    /// Queries `[n_heads * head_dim, dim]`, keys `[n_kv_heads * head_dim, dim]`, values `[n_kv_heads * value_dim, dim]`.
    pub qkv: [Projection; 3],
    /// Norms of each query and each key head, `[head_dim]`.
    pub qk_norms: Option<[u64; 2]>,
    /// Output of attention, `[dim, n_heads * value_dim]`.
    pub attention_out: Matrix,
    /// Norm before the feed-forward part, `[dim]`.
    pub feed_forward_norm: u64,
    /// Gate, `[feed_forward, dim]`.
    pub gate: Matrix,
    /// Up, `[feed_forward, dim]`, of gate's format.
    pub up: Matrix,
    /// Down, `[dim, feed_forward]`.
    pub down: Matrix,
}

/// A model of the families whose layers are RMS norm, rotary grouped-query attention and a gated SiLU feed-forward part.
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
    /// Whether neighbours rotate together; else values half of `rotated` apart.
    pub adjacent: bool,
    /// Added to the mean square in every norm.
    pub norm_eps: f32,
    /// Factor on the scores of attention.
    pub attention_scale: f32,
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

impl Model {
    /// Values of one token's queries, keys and values.
    pub fn qkv_len(&self) -> u32 {
        (self.n_heads + self.n_kv_heads) * self.head_dim + self.n_kv_heads * self.value_dim
    }

    /// Bytes of one page of one layer, as f16: K `[n_kv_heads, 64, head_dim]`, V `[n_kv_heads, 64, value_dim]`.
    pub fn page_bytes(&self) -> u64 {
        u64::from(self.n_kv_heads) * 64 * 2 * u64::from(self.head_dim + self.value_dim)
    }
}
