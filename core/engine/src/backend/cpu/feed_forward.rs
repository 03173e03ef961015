//! Stages 4 and 5: the feed-forward part.

use std::ops::Range;

use sprat_kernels::ActivationKind;

use super::buffers::{BATCH_ROWS, Local};
use super::pass::{Pass, Worker};
use super::project::{Input, Target};
use super::stream::{Absorb, Pending};
use crate::error::Error;
use crate::weights::FeedForward;

impl Worker<'_> {
    /// Stage 4: norm; gate and up rows pairwise (or up alone); activation and product, quantized for the next stage.
    pub fn feed_forward_in(&mut self, index: usize) -> Result<(), Error> {
        let layer = &self.pass.weights.layers[index];
        let pending = Some(Pending { post_norm: layer.attention_post_norm.as_ref() });
        self.absorb(&Absorb { pending, norm: layer.feed_forward_norm.as_ref(), norm_first: layer.parallel })?;
        let feed_forward = &layer.feed_forward;
        let unit = match feed_forward.down.matrix.format.activation() {
            // A worker quantizes what it computes, so it computes whole blocks.
            ActivationKind::Q8_256 => 256,
            _ => BATCH_ROWS,
        };
        while let Some(columns) = self.team.chunk(self.pass.config.feed_forward, unit) {
            self.activated(feed_forward, columns);
        }
        self.team.barrier()
    }

    /// Some columns of the activated product of gate and up, or of up alone.
    fn activated(&mut self, layer: &FeedForward, columns: Range<usize>) {
        let Pass { isa, config, buffers, .. } = *self.pass;
        let (width, activation) = (columns.len(), config.spec.activation);
        let step = if self.single() { width } else { BATCH_ROWS };
        for start in columns.clone().step_by(step) {
            let part = start..(start + step).min(columns.end);
            let n = part.len();
            self.project(layer.gate.as_ref().unwrap_or(&layer.up), part.clone(), Input::Stream, Target::Out);
            if layer.gate.is_some() {
                self.project(&layer.up, part, Input::Stream, Target::Up);
            }
            let Local { out, up, hidden, .. } = &mut *self.local;
            for (i, (out, up)) in out.chunks_exact_mut(n).zip(up.chunks_exact(n)).take(self.rows.len()).enumerate() {
                if layer.gate.is_some() {
                    isa.gated(activation, out, up);
                } else {
                    isa.activate(activation, out);
                }
                let at = i * width + start - columns.start;
                hidden[at..at + n].copy_from_slice(out);
            }
        }
        for (row, hidden) in self.rows.clone().zip(self.local.hidden.chunks_exact(width)) {
            // SAFETY: these columns are in this worker's chunk.
            unsafe { buffers.hidden.store(isa, row, columns.start, hidden) };
        }
    }

    /// Stage 5: down rows.
    pub fn feed_forward_out(&mut self, index: usize) -> Result<(), Error> {
        self.project_to_y(&self.pass.weights.layers[index].feed_forward.down, Input::Hidden)
    }
}
