//! Attention over the pages (`attention.metal`).

use crate::dispatch::{Binding, Buffer, Dispatch, Kernel};
use crate::matmat;
use crate::model::Model;
use crate::plan::Pass;

/// Positions of a page.
const PAGE: u32 = 64;
/// Rows (query heads, tokens) that share the loads of a threadgroup.
const ROWS: u32 = 8;
/// Simdgroups of a threadgroup.
const SIMDS: u32 = 4;
/// Pages of a slice where single tokens need more threadgroups than there are heads: two pages for each simdgroup.
const PAGES_PER_SLICE: u32 = 8;

/// Into how many slices the keys of a pass are split: by absolute position, so that the order of joining them does not depend
/// on how a text was cut.
pub fn slices(first: u32, tokens: u32) -> u32 {
    if tokens < matmat::FEWEST_TOKENS { (first + tokens).div_ceil(PAGE * PAGES_PER_SLICE) } else { 1 }
}

/// Attention of the last `tokens` tokens of the pass, and the joining of its slices where there are several.
pub(crate) fn dispatches(model: &Model, layer: usize, pass: &Pass, tokens: u32) -> Vec<Dispatch> {
    let Model { n_heads, n_kv_heads, head_dim, value_dim, .. } = *model;
    let first = pass.first + pass.tokens - tokens;
    let group = n_heads / n_kv_heads;
    let heads = group.min(ROWS);
    let together = (ROWS / heads).min(tokens);
    let slices = slices(first, tokens);
    let pages = (first + tokens).div_ceil(PAGE);
    let constants = Binding::Constants(vec![
        n_heads,
        n_kv_heads,
        head_dim,
        value_dim,
        heads,
        together,
        first,
        tokens,
        model.qkv_len(),
        slices,
        if slices == 1 { pages } else { PAGES_PER_SLICE },
        model.attention_scale.to_bits(),
    ]);
    let out = if slices == 1 { Buffer::Attended } else { Buffer::Partials };
    let rows = u64::from(tokens * n_heads);
    let partial_bytes = rows * u64::from(slices) * 4 * u64::from(2 + value_dim);
    let out_bytes = rows * 4 * u64::from(value_dim);
    // Keys and values once for the tokens that share them, half of a prompt's on average.
    let walks = tokens.div_ceil(together) * group.div_ceil(heads);
    let positions = u64::from(walks) * u64::from(first) + u64::from(walks) * u64::from(tokens + together) / 2;
    let cache_bytes = positions * 2 * u64::from(n_kv_heads * (head_dim + value_dim));
    let stem = match value_dim {
        ..=64 => "attention_64",
        65..=128 => "attention_128",
        _ => "attention_256",
    };
    let skipped = u64::from(pass.tokens - tokens) * u64::from(model.qkv_len());
    let mut list = vec![Dispatch {
        kernel: Kernel { stem, format: None },
        bindings: vec![
            Binding::Memory(Buffer::Qkv, 4 * skipped),
            Binding::Memory(Buffer::Pages, 0),
            model.page_table(layer),
            Binding::Memory(out, 0),
            constants.clone(),
        ],
        grid: [n_kv_heads * group.div_ceil(heads), tokens.div_ceil(together), slices],
        threads: 32 * SIMDS,
        threadgroup_bytes: Some(4 * (ROWS * head_dim.max(value_dim) + SIMDS * ROWS * 32 + 2 * ROWS)),
        bytes: rows * 4 * u64::from(head_dim) + cache_bytes + if slices == 1 { out_bytes } else { partial_bytes },
    }];
    if slices > 1 {
        list.push(Dispatch {
            kernel: Kernel { stem: "attention_merge", format: None },
            bindings: vec![Binding::Memory(Buffer::Partials, 0), Binding::Memory(Buffer::Attended, 0), constants],
            grid: [tokens * n_heads, 1, 1],
            threads: 32,
            threadgroup_bytes: None,
            bytes: partial_bytes + out_bytes,
        });
    }
    list
}
