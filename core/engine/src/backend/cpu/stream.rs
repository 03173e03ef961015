//! The residual stream: embedded at the start, added to and normed at every stage, turned into logits at the end.

use super::buffers::Local;
use super::pass::{Pass, Worker};
use super::project::{Input, Target};
use crate::error::Error;
use crate::weights::{Layer, Matrix, Norm, Vector};

/// A step of the residual stream between two stages.
pub struct Absorb<'a> {
    /// What is to be added to the stream; none before the first layer.
    pub pending: Option<Pending<'a>>,
    /// What norms the stream for the next stage; none where that reads the stream itself.
    pub norm: Option<&'a Norm>,
    /// Whether the stream is normed before something is added to it and not after.
    pub norm_first: bool,
}

/// Output of a block, in `y`.
pub struct Pending<'a> {
    /// What norms it on its way into the stream.
    pub post_norm: Option<&'a Norm>,
    /// Factor on the stream then, `[1]`.
    pub scale: Option<&'a Vector>,
}

impl<'a> Pending<'a> {
    /// What the feed-forward part of a layer left; nothing more comes from that layer if `is_last`.
    pub fn of_feed_forward(layer: &'a Layer, is_last: bool) -> Self {
        Self {
            post_norm: layer.feed_forward_post_norm.as_ref(),
            scale: layer.output_scale.as_ref().filter(|_| is_last),
        }
    }
}

impl Pass<'_> {
    /// The embedding of token `i` as the stream begins with it. `spare` holds a row.
    fn embedding(&self, i: usize, x: &mut [f32], spare: &mut [f32]) {
        let Pass { isa, config, weights, file, tokens, cache, .. } = *self;
        let row = |matrix: &Matrix, row: usize, x: &mut [f32]| {
            isa.dequantize(matrix.format, matrix.rows(file, row..row + 1), x);
        };
        row(&weights.embedding, tokens[i] as usize, x);
        if config.embedding_scale != 1.0 {
            isa.scale(x, config.embedding_scale);
        }
        if let Some(positions) = &weights.position_embedding {
            let spare = &mut spare[..config.dim];
            row(positions, cache.len() + i, spare);
            isa.add(x, spare);
        }
    }

    /// Takes one step of a token's stream `x`; `store` gets the next stage's input. All vectors are `[dim]`.
    fn absorb(&self, absorb: &Absorb<'_>, x: &mut [f32], y: &[f32], spare: &mut [f32], store: impl FnOnce(&[f32])) {
        let input = |x: &[f32], spare: &mut [f32]| match absorb.norm {
            Some(norm) => {
                self.norm(norm, x, spare);
                store(spare);
            }
            None => store(x),
        };
        if absorb.norm_first {
            input(x, spare);
            self.add(&absorb.pending, x, y, spare);
        } else {
            self.add(&absorb.pending, x, y, spare);
            input(x, spare);
        }
    }

    fn add(&self, pending: &Option<Pending<'_>>, x: &mut [f32], y: &[f32], spare: &mut [f32]) {
        let Some(Pending { post_norm, scale }) = pending else { return };
        let y = match post_norm {
            Some(norm) => {
                self.norm(norm, y, spare);
                spare
            }
            None => y,
        };
        if self.config.residual_scale == 1.0 {
            self.isa.add(x, y);
        } else {
            self.isa.add_scaled(x, y, self.config.residual_scale);
        }
        if let Some(scale) = scale {
            self.isa.scale(x, scale.get(self.file)[0]);
        }
    }
}

impl<'a> Worker<'a> {
    /// Looks up the tokens' embeddings and computes their angles.
    pub fn embed(&mut self) -> Result<(), Error> {
        let Pass { config, ropes, tokens, buffers, cache, .. } = *self.pass;
        if self.single() {
            let Local { x, normed, .. } = &mut *self.local;
            self.pass.embedding(0, x, normed);
        }
        while let Some(chunk) = self.team.chunk(tokens.len(), 4) {
            for i in chunk {
                for ((cos, sin), rope) in buffers.angles.iter().zip(ropes) {
                    let part = i * rope.pairs()..(i + 1) * rope.pairs();
                    // SAFETY: token `i` is in this worker's chunk.
                    let (cos, sin) = unsafe { (cos.get_mut(part.clone()), sin.get_mut(part)) };
                    rope.angles(cache.len() + i, cos, sin);
                }
                if tokens.len() > 1 {
                    // SAFETY: token `i` is in this worker's chunk.
                    let x = unsafe { buffers.x.get_mut(i * config.dim..(i + 1) * config.dim) };
                    self.pass.embedding(i, x, &mut self.local.normed);
                }
            }
        }
        self.team.barrier()
    }

    /// What the layer before `index` left in `y`.
    pub(super) fn of_layer_before(&self, index: usize) -> Option<Pending<'a>> {
        let before = &self.pass.weights.layers[index.checked_sub(1)?];
        Some(match &before.per_layer {
            Some(per_layer) => Pending { post_norm: Some(&per_layer.norm), scale: before.output_scale.as_ref() },
            None => Pending::of_feed_forward(before, true),
        })
    }

    /// Adds what the last stage made to the residual stream, if anything, and leaves the normed stream as the next
    /// stage's input.
    pub(super) fn absorb(&mut self, absorb: &Absorb<'_>) -> Result<(), Error> {
        let Pass { isa, config, buffers, .. } = *self.pass;
        let dim = config.dim;
        let y_of = |i: usize| {
            // SAFETY: `y` was written by an earlier stage and is not written in this one.
            unsafe { buffers.y.get(i * dim..(i + 1) * dim) }
        };
        if self.single() {
            let Local { x, normed, input, .. } = &mut *self.local;
            // SAFETY: the set is this worker's own.
            let store = |normed: &[f32]| unsafe { input.store_row(isa, 0, normed) };
            self.pass.absorb(absorb, x, y_of(self.rows.start), &mut normed[..dim], store);
            return Ok(());
        }
        let first = self.rows.start;
        while let Some(chunk) = self.team.chunk(self.rows.len(), 4) {
            for i in chunk.start + first..chunk.end + first {
                // SAFETY: token `i` is in this worker's chunk.
                let x = unsafe { buffers.x.get_mut(i * dim..(i + 1) * dim) };
                // SAFETY: token `i` is in this worker's chunk.
                let store = |normed: &[f32]| unsafe { buffers.input.store_row(isa, i, normed) };
                self.pass.absorb(absorb, x, y_of(i), &mut self.local.normed[..dim], store);
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
        let Pass { isa, config, weights, logits, .. } = *self.pass;
        let pending = self.of_layer_before(self.layers());
        self.absorb(&Absorb { pending, norm: Some(&weights.output_norm), norm_first: false })?;
        let vocabulary = weights.output.matrix.rows;
        let size = self.piece(&weights.output.matrix);
        while let Some(columns) = self.team.chunk(vocabulary, size) {
            self.project(&weights.output, columns.clone(), Input::Stream, Target::Out);
            for (i, out) in self.local.out.chunks_exact_mut(columns.len()).take(self.rows.len()).enumerate() {
                if config.logit_scale != 1.0 {
                    isa.scale(out, config.logit_scale);
                }
                if let Some(cap) = config.logit_cap {
                    isa.soft_cap(out, cap);
                }
                let part = i * vocabulary + columns.start..i * vocabulary + columns.end;
                // SAFETY: these columns are in this worker's chunk.
                unsafe { logits.get_mut(part) }.copy_from_slice(out);
            }
        }
        self.team.barrier()
    }
}
