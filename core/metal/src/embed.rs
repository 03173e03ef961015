//! Rows of the embedding (`embed.metal`).

use crate::dispatch::{Binding, Buffer, Dispatch, Kernel};
use crate::model::Model;
use crate::plan::Pass;

/// Parts of 16 values that a threadgroup takes.
const PARTS: u32 = 64;

/// The tokens' rows into the residual stream.
pub(crate) fn dispatch(model: &Model, pass: &Pass) -> Dispatch {
    let matrix = model.embedding;
    let row_bytes = matrix.format.row_bytes(matrix.cols);
    Dispatch {
        kernel: Kernel { stem: "embed", format: Some(matrix.format), last: None },
        bindings: vec![
            Binding::Memory(Buffer::Weights, matrix.offset),
            Binding::Memory(Buffer::Tokens, 0),
            Binding::Memory(Buffer::Residual, 0),
            Binding::Constants(vec![matrix.cols, row_bytes, matrix.rows, model.embedding_scale.to_bits()]),
        ],
        grid: [(matrix.cols / 16).div_ceil(PARTS), pass.tokens, 1],
        threads: PARTS,
        threadgroup_bytes: None,
        bytes: u64::from(pass.tokens) * (u64::from(row_bytes) + 4 * u64::from(matrix.cols)),
        operations: 0,
    }
}
