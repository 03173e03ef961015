//! The residual stream: embedded at the start, added to and normed at every stage, turned into logits at the end.

use sprat_kernels::Scratch;

use super::buffers::Local;
use super::pass::{Pass, Worker};
use super::project::{Input, Target};
use crate::error::Error;
use crate::weights::{Layer, LowRank, Matrix, Norm, Streams, Vector};

/// A step of the residual stream between two stages.
pub struct Absorb<'a> {
    /// What is to be added to the stream; none before the first layer.
    pub pending: Option<Pending<'a>>,
    /// What happens to further streams then; none where a model has one, or where the layer goes on with its work.
    pub others: Option<Others<'a>>,
    /// What norms the stream for the next stage; none where that reads the stream itself.
    pub norm: Option<&'a Norm>,
    /// Whether the stream is normed before something is added to it and not after.
    pub norm_first: bool,
}

impl<'a> Absorb<'a> {
    /// The stream itself as the next stage's input, once `pending` is in it.
    pub fn plain(pending: Option<Pending<'a>>) -> Self {
        Self { pending, others: None, norm: None, norm_first: false }
    }
}

/// What stages left for the stream.
pub enum Pending<'a> {
    /// Output of a block, in `y`.
    Block {
        /// What norms it on its way into the stream.
        post_norm: Option<&'a Norm>,
        /// What stands beside attention, and the norm through which it read the stream.
        beside: Option<(&'a LowRank, &'a Norm)>,
        /// Factor on the stream then, `[1]`.
        scale: Option<&'a Vector>,
    },
    /// What goes into all streams but the first, normed, in `y`.
    Others(&'a Norm),
    /// Projections of the embedding, with which further streams begin, in `sides`.
    Beginning,
    /// Projections of the further streams, which end in the first, in `sides`.
    Ending,
}

/// A step of further streams.
#[derive(Clone, Copy)]
pub enum Others<'a> {
    /// Before a layer: all are predicted from each other, and the layer works on the first.
    Predict(&'a Streams),
    /// After it: all change with what the layer changed, and the first, scaled, is read by the next stage alone.
    Correct(&'a Streams),
    /// Behind the last layer: the one of this number is read by the next stage.
    Show(usize),
}

impl<'a> Pending<'a> {
    /// What the feed-forward part of a layer left; nothing more comes from that layer if `is_last`.
    pub fn of_feed_forward(layer: &'a Layer, is_last: bool) -> Self {
        let scale = layer.output_scale.as_ref().filter(|_| is_last);
        Self::Block { post_norm: layer.feed_forward_post_norm.as_ref(), beside: None, scale }
    }
}

/// A token's residual stream and what stands beside it while it takes a step.
pub struct Stream<'a> {
    /// The stream that layers work on, `[dim]`.
    pub x: &'a mut [f32],
    /// All of them as they were predicted, `[streams, dim]`; empty where there is but one.
    pub streams: &'a mut [f32],
    /// Free for use, `[dim]`.
    pub spare: &'a mut [f32],
    /// Of the kernels.
    pub scratch: &'a mut Scratch,
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

    /// Takes one step of the stream of token `row`; `store` gets the next stage's input.
    fn absorb(&self, absorb: &Absorb<'_>, row: usize, stream: &mut Stream<'_>, store: impl FnOnce(&[f32])) {
        let input = |x: &[f32], spare: &mut [f32]| match absorb.norm {
            Some(norm) => {
                self.norm(norm, x, spare);
                store(spare);
            }
            None => store(x),
        };
        if absorb.norm_first {
            input(stream.x, stream.spare);
            self.step(absorb, row, stream);
        } else {
            self.step(absorb, row, stream);
            input(stream.x, stream.spare);
        }
    }

    fn step(&self, absorb: &Absorb<'_>, row: usize, stream: &mut Stream<'_>) {
        if let Some(pending) = &absorb.pending {
            self.add(pending, row, stream);
        }
        if let Some(others) = absorb.others {
            self.step_others(others, stream);
        }
    }

    fn add(&self, pending: &Pending<'_>, row: usize, stream: &mut Stream<'_>) {
        let Pass { isa, config, file, buffers, .. } = *self;
        let part = row * config.dim..(row + 1) * config.dim;
        // SAFETY: `y` was written by an earlier stage and is not written in this one.
        let y = || unsafe { buffers.y.get(part.clone()) };
        match pending {
            Pending::Block { post_norm, beside, scale } => {
                if let Some((_, norm)) = beside {
                    self.norm(norm, stream.x, stream.spare);
                    isa.add(stream.x, stream.spare);
                }
                let made = match post_norm {
                    Some(norm) => {
                        self.norm(norm, y(), stream.spare);
                        &*stream.spare
                    }
                    None => y(),
                };
                if config.residual_scale == 1.0 {
                    isa.add(stream.x, made);
                } else {
                    isa.add_scaled(stream.x, made, config.residual_scale);
                }
                if let Some((path, _)) = beside {
                    self.add_low_rank(path, row, stream);
                }
                if let Some(scale) = scale {
                    isa.scale(stream.x, scale.get(file)[0]);
                }
            }
            Pending::Others(norm) => {
                self.norm(norm, y(), stream.spare);
                let others = stream.streams.chunks_exact_mut(config.dim).skip(1);
                others.for_each(|other| isa.add(other, stream.spare));
            }
            Pending::Beginning => self.take_beginnings(row, stream),
            Pending::Ending => self.take_endings(row, stream),
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
        let weights = self.pass.weights;
        let Some(before) = index.checked_sub(1) else {
            return Some(Pending::Beginning).filter(|_| !weights.stream_ends.begin.is_empty());
        };
        let before = &weights.layers[before];
        Some(match &before.per_layer {
            Some(per_layer) if before.streams.is_some() => Pending::Others(&per_layer.norm),
            Some(per_layer) => {
                Pending::Block { post_norm: Some(&per_layer.norm), beside: None, scale: before.output_scale.as_ref() }
            }
            None => Pending::of_feed_forward(before, true),
        })
    }

    /// Adds what the last stage made to the residual stream, if anything, and leaves the normed stream as the next
    /// stage's input.
    pub(super) fn absorb(&mut self, absorb: &Absorb<'_>) -> Result<(), Error> {
        let Pass { isa, config, buffers, .. } = *self.pass;
        let dim = config.dim;
        if self.single() {
            let Local { x, streams, normed, input, scratch, .. } = &mut *self.local;
            // SAFETY: the set is this worker's own.
            let store = |normed: &[f32]| unsafe { input.store_row(isa, 0, normed) };
            let mut stream = Stream { x, streams, spare: &mut normed[..dim], scratch };
            self.pass.absorb(absorb, self.rows.start, &mut stream, store);
            return Ok(());
        }
        let (first, all) = (self.rows.start, self.pass.width_of_streams());
        while let Some(chunk) = self.team.chunk(self.rows.len(), 4) {
            for i in chunk.start + first..chunk.end + first {
                // SAFETY: token `i` is in this worker's chunk.
                let (x, streams) = unsafe {
                    (buffers.x.get_mut(i * dim..(i + 1) * dim), buffers.streams.get_mut(i * all..(i + 1) * all))
                };
                // SAFETY: token `i` is in this worker's chunk.
                let store = |normed: &[f32]| unsafe { buffers.input.store_row(isa, i, normed) };
                let Local { normed, scratch, .. } = &mut *self.local;
                let mut stream = Stream { x, streams, spare: &mut normed[..dim], scratch };
                self.pass.absorb(absorb, i, &mut stream, store);
            }
        }
        self.team.barrier()
    }

    /// From here on only the wanted tokens matter: the last layer's cache is written.
    pub fn keep_wanted(&mut self) {
        let (dim, was_batch) = (self.pass.config.dim, !self.single());
        self.rows.start = self.rows.end - self.pass.wanted;
        if was_batch && self.single() {
            let (row, all) = (self.rows.start, self.pass.width_of_streams());
            let buffers = self.pass.buffers;
            // SAFETY: `absorb` wrote the streams before its barrier; the next one to write them comes after another.
            unsafe {
                self.local.x.copy_from_slice(buffers.x.get(row * dim..(row + 1) * dim));
                self.local.streams.copy_from_slice(buffers.streams.get(row * all..(row + 1) * all));
            }
        }
    }

    /// The wanted tokens' logits.
    pub fn logits(&mut self) -> Result<(), Error> {
        let Pass { isa, config, weights, logits, head, .. } = *self.pass;
        let pending = self.end_streams()?;
        self.absorb(&Absorb { norm: Some(&weights.output_norm), ..Absorb::plain(pending) })?;
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
                if let Some(head) = head {
                    head.take(self.team.index, columns.start, out);
                    continue;
                }
                let part = i * vocabulary + columns.start..i * vocabulary + columns.end;
                // SAFETY: these columns are in this worker's chunk.
                unsafe { logits.get_mut(part) }.copy_from_slice(out);
            }
        }
        self.team.barrier()
    }
}
