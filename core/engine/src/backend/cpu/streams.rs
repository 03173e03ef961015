//! Residual streams side by side. Layers work on the first; the others begin as projections of the embedding, are carried
//! along by a few coefficients for each token, and end as projections that come into the first.

use sprat_kernels::{Activation, Activations};

use super::pass::{Pass, Worker};
use super::project::{Input, To};
use super::stream::{Absorb, Others, Pending, Stream};
use crate::config::MAX_STREAMS;
use crate::error::Error;
use crate::weights::{LowRank, Streams};

/// Columns of all streams that are mixed at a time.
const COLUMNS: usize = 64;

impl<'a> Worker<'a> {
    /// Projects the embedding to what further streams begin with.
    pub fn begin_streams(&mut self) -> Result<(), Error> {
        let ends = &self.pass.weights.stream_ends;
        if ends.begin.is_empty() {
            return Ok(());
        }
        self.absorb(&Absorb::plain(None))?;
        for (side, begin) in ends.begin.iter().enumerate() {
            self.project_to(&[(begin, Input::Stream, To::Side(side))])?;
        }
        Ok(())
    }

    /// Takes what the last layer left, projects the further streams, and tells what is still to be added to the first.
    pub(super) fn end_streams(&mut self) -> Result<Option<Pending<'a>>, Error> {
        let ends = &self.pass.weights.stream_ends;
        let mut pending = self.of_layer_before(self.layers());
        for (side, end) in ends.end.iter().enumerate() {
            self.absorb(&Absorb { others: Some(Others::Show(side + 1)), ..Absorb::plain(pending) })?;
            self.project_to(&[(end, Input::Stream, To::Side(side))])?;
            pending = None;
        }
        Ok(if ends.end.is_empty() { pending } else { Some(Pending::Ending) })
    }
}

impl<'a> Pass<'a> {
    /// Values of all streams of a token; 0 where there is but one.
    pub(super) fn width_of_streams(&self) -> usize {
        if self.config.streams > 1 { self.config.streams * self.config.dim } else { 0 }
    }

    /// What a stage before made beside `y` for token `row`, `[dim]`.
    pub(super) fn side(&self, side: usize, row: usize) -> &'a [f32] {
        // SAFETY: an earlier stage wrote it, and none that is running does.
        unsafe { self.buffers.sides.get(self.side_range(side, row)) }
    }

    /// All streams as the embedding `x` and its projections, which get its length.
    pub(super) fn take_beginnings(&self, row: usize, stream: &mut Stream<'_>) {
        let Stream { x, streams, .. } = stream;
        for (number, to) in streams.chunks_exact_mut(self.config.dim).enumerate() {
            match number.checked_sub(1) {
                None => to.copy_from_slice(x),
                Some(side) => {
                    to.copy_from_slice(self.side(side, row));
                    self.isa.scale(to, self.as_long_as(x, to));
                }
            }
        }
    }

    /// The mean of the first stream and the others' projections, which get its length, as `x`.
    pub(super) fn take_endings(&self, row: usize, stream: &mut Stream<'_>) {
        let Stream { x, streams, .. } = stream;
        let first = &streams[..self.config.dim];
        x.copy_from_slice(first);
        for side in 0..self.config.streams - 1 {
            let side = self.side(side, row);
            self.isa.add_scaled(x, side, self.as_long_as(first, side));
        }
        self.isa.scale(x, 1.0 / self.config.streams as f32);
    }

    /// The factor that makes `y` as long as `x`; 0 where `y` is 0 itself.
    fn as_long_as(&self, x: &[f32], y: &[f32]) -> f32 {
        let length = self.isa.length(y);
        if length > 0.0 { self.isa.length(x) / length } else { 0.0 }
    }

    /// Adds the path of low rank beside attention, and weighs what the three of them make.
    pub(super) fn add_low_rank(&self, path: &LowRank, row: usize, stream: &mut Stream<'_>) {
        self.norm(&path.norm, self.side(0, row), stream.spare);
        self.isa.add(stream.x, stream.spare);
        self.isa.scale(stream.x, std::f32::consts::FRAC_1_SQRT_2);
    }

    /// Takes a step of the further streams.
    pub(super) fn step_others(&self, others: Others<'_>, stream: &mut Stream<'_>) {
        let dim = self.config.dim;
        match others {
            Others::Predict(layer) => {
                self.predict(layer, stream);
                stream.x.copy_from_slice(&stream.streams[..dim]);
            }
            Others::Correct(layer) => {
                self.correct(layer, stream);
                stream.x.copy_from_slice(&stream.streams[..dim]);
                self.isa.multiply(stream.x, layer.correct_scale.get(self.file));
            }
            Others::Show(number) => stream.x.copy_from_slice(&stream.streams[number * dim..(number + 1) * dim]),
        }
    }

    /// Adds to each stream some of each, as the first one says.
    fn predict(&self, layer: &Streams, stream: &mut Stream<'_>) {
        let (n, dim) = (self.config.streams, self.config.dim);
        stream.x.copy_from_slice(&stream.streams[..dim]);
        let scores = &self.scores(layer, stream)[..n];
        let weights = layer.predict.get(self.file);
        let mut before = [[0.0; COLUMNS]; MAX_STREAMS];
        for start in (0..dim).step_by(COLUMNS) {
            let columns = start..(start + COLUMNS).min(dim);
            let width = columns.len();
            for (number, before) in before.iter_mut().take(n).enumerate() {
                before[..width].copy_from_slice(&stream.streams[number * dim..][columns.clone()]);
            }
            for to in 0..n {
                for from in 0..n {
                    let share = dot(&weights[(to * n + from) * n..][..n], scores);
                    let to = &mut stream.streams[to * dim..][columns.clone()];
                    self.isa.add_scaled(to, &before[from][..width], share);
                }
            }
        }
    }

    /// Adds to each stream some of what the layer made of the first, as that says itself, and all of it once.
    fn correct(&self, layer: &Streams, stream: &mut Stream<'_>) {
        let (n, dim) = (self.config.streams, self.config.dim);
        let scores = &self.scores(layer, stream)[..n];
        let weights = layer.correct.get(self.file);
        self.isa.add_scaled(stream.x, &stream.streams[..dim], -1.0);
        for (to, weights) in stream.streams.chunks_exact_mut(dim).zip(weights.chunks_exact(n)) {
            self.isa.add_scaled(to, stream.x, 1.0 + dot(weights, scores));
        }
    }

    /// What the router says about `x`; the first of them count.
    fn scores(&self, layer: &Streams, stream: &mut Stream<'_>) -> [f32; MAX_STREAMS] {
        let (n, dim) = (self.config.streams, self.config.dim);
        let mut all = [0.0; MAX_STREAMS];
        self.norm(&layer.router_norm, stream.x, stream.spare);
        let scores = &mut all[..n];
        self.multiply(&layer.router, 0..n, &Activations::f32(1, dim, stream.spare), scores, stream.scratch);
        self.isa.scale(scores, 1.0 / dim as f32);
        self.isa.activate(Activation::Tanh, scores);
        all
    }
}

/// A sum of a few products, in order.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
