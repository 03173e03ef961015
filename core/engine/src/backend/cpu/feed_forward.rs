//! Stages 4 and 5: the feed-forward part.

use std::ops::Range;

use sprat_kernels::ActivationKind;

use super::buffers::{BATCH_ROWS, Kinds, Local};
use super::pass::{Pass, Worker};
use super::project::{Input, Target};
use super::stream::{Absorb, Pending};
use crate::error::Error;
use crate::weights::{FeedForward, Linear};

impl Worker<'_> {
    /// Stage 4: norm; gate and up rows pairwise (or up alone); activation and product, quantized for the next stage.
    pub fn feed_forward_in(&mut self, index: usize) -> Result<(), Error> {
        let layer = &self.pass.weights.layers[index];
        let pending = Some(Pending { post_norm: layer.attention_post_norm.as_ref(), scale: None });
        self.absorb(&Absorb { pending, norm: layer.feed_forward_norm.as_ref(), norm_first: layer.parallel })?;
        if let Some(experts) = &layer.experts {
            return self.experts_in(layer, experts);
        }
        if let Some(feed_forward) = &layer.feed_forward {
            let size = self.activated_piece(&feed_forward.down);
            while let Some(columns) = self.team.chunk(feed_forward.width(), size) {
                self.activated(feed_forward, columns);
            }
        }
        self.team.barrier()
    }

    /// Columns of an activated product in one piece of work: a worker quantizes for `down` what it computes, so it
    /// computes whole blocks.
    pub(super) fn activated_piece(&self, down: &Linear) -> usize {
        match down.matrix.format.activation() {
            ActivationKind::Q8_256 => 256,
            _ => BATCH_ROWS,
        }
    }

    /// Some columns of the activated product of gate and up, or of up alone.
    pub(super) fn activated(&mut self, layer: &FeedForward, columns: Range<usize>) {
        let Pass { isa, config, buffers, .. } = *self.pass;
        let width = columns.len();
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
                    self.pass.gated(out, up);
                } else {
                    isa.activate(config.spec.activation, out);
                }
                let at = i * width + start - columns.start;
                hidden[at..at + n].copy_from_slice(out);
            }
        }
        let kinds = Kinds::of([&layer.down]);
        for (row, hidden) in self.rows.clone().zip(self.local.hidden.chunks_exact(width)) {
            // SAFETY: these columns are in this worker's chunk.
            unsafe { buffers.hidden.store(isa, kinds, layer.width(), row, columns.start, hidden) };
        }
    }

    /// Stage 5: down rows.
    pub fn feed_forward_out(&mut self, index: usize) -> Result<(), Error> {
        let layer = &self.pass.weights.layers[index];
        match (&layer.experts, &layer.feed_forward) {
            (Some(experts), shared) => self.experts_out(shared.as_ref(), experts),
            (None, Some(feed_forward)) => self.project_to_y(&feed_forward.down, Input::Hidden),
            (None, None) => Ok(()),
        }
    }
}

impl Pass<'_> {
    /// The activated product of `gate` and `up`, left in `gate`.
    pub(super) fn gated(&self, gate: &mut [f32], up: &[f32]) {
        if self.config.spec.clamped_gate {
            self.isa.gated_clamped(gate, up);
        } else {
            self.isa.gated(self.config.spec.activation, gate, up);
        }
    }
}
