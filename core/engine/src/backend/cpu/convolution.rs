//! Short convolutions: what they share with scans, and the layers that are nothing else.

use std::ops::Range;

use super::buffers::{BATCH_ROWS, Local};
use super::pass::{CHUNK_BYTES, Pass, Worker};
use super::project::{Input, Target};
use crate::config::{MAX_TAPS, RecurrentConfig};
use crate::error::Error;
use crate::weights::{Convolution, Vector};

impl Pass<'_> {
    /// Convolves the inputs `x` `[tokens, columns]` of some channels with what came before them, hands each token's outputs
    /// to `each`, and leaves what the next pass needs. `out` is as long as `columns`. The caller has these channels alone.
    pub(super) fn convolve(
        &self,
        dims: &RecurrentConfig,
        (taps, bias): (&Vector, Option<&Vector>),
        columns: Range<usize>,
        x: &[f32],
        out: &mut [f32],
        mut each: impl FnMut(usize, &mut [f32]),
    ) {
        let (n, before) = (columns.len(), dims.taps - 1);
        let states = self.cache.states();
        let place = |row: usize| {
            let start = dims.state_at + row * dims.channels;
            start + columns.start..start + columns.end
        };
        let (weight, bias) = (&taps.get(self.file)[columns.start * dims.taps..columns.end * dims.taps], bias);
        let bias = bias.map(|bias| &bias.get(self.file)[columns.clone()]);
        // Row 0 is the oldest input that the state has.
        let input = |row: usize| match row.checked_sub(before) {
            Some(token) => &x[token * n..(token + 1) * n],
            // SAFETY: nobody writes the state before a pass while it runs.
            None => unsafe { states.now().get(place(row)) },
        };
        let tokens = x.len() / n;
        for token in 0..tokens {
            let rows: [&[f32]; MAX_TAPS] = std::array::from_fn(|j| input((token + j).min(token + before)));
            self.isa.convolve(&rows[..dims.taps], weight, bias, out);
            each(token, out);
        }
        for row in 0..before {
            // SAFETY: these channels are this worker's item.
            unsafe { states.next().get_mut(place(row)) }.copy_from_slice(input(tokens + row));
        }
    }
}

impl Worker<'_> {
    /// A layer that is a short convolution: `attended = gate * convolution(gate * input)`, channel by channel.
    pub(super) fn convolution(&mut self, layer: &Convolution, dims: &RecurrentConfig) -> Result<(), Error> {
        let Pass { isa, buffers, .. } = *self.pass;
        let size = if self.single() {
            (CHUNK_BYTES / (3 * layer.input.matrix.row_bytes())).next_multiple_of(16).clamp(16, BATCH_ROWS)
        } else {
            BATCH_ROWS
        };
        while let Some(columns) = self.team.chunk(dims.channels, size) {
            let n = columns.len();
            let len = self.rows.len() * n;
            self.project(&layer.input_gate, columns.clone(), Input::Stream, Target::Out);
            self.project(&layer.input, columns.clone(), Input::Stream, Target::Up);
            isa.multiply(&mut self.local.out[..len], &self.local.up[..len]);
            self.project(&layer.output_gate, columns.clone(), Input::Stream, Target::Up);
            let Local { out, up, normed, .. } = &mut *self.local;
            let (first, channels, taps) = (self.rows.start, dims.channels, (&layer.taps, None));
            self.pass.convolve(dims, taps, columns.clone(), &out[..len], &mut normed[..n], |token, values| {
                isa.multiply(values, &up[token * n..(token + 1) * n]);
                let row = (first + token) * channels;
                // SAFETY: these channels are in this worker's chunk.
                unsafe { buffers.attended.get_mut(row + columns.start..row + columns.end) }.copy_from_slice(values);
            });
        }
        self.team.barrier()
    }
}
