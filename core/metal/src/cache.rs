//! Keys and values into the pages (`cache.metal`).

use crate::dispatch::Dispatch;
use crate::heads::Work;
use crate::model::Model;
use crate::plan::Pass;

/// Bias, norm and rotation of keys, bias of values, and both into the pages.
pub(crate) fn dispatch(model: &Model, layer: usize, pass: &Pass) -> Dispatch {
    let Model { n_kv_heads, head_dim, value_dim, rotated, .. } = *model;
    let work = Work::new(model, layer, pass, pass.tokens);
    let read = 4 * u64::from(n_kv_heads * (head_dim + value_dim) + rotated);
    Dispatch {
        grid: [2 * n_kv_heads, pass.tokens, 1],
        threadgroup_bytes: Some(4 * head_dim.max(value_dim)),
        bytes: u64::from(pass.tokens) * (read + work.position_bytes()),
        ..work.dispatch("cache", None)
    }
}
