//! Models of one layer whose tensors hold nothing: for the dispatches of heads, embedding and best tokens.

use sprat_metal::{Dispatch, Format, Layer, Matrix, Model, Pass, Projection};

/// What of a model attention depends on.
#[derive(Clone, Copy, Debug)]
pub struct Heads {
    pub n_heads: u32,
    pub n_kv_heads: u32,
    pub head_dim: u32,
    pub value_dim: u32,
    pub rotated: u32,
    pub adjacent: bool,
    /// Places of q, k and v biases.
    pub biases: Option<[u64; 3]>,
    /// Places of the norms of query and key heads.
    pub norms: Option<[u64; 2]>,
}

pub const EPS: f32 = 1e-6;

pub fn model(heads: Heads, embedding: Matrix) -> Model {
    let Heads { n_heads, n_kv_heads, head_dim, value_dim, rotated, adjacent, biases, norms } = heads;
    let matrix = |rows, cols| Matrix { format: Format::F32, rows, cols, offset: 0 };
    let dim = embedding.cols;
    let rows = [n_heads * head_dim, n_kv_heads * head_dim, n_kv_heads * value_dim];
    let projection = |i: usize| Projection { matrix: matrix(rows[i], dim), bias: biases.map(|at| at[i]) };
    let layer = Layer {
        attention_norm: 0,
        qkv: [projection(0), projection(1), projection(2)],
        qk_norms: norms,
        attention_out: matrix(dim, (n_heads * value_dim).next_multiple_of(16)),
        feed_forward_norm: 0,
        gate: matrix(16, dim),
        up: matrix(16, dim),
        down: matrix(dim, 16),
    };
    Model {
        dim,
        feed_forward: 16,
        n_heads,
        n_kv_heads,
        head_dim,
        value_dim,
        rotated,
        adjacent,
        norm_eps: EPS,
        attention_scale: 1.0 / (head_dim as f32).sqrt(),
        embedding,
        // The last layer is cut to the wanted tokens; the first of two is whole.
        layers: vec![layer, layer],
        output_norm: 0,
        output: embedding,
        max_pages: 32,
    }
}

/// The dispatches of one layer's pass whose kernel's name begins so.
pub fn dispatches(model: &Model, pass: &Pass, layer: usize, stem: &str) -> Vec<Dispatch> {
    let (list, _) = model.pass(pass);
    let mut before = 0;
    let of_layer = |dispatch: &&Dispatch| {
        // `cache` is the second step of a layer, after q, k, v.
        before += usize::from(dispatch.kernel.stem == "cache");
        before == layer + 1 && dispatch.kernel.stem.starts_with(stem)
    };
    list.iter().filter(of_layer).cloned().collect()
}
