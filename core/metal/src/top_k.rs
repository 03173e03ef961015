//! The best tokens out of the logits (`top_k.metal`).

use crate::dispatch::{Binding, Buffer, Dispatch, Kernel};

/// Values that a threadgroup sorts.
pub const CHUNK: u32 = 1024;
/// Most that can be asked for: as many as a sampler lets decide.
pub const MAX_K: u32 = 256;

/// The `k` largest of `n` logits beginning at byte `from`, largest first. Also which of the two result buffers holds them.
pub(crate) fn dispatches(from: u64, n: u32, k: u32) -> (Vec<Dispatch>, bool) {
    assert!((1..=MAX_K).contains(&k), "k is 1..=256");
    let mut list = Vec::new();
    let (mut left, mut turn) = (n, false);
    loop {
        let groups = left.div_ceil(CHUNK);
        let first = list.is_empty();
        let values = if first { (Buffer::Logits, from) } else { (Buffer::TopValues(!turn), 0) };
        let indices = if first { Binding::Unused } else { Binding::Memory(Buffer::TopIndices(!turn), 0) };
        list.push(Dispatch {
            kernel: Kernel { stem: "top_k", format: None, last: None },
            bindings: vec![
                Binding::Memory(values.0, values.1),
                indices,
                Binding::Memory(Buffer::TopValues(turn), 0),
                Binding::Memory(Buffer::TopIndices(turn), 0),
                Binding::Constants(vec![left, k, u32::from(!first)]),
            ],
            grid: [groups, 1, 1],
            threads: 256,
            threadgroup_bytes: Some(8 * CHUNK),
            bytes: u64::from(left) * if first { 4 } else { 8 } + 8 * u64::from(groups * k),
            operations: 0,
        });
        if groups == 1 {
            return (list, turn);
        }
        left = groups * k;
        turn = !turn;
    }
}
