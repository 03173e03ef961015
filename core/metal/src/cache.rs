//! Heads between the q, k, v rows and attention (`cache.metal`).

use crate::dispatch::{Binding, Buffer, Dispatch, Kernel};
use crate::model::Model;
use crate::plan::Pass;

/// Bias, norm and rotation of queries and keys; keys and values into the pages.
pub(crate) fn dispatch(model: &Model, layer: usize, pass: &Pass) -> Dispatch {
    let Model { n_heads, n_kv_heads, head_dim, value_dim, rotated, .. } = *model;
    let tensors = &model.layers[layer];
    let weights = |at: Option<u64>| at.map_or(Binding::Unused, |at| Binding::Memory(Buffer::Weights, at));
    let [q, k, v] = tensors.qkv.map(|projection| weights(projection.bias));
    let [q_norm, k_norm] = tensors.qk_norms.map_or([None; 2], |norms| norms.map(Some)).map(weights);
    let constants = vec![
        n_heads,
        n_kv_heads,
        head_dim,
        value_dim,
        rotated,
        u32::from(model.adjacent),
        pass.first,
        model.qkv_len(),
        u32::from(tensors.qkv[0].bias.is_some()),
        u32::from(tensors.qk_norms.is_some()),
        model.norm_eps.to_bits(),
    ];
    let tokens = u64::from(pass.tokens);
    let queries = u64::from(n_heads * head_dim);
    let kept = u64::from(n_kv_heads * (head_dim + value_dim));
    Dispatch {
        kernel: Kernel { stem: "cache", format: None },
        bindings: vec![
            Binding::Memory(Buffer::Qkv, 0),
            q,
            k,
            v,
            q_norm,
            k_norm,
            Binding::Memory(Buffer::Angles, 0),
            Binding::Memory(Buffer::Pages, 0),
            model.page_table(layer),
            Binding::Constants(constants),
        ],
        grid: [n_heads + 2 * n_kv_heads, pass.tokens, 1],
        threads: 32,
        threadgroup_bytes: None,
        bytes: tokens * (8 * queries + 6 * kept + 4 * u64::from(rotated)),
    }
}
