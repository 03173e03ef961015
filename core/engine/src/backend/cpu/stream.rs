//! The residual stream: embedded at the start, added to and normed at every stage, turned into logits at the end.

use super::buffers::Local;
use super::pass::{Pass, Worker};
use super::project::{Input, Target};
use crate::error::Error;
use crate::weights::Vector;

impl Worker<'_> {
    /// Looks up the tokens' embeddings and computes their angles.
    pub fn embed(&mut self) -> Result<(), Error> {
        let Pass { isa, config, weights, file, tokens, buffers, cache, .. } = *self.pass;
        let row_of = |token: u32| weights.embedding.rows(file, token as usize..token as usize + 1);
        if self.single() {
            isa.dequantize(weights.embedding.format, row_of(tokens[0]), &mut self.local.x);
        }
        while let Some(chunk) = self.team.chunk(tokens.len(), 4) {
            for i in chunk {
                for ((cos, sin), rope) in buffers.angles.iter().zip(&weights.ropes) {
                    let part = i * rope.pairs()..(i + 1) * rope.pairs();
                    // SAFETY: token `i` is in this worker's chunk.
                    let (cos, sin) = unsafe { (cos.get_mut(part.clone()), sin.get_mut(part)) };
                    rope.angles(cache.len() + i, cos, sin);
                }
                if tokens.len() > 1 {
                    // SAFETY: token `i` is in this worker's chunk.
                    let x = unsafe { buffers.x.get_mut(i * config.dim..(i + 1) * config.dim) };
                    isa.dequantize(weights.embedding.format, row_of(tokens[i]), x);
                }
            }
        }
        self.team.barrier()
    }

    /// Adds what the last stage made to the residual stream, if any, and leaves the normed stream as the next stage's input.
    pub(super) fn absorb(&mut self, pending: bool, norm: &Vector) -> Result<(), Error> {
        let Pass { isa, config, file, buffers, .. } = *self.pass;
        let (dim, eps, norm) = (config.dim, config.norm_eps, norm.get(file));
        let y_of = |i: usize| {
            // SAFETY: `y` was written by an earlier stage and is not written in this one.
            unsafe { buffers.y.get(i * dim..(i + 1) * dim) }
        };
        if self.single() {
            let Local { x, normed, input, .. } = &mut *self.local;
            if pending {
                isa.add(x, y_of(self.rows.start));
            }
            isa.rms_norm(x, Some(norm), eps, &mut normed[..dim]);
            // SAFETY: the set is this worker's own.
            unsafe { input.store(isa, 0, 0, &normed[..dim]) };
            return Ok(());
        }
        let first = self.rows.start;
        while let Some(chunk) = self.team.chunk(self.rows.len(), 4) {
            for i in chunk.start + first..chunk.end + first {
                // SAFETY: token `i` is in this worker's chunk.
                let x = unsafe { buffers.x.get_mut(i * dim..(i + 1) * dim) };
                if pending {
                    isa.add(x, y_of(i));
                }
                let normed = &mut self.local.normed[..dim];
                isa.rms_norm(x, Some(norm), eps, normed);
                // SAFETY: token `i` is in this worker's chunk.
                unsafe { buffers.input.store(isa, i, 0, normed) };
            }
        }
        self.team.barrier()
    }

    /// From here on only the wanted tokens matter: the last layer's cache is written.
    pub fn keep_wanted(&mut self) {
        let (dim, was_batch) = (self.pass.config.dim, !self.single());
        self.rows.start = self.rows.end - self.pass.wanted;
        if was_batch && self.single() {
            let x = self.rows.start * dim..(self.rows.start + 1) * dim;
            // SAFETY: `absorb` wrote the stream before its barrier; the next one to write it comes after another.
            self.local.x.copy_from_slice(unsafe { self.pass.buffers.x.get(x) });
        }
    }

    /// The wanted tokens' logits.
    pub fn logits(&mut self) -> Result<(), Error> {
        let Pass { weights, logits, .. } = *self.pass;
        self.absorb(true, &weights.output_norm)?;
        let vocabulary = weights.output.matrix.rows;
        let size = self.piece(&weights.output.matrix);
        while let Some(columns) = self.team.chunk(vocabulary, size) {
            self.project(&weights.output, columns.clone(), Input::Stream, Target::Out);
            for (i, out) in self.local.out.chunks_exact(columns.len()).take(self.rows.len()).enumerate() {
                let part = i * vocabulary + columns.start..i * vocabulary + columns.end;
                // SAFETY: these columns are in this worker's chunk.
                unsafe { logits.get_mut(part) }.copy_from_slice(out);
            }
        }
        self.team.barrier()
    }
}
