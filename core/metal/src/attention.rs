//! Attention of one token or a few over the pages (`attention.metal`).

use crate::attention_mat;
use crate::dispatch::{Binding, Buffer, Dispatch, Kernel};
use crate::heads::{PAGE, Work};
use crate::matmat;
use crate::model::Model;
use crate::plan::Pass;

/// Rows (query heads, tokens) that share the loads of a threadgroup.
const ROWS: u32 = 8;
/// Simdgroups of a threadgroup.
const SIMDS: u32 = 4;
/// Pages of a slice where single tokens need more threadgroups than there are heads: two pages for each simdgroup.
const PAGES_PER_SLICE: u32 = 8;

/// Into how many slices the keys that a pass sees are split: by absolute position, so that the order of joining them does
/// not depend on how a few tokens were cut.
pub fn slices(pass: &Pass, window: Option<u32>) -> u32 {
    let len = PAGE * PAGES_PER_SLICE;
    let of_few = || (pass.first + pass.tokens).div_ceil(len) - first_seen(pass.first, window) / len;
    // A prompt's last layer may attend with few of its tokens; it is one of many.
    if is_few(pass) { of_few() } else { 1 }
}

/// The first position that a query sees.
pub(crate) fn first_seen(position: u32, window: Option<u32>) -> u32 {
    window.map_or(0, |window| (position + 1).saturating_sub(window))
}

/// How many positions the tokens see together.
pub(crate) fn seen(first: u32, tokens: u32, window: Option<u32>) -> u64 {
    (first..first + tokens).map(|position| u64::from(position + 1 - first_seen(position, window))).sum()
}

/// Whether a pass has so few tokens that attention makes their keys and values itself, for all of them in each layer.
pub(crate) fn is_few(pass: &Pass) -> bool {
    pass.tokens < matmat::FEWEST_TOKENS
}

/// Attention of the last `tokens` tokens of the pass, of all if they are few, and the joining of its slices where there are several.
pub(crate) fn dispatches(model: &Model, layer: usize, pass: &Pass, tokens: u32) -> Vec<Dispatch> {
    if tokens >= matmat::FEWEST_TOKENS {
        return vec![attention_mat::dispatch(model, layer, pass, tokens)];
    }
    let Model { n_heads, n_kv_heads, head_dim, value_dim, .. } = *model;
    let group = n_heads / n_kv_heads;
    let heads = group.min(ROWS);
    let together = (ROWS / heads).min(tokens);
    let plain = Work::new(model, layer, pass, tokens);
    let (first, window) = (plain.first(), model.layers[layer].window);
    let (slices, stores) = (slices(pass, window), is_few(pass));
    assert!(!stores || tokens == pass.tokens, "the keys of all tokens are made");
    let first_slice = first_seen(first, window) / (PAGE * PAGES_PER_SLICE);
    let shared = if stores { [first_slice, slices, PAGES_PER_SLICE] } else { plain.slices };
    let work = Work { together: [heads, together], slices: shared, stores, ..plain };
    let out = if slices == 1 { Buffer::Attended } else { Buffer::Partials };
    let rows = u64::from(tokens * n_heads);
    let partial_bytes = rows * u64::from(slices) * 4 * u64::from(2 + value_dim);
    let out_bytes = rows * 4 * u64::from(value_dim);
    // Each walk reads what its tokens see.
    let chunks = group.div_ceil(heads);
    let walked = |from: u32| {
        let last = first + (from + together).min(tokens) - 1;
        u64::from(last + 1 - first_seen(first + from, window))
    };
    let positions: u64 = u64::from(chunks) * (0..tokens).step_by(together as usize).map(walked).sum::<u64>();
    let own = u64::from(if stores { tokens } else { 0 });
    let kept = own * (4 * u64::from(n_kv_heads * (head_dim + value_dim)) + work.position_bytes());
    let own_values = if stores { tokens * (head_dim + value_dim) } else { 0 };
    let stem = by_size(value_dim, ["attention_64", "attention_128", "attention_256"]);
    let mut list = vec![Dispatch {
        grid: [n_kv_heads * chunks, tokens.div_ceil(together), slices],
        threads: 32 * SIMDS,
        threadgroup_bytes: Some(4 * (ROWS * head_dim.max(value_dim) + SIMDS * ROWS * 32 + 2 * ROWS + own_values)),
        bytes: rows * 4 * u64::from(head_dim)
            + positions * work.position_bytes()
            + kept
            + if slices == 1 { out_bytes } else { partial_bytes },
        operations: seen(first, tokens, window) * work.operations(),
        ..work.dispatch(stem, Some(out))
    }];
    if slices > 1 {
        list.push(Dispatch {
            kernel: Kernel { stem: "attention_merge", format: None, last: None },
            bindings: vec![
                Binding::Memory(Buffer::Partials, 0),
                Binding::Memory(Buffer::Attended, 0),
                work.constants(),
            ],
            grid: [tokens * n_heads, 1, 1],
            threads: 32,
            threadgroup_bytes: None,
            bytes: partial_bytes + out_bytes,
            operations: 2 * rows * u64::from(slices * value_dim),
        });
    }
    list
}

/// The kernel for heads of up to 64, 128, 256 values.
pub(crate) fn by_size(size: u32, stems: [&'static str; 3]) -> &'static str {
    match size {
        ..=64 => stems[0],
        65..=128 => stems[1],
        _ => stems[2],
    }
}
