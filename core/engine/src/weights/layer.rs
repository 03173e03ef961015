//! The tensors of one layer.

use super::find::Tensors;
use super::tensor::{Linear, Vector};
use crate::config::{Config, LayerConfig};
use crate::error::Error;

/// One layer's tensors.
#[derive(Debug)]
pub struct Layer {
    /// Norm before attention, `[dim]`.
    pub attention_norm: Vector,
    /// Queries, `[n_heads * head_dim, dim]`.
    pub q: Linear,
    /// Keys, `[n_kv_heads * head_dim, dim]`.
    pub k: Linear,
    /// Values, `[n_kv_heads * value_dim, dim]`.
    pub v: Linear,
    /// Norm of each query head, `[head_dim]`.
    pub q_norm: Option<Vector>,
    /// Norm of each key head, `[head_dim]`.
    pub k_norm: Option<Vector>,
    /// Output of attention, `[dim, n_heads * value_dim]`.
    pub attention_out: Linear,
    /// Norm before the feed-forward part, `[dim]`.
    pub feed_forward_norm: Vector,
    /// Gate, `[feed_forward, dim]`.
    pub gate: Linear,
    /// Up, `[feed_forward, dim]`.
    pub up: Linear,
    /// Down, `[dim, feed_forward]`.
    pub down: Linear,
}

impl Layer {
    /// Finds the tensors that `layer`, number `index` of `config`, asks for.
    pub fn find(tensors: &Tensors<'_>, index: usize, layer: &LayerConfig, config: &Config) -> Result<Self, Error> {
        let name = |part: &str| format!("blk.{index}.{part}");
        let dim = config.dim;
        let (q, k) = (layer.n_heads * layer.head_dim, layer.n_kv_heads * layer.head_dim);
        let v = layer.n_kv_heads * layer.value_dim;
        let [q, k, v] = match tensors.optional_linear(&name("attn_qkv"), q + k + v, dim)? {
            Some(fused) => [fused.part(0..q), fused.part(q..q + k), fused.part(q + k..q + k + v)],
            None => [
                tensors.linear(&name("attn_q"), q, dim)?,
                tensors.linear(&name("attn_k"), k, dim)?,
                tensors.linear(&name("attn_v"), v, dim)?,
            ],
        };
        let f = config.feed_forward;
        let (gate, up) = match tensors.optional_linear(&name("ffn_gate"), f, dim)? {
            Some(gate) => (gate, tensors.linear(&name("ffn_up"), f, dim)?),
            None => {
                let fused = tensors.linear(&name("ffn_up"), 2 * f, dim)?;
                (fused.part(0..f), fused.part(f..2 * f))
            }
        };
        Ok(Self {
            attention_norm: tensors.vector(&name("attn_norm.weight"), dim)?,
            q,
            k,
            v,
            q_norm: tensors.optional_vector(&name("attn_q_norm.weight"), layer.head_dim)?,
            k_norm: tensors.optional_vector(&name("attn_k_norm.weight"), layer.head_dim)?,
            attention_out: tensors.linear(&name("attn_output"), dim, layer.n_heads * layer.value_dim)?,
            feed_forward_norm: tensors.vector(&name("ffn_norm.weight"), dim)?,
            gate,
            up,
            down: tensors.linear(&name("ffn_down"), dim, f)?,
        })
    }
}
