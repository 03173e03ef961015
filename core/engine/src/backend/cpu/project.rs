//! Matrix times activations: the part that all stages share.

use std::ops::Range;

use sprat_kernels::{Activations, Scratch};

use super::buffers::{BATCH_ROWS, Local, SINGLE_ROWS};
use super::pass::{CHUNK_BYTES, Pass, Worker};
use crate::error::Error;
use crate::weights::{Linear, Matrix};

/// Which activations a projection reads.
#[derive(Clone, Copy)]
pub enum Input {
    /// The normed residual stream.
    Stream,
    /// What attention put out.
    Attention,
    /// The activated product of gate and up.
    Hidden,
    /// A layer's own input, gated.
    PerLayer,
    /// The few values of the path beside attention.
    LowRank,
}

/// Where whole rows of outputs go.
#[derive(Clone, Copy)]
pub enum To {
    /// [`Buffers::y`](super::buffers::Buffers::y).
    Y,
    /// That of this number in [`Buffers::sides`](super::buffers::Buffers::sides).
    Side(usize),
}

/// Which of the worker's buffers a projection fills.
#[derive(Clone, Copy)]
pub enum Target {
    /// [`Local::out`].
    Out,
    /// [`Local::up`].
    Up,
}

impl Pass<'_> {
    /// Where token `row` lies in one of [`Buffers::sides`](super::buffers::Buffers::sides).
    pub(super) fn side_range(&self, side: usize, row: usize) -> Range<usize> {
        let (rows, dim) = (self.buffers.rows, self.config.dim);
        (side * rows + row) * dim..(side * rows + row + 1) * dim
    }

    /// Some rows of a projection of `x` into the beginning of `out`, `[tokens, rows]`, bias added.
    pub(super) fn multiply(
        &self,
        linear: &Linear,
        rows: Range<usize>,
        x: &Activations<'_>,
        out: &mut [f32],
        scratch: &mut Scratch,
    ) {
        let (isa, file, n) = (self.isa, self.file, rows.len());
        let out = &mut out[..x.t() * n];
        isa.matmul(linear.matrix.format, linear.matrix.rows(file, rows.clone()), x, out, scratch);
        if let Some(bias) = &linear.bias {
            let bias = &bias.get(file)[rows];
            out.chunks_exact_mut(n).for_each(|out| isa.add(out, bias));
        }
    }
}

impl Worker<'_> {
    /// Computes some rows of a projection of the current input into `out`, `[tokens, rows]`, bias added.
    pub(super) fn project(&mut self, linear: &Linear, rows: Range<usize>, input: Input, target: Target) {
        let buffers = self.pass.buffers;
        let single = self.single();
        let Local { input: own, attention_input, out, up, scratch, .. } = &mut *self.local;
        let (set, tokens) = match (input, single) {
            (Input::Stream, true) => (&*own, 0..1),
            (Input::Stream, false) => (&buffers.input, self.rows.clone()),
            (Input::Attention, true) => (&*attention_input, 0..1),
            (Input::Attention, false) => (&buffers.attention_input, self.rows.clone()),
            (Input::Hidden, _) => (&buffers.hidden, self.rows.clone()),
            (Input::LowRank, _) => (&buffers.low_rank, self.rows.clone()),
            (Input::PerLayer, _) => (&buffers.per_layer_gated, self.rows.clone()),
        };
        let out = match target {
            Target::Out => out,
            Target::Up => up,
        };
        // SAFETY: an earlier stage wrote these rows; none writes them in this stage.
        let x = unsafe { set.view(&linear.matrix, tokens) };
        self.pass.multiply(linear, rows, &x, out, scratch);
    }

    /// Rows of `matrix` in one piece of work, a multiple of 16 but for the last.
    pub(super) fn piece(&self, matrix: &Matrix) -> usize {
        if self.single() {
            (CHUNK_BYTES / matrix.row_bytes()).next_multiple_of(16).clamp(16, SINGLE_ROWS)
        } else {
            BATCH_ROWS
        }
    }

    /// Computes all rows of a projection into `y`.
    pub(super) fn project_to_y(&mut self, linear: &Linear, input: Input) -> Result<(), Error> {
        self.project_to(&[(linear, input, To::Y)])
    }

    /// Computes all rows of projections to the width of the stream, the same columns of all of them together.
    pub(super) fn project_to(&mut self, parts: &[(&Linear, Input, To)]) -> Result<(), Error> {
        let (pass, dim) = (self.pass, self.pass.config.dim);
        let size = parts.iter().map(|(linear, ..)| self.piece(&linear.matrix)).min().unwrap_or(dim);
        while let Some(columns) = self.team.chunk(dim, size) {
            let n = columns.len();
            for &(linear, input, to) in parts {
                self.project(linear, columns.clone(), input, Target::Out);
                for (row, out) in self.rows.clone().zip(self.local.out.chunks_exact(n)) {
                    let (buffer, at) = match to {
                        To::Y => (&pass.buffers.y, row * dim),
                        To::Side(side) => (&pass.buffers.sides, pass.side_range(side, row).start),
                    };
                    // SAFETY: these columns are in this worker's chunk.
                    unsafe { buffer.get_mut(at + columns.start..at + columns.end) }.copy_from_slice(out);
                }
            }
        }
        self.team.barrier()
    }
}
