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
        let dim = linear.matrix.rows;
        let size = self.piece(&linear.matrix);
        while let Some(columns) = self.team.chunk(dim, size) {
            self.project(linear, columns.clone(), input, Target::Out);
            let n = columns.len();
            for (row, out) in self.rows.clone().zip(self.local.out.chunks_exact(n)) {
                // SAFETY: these columns are in this worker's chunk.
                let y = unsafe { self.pass.buffers.y.get_mut(row * dim + columns.start..row * dim + columns.end) };
                y.copy_from_slice(out);
            }
        }
        self.team.barrier()
    }
}
