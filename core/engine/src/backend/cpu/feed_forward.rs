//! Stages 4 and 5: the feed-forward part.

use std::ops::Range;

use sprat_kernels::ActivationKind;

use super::buffers::{BATCH_ROWS, Local};
use super::pass::{Pass, Worker};
use super::project::{Input, Target};
use crate::error::Error;
use crate::weights::Layer;

impl Worker<'_> {
    /// Stage 4: norm; gate and up rows pairwise; activation and product, quantized for the next stage.
    pub fn feed_forward_in(&mut self, index: usize) -> Result<(), Error> {
        let layer = &self.pass.weights.layers[index];
        self.absorb(true, &layer.feed_forward_norm)?;
        let unit = match layer.down.matrix.format.activation() {
            // A worker quantizes what it computes, so it computes whole blocks.
            ActivationKind::Q8_256 => 256,
            _ => BATCH_ROWS,
        };
        while let Some(columns) = self.team.chunk(self.pass.config.feed_forward, unit) {
            self.gated(layer, columns);
        }
        self.team.barrier()
    }

    fn gated(&mut self, layer: &Layer, columns: Range<usize>) {
        let Pass { isa, config, buffers, .. } = *self.pass;
        let width = columns.len();
        let step = if self.single() { width } else { BATCH_ROWS };
        for start in columns.clone().step_by(step) {
            let part = start..(start + step).min(columns.end);
            self.project(&layer.gate, part.clone(), Input::Stream, Target::Out);
            self.project(&layer.up, part.clone(), Input::Stream, Target::Up);
            let n = part.len();
            let Local { out, up, hidden, .. } = &mut *self.local;
            for (i, (gate, up)) in out.chunks_exact_mut(n).zip(up.chunks_exact(n)).take(self.rows.len()).enumerate() {
                isa.gated(config.spec.activation, gate, up);
                let at = i * width + start - columns.start;
                hidden[at..at + n].copy_from_slice(gate);
            }
        }
        for (row, hidden) in self.rows.clone().zip(self.local.hidden.chunks_exact(width)) {
            // SAFETY: these columns are in this worker's chunk.
            unsafe { buffers.hidden.store(isa, row, columns.start, hidden) };
        }
    }

    /// Stage 5: down rows.
    pub fn feed_forward_out(&mut self, index: usize) -> Result<(), Error> {
        self.project_to_y(&self.pass.weights.layers[index].down, Input::Hidden)
    }
}
