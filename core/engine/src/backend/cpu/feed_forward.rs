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
        let post_norm = layer.attention_post_norm.as_ref();
        let beside = layer.low_rank.as_ref().zip(layer.attention_norm.as_ref());
        let pending = Some(Pending::Block { post_norm, beside, scale: None });
        let norm = layer.feed_forward_norm.as_ref();
        self.absorb(&Absorb { norm, norm_first: layer.parallel, ..Absorb::plain(pending) })?;
        if let Some(experts) = &layer.experts {
            return self.experts_in(layer, experts);
        }
        layer.feed_forward.as_ref().map_or(Ok(()), |layer| self.feed_forward_rows(layer))
    }

    /// Gate and up rows of the part that every token goes through.
    pub(super) fn feed_forward_rows(&mut self, layer: &FeedForward) -> Result<(), Error> {
        self.sparse_gates(layer)?;
        let size = self.activated_piece(&layer.down);
        while let Some(columns) = self.team.chunk(layer.width(), size) {
            self.activated(layer, columns);
        }
        self.team.barrier()
    }

    /// Computes all gates ahead where only large ones pass, and from which on they do.
    fn sparse_gates(&mut self, layer: &FeedForward) -> Result<(), Error> {
        let Some((gate, deviations)) = layer.sparse_gate() else { return Ok(()) };
        let Pass { isa, buffers, .. } = *self.pass;
        let width = layer.width();
        while let Some(columns) = self.team.chunk(width, self.piece(&gate.matrix)) {
            self.project(gate, columns.clone(), Input::Stream, Target::Out);
            for (row, out) in self.rows.clone().zip(self.local.out.chunks_exact(columns.len())) {
                let part = row * width + columns.start..row * width + columns.end;
                // SAFETY: these columns are in this worker's chunk.
                unsafe { buffers.sparse_gates.get_mut(part) }.copy_from_slice(out);
            }
        }
        self.team.barrier()?;
        // SAFETY: the region before wrote the gates, and nobody writes them in this one.
        let cutoff = |row| isa.cutoff(unsafe { buffers.sparse_gates.get(row * width..(row + 1) * width) }, deviations);
        if self.single() {
            self.local.cutoffs[0] = cutoff(self.rows.start);
            return Ok(());
        }
        let first = self.rows.start;
        while let Some(chunk) = self.team.chunk(self.rows.len(), 4) {
            for row in chunk.start + first..chunk.end + first {
                // SAFETY: token `row` is in this worker's chunk.
                let to = unsafe { buffers.cutoffs.get_mut(row..row + 1) };
                to[0] = cutoff(row);
            }
        }
        self.team.barrier()?;
        // SAFETY: the region before wrote the cutoffs, and nobody writes them until the next layer's.
        self.local.cutoffs[..self.rows.len()].copy_from_slice(unsafe { buffers.cutoffs.get(self.rows.clone()) });
        Ok(())
    }

    /// Some columns of the gates that are computed already, into `out`, and what is below the cutoff left out.
    fn passing_gates(&mut self, width: usize, columns: Range<usize>) {
        let Pass { isa, buffers, .. } = *self.pass;
        let Local { out, cutoffs, .. } = &mut *self.local;
        let outs = out.chunks_exact_mut(columns.len());
        for ((row, out), cutoff) in self.rows.clone().zip(outs).zip(cutoffs) {
            let part = row * width + columns.start..row * width + columns.end;
            // SAFETY: an earlier region wrote the gates.
            out.copy_from_slice(unsafe { buffers.sparse_gates.get(part) });
            isa.subtract_and_clip(out, *cutoff);
        }
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
            if layer.sparse_gate().is_some() {
                self.passing_gates(layer.width(), part.clone());
            } else {
                self.project(layer.gate.as_ref().unwrap_or(&layer.up), part.clone(), Input::Stream, Target::Out);
            }
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
