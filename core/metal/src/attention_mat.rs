//! Attention of a prompt over the pages (`attention_mat.metal`).

use crate::attention::{by_size, first_seen, seen};
use crate::dispatch::{Buffer, Dispatch};
use crate::heads::Work;
use crate::model::Model;
use crate::plan::Pass;

/// Attention of the last `tokens` tokens of the pass.
pub(crate) fn dispatch(model: &Model, layer: usize, pass: &Pass, tokens: u32) -> Dispatch {
    let Model { n_heads, n_kv_heads, head_dim, value_dim, .. } = *model;
    let work = Work::new(model, layer, pass, tokens);
    let window = model.layers[layer].window;
    let size = head_dim.max(value_dim);
    let stem = by_size(size, ["attention_mat_64", "attention_mat_128", "attention_mat_256"]);
    // Simdgroups, and 8x8 matrices that the largest head has side by side.
    let (simds, parts) = match size {
        ..=64 => (4, 8),
        65..=128 => (4, 16),
        _ => (2, 32),
    };
    // Rows of a threadgroup, and keys of a step.
    let step = 8 * simds;
    let group = n_heads / n_kv_heads;
    let tiles = (tokens * group).div_ceil(step);
    // Each tile reads what its tokens see.
    let walked = |tile: u32| {
        let [from, to] =
            [tile * step, (tile * step + step).min(tokens * group) - 1].map(|row| work.first() + row / group);
        u64::from(to + 1 - first_seen(from, window))
    };
    let positions: u64 = (0..tiles).map(walked).sum();
    let rows = u64::from(tokens * n_heads);
    Dispatch {
        grid: [n_kv_heads, tiles, 1],
        threads: 32 * simds,
        threadgroup_bytes: Some(4 * 64 * simds * (parts + simds + 1)),
        bytes: rows * 4 * u64::from(head_dim + value_dim) + positions * work.position_bytes(),
        operations: seen(work.first(), tokens, window) * work.operations(),
        ..work.dispatch(stem, Some(Buffer::Attended))
    }
}
