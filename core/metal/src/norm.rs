//! The norm behind a block (`norm.metal`).

use crate::dispatch::{Binding, Buffer, Dispatch, Kernel};
use crate::matvec::Norm;

/// Simdgroups of a threadgroup.
const SIMDS: u32 = 4;

/// `to += scale * norm(from)`, both f32 `[tokens, k]`; `to` begins at a byte.
pub fn add_normed(k: u32, tokens: u32, from: Buffer, norm: Norm, to: (Buffer, u64), scale: f32) -> Dispatch {
    Dispatch {
        kernel: Kernel { stem: "add_normed", format: None, last: None },
        bindings: vec![
            Binding::Memory(from, 0),
            Binding::Memory(Buffer::Weights, norm.weights),
            Binding::Memory(to.0, to.1),
            Binding::Constants(vec![k, norm.eps.to_bits(), scale.to_bits()]),
        ],
        grid: [tokens, 1, 1],
        threads: 32 * SIMDS,
        threadgroup_bytes: Some(4 * SIMDS),
        bytes: 4 * u64::from(k) * (3 * u64::from(tokens) + 1),
        operations: 0,
    }
}
