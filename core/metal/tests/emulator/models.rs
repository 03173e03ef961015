//! Models of two layers whose tensors hold nothing: for the dispatches of heads, embedding and best tokens.

use sprat_metal::{
    Activation, Binding, Buffer, Cache, Dispatch, Format, Layer, Matrix, Model, Pass, Projection, QkNorm, Temperature,
};

/// What of a model attention depends on.
#[derive(Clone, Copy, Debug)]
pub struct Heads {
    pub n_heads: u32,
    pub n_kv_heads: u32,
    pub head_dim: u32,
    pub value_dim: u32,
    /// How many values rotate; 0 where the layers do not.
    pub rotated: u32,
    pub adjacent: bool,
    /// Places of q, k and v biases.
    pub biases: Option<[u64; 3]>,
    /// Places of the norms of query and key heads, and their shape.
    pub norms: Option<([u64; 2], QkNorm)>,
    pub norm_late: bool,
    pub cache: Cache,
    pub window: Option<u32>,
    pub cap: Option<f32>,
    pub temperature: Option<Temperature>,
}

/// One head of 16 values.
pub const PLAIN: Heads = Heads {
    n_heads: 1,
    n_kv_heads: 1,
    head_dim: 16,
    value_dim: 16,
    rotated: 16,
    adjacent: true,
    biases: None,
    norms: None,
    norm_late: false,
    cache: Cache::F16,
    window: None,
    cap: None,
    temperature: None,
};

pub const EPS: f32 = 1e-6;

/// Its two layers have a rotary embedding each.
pub fn model(heads: Heads, embedding: Matrix) -> Model {
    let Heads { n_heads, n_kv_heads, head_dim, value_dim, rotated, adjacent, biases, norms, .. } = heads;
    let matrix = |rows, cols| Matrix { format: Format::F32, rows, cols, offset: 0 };
    let plain = |rows, cols| Projection { matrix: matrix(rows, cols), bias: None };
    let dim = embedding.cols;
    let rows = [n_heads * head_dim, n_kv_heads * head_dim, n_kv_heads * value_dim];
    let projection = |i: usize| Projection { matrix: matrix(rows[i], dim), bias: biases.map(|at| at[i]) };
    let layer = |rope: u32| Layer {
        attention_norm: Some(0),
        qkv: [projection(0), projection(1), projection(2)],
        qk_norms: norms.map(|(places, _)| places),
        window: heads.window,
        rope: Some(rope).filter(|_| rotated > 0),
        attention_out: plain(dim, (n_heads * value_dim).next_multiple_of(16)),
        attention_post_norm: None,
        feed_forward_norm: Some(0),
        gate: matrix(16, dim),
        up: matrix(16, dim),
        down: plain(dim, 16),
        feed_forward_post_norm: None,
    };
    Model {
        dim,
        feed_forward: 16,
        n_heads,
        n_kv_heads,
        head_dim,
        value_dim,
        rotated,
        ropes: 2,
        adjacent,
        qk_norm: norms.map(|(_, kind)| kind).unwrap_or_default(),
        qk_norm_late: heads.norm_late,
        norm_eps: EPS,
        activation: Activation::Silu,
        embedding_scale: 1.0,
        residual_scale: 1.0,
        attention_scale: 1.0 / (head_dim as f32).sqrt(),
        attention_cap: heads.cap,
        temperature: heads.temperature,
        logit_scale: 1.0,
        logit_cap: None,
        cache: heads.cache,
        embedding,
        // The last layer is cut to the wanted tokens; the first of two is whole.
        layers: vec![layer(0), layer(1)],
        output_norm: 0,
        output: embedding,
        max_pages: 32,
    }
}

/// The dispatches of one layer that work on heads: into the cache, attention, its joining.
pub fn of_heads(model: &Model, pass: &Pass, layer: usize) -> Vec<Dispatch> {
    let table = Binding::Memory(Buffer::PageTable, 4 * layer as u64 * u64::from(model.max_pages));
    let mut before = false;
    let of_layer = |dispatch: &Dispatch| {
        // The joining does not look into the cache; it follows the layer's attention.
        before = dispatch.bindings.contains(&table) || before && dispatch.kernel.stem == "attention_merge";
        before
    };
    model.pass(pass).0.into_iter().filter(of_layer).collect()
}
