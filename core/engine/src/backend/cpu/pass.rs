//! One worker's part of a forward pass: the stages of a layer, each a parallel region with a barrier behind it.

use std::ops::Range;

use sprat_kernels::{ActivationKind, Isa};

use super::buffers::{BATCH_ROWS, Buffers, Local, SINGLE_ROWS};
use super::kv::{KvCache, PAGE};
use super::pool::Team;
use super::shared::Shared;
use crate::config::{Config, LayerConfig};
use crate::error::Error;
use crate::weights::{Layer, Linear, Matrix, Vector, Weights};

/// Weight bytes of one piece of work: a slow core costs at most one piece, and the shared counter stays cold.
pub const CHUNK_BYTES: usize = 48 * 1024;

/// What all workers of a pass read.
pub struct Pass<'a> {
    /// The kernels.
    pub isa: &'static Isa,
    /// The model's dimensions.
    pub config: &'a Config,
    /// The model's tensors.
    pub weights: &'a Weights,
    /// The mapped file.
    pub file: &'a [u8],
    /// Token ids of this pass, at most [`Buffers::rows`].
    pub tokens: &'a [u32],
    /// Which of `tokens` need logits: the last so many.
    pub wanted: usize,
    /// The cache, with room reserved for all of `tokens`.
    pub cache: &'a KvCache,
    /// The memory to work in.
    pub buffers: &'a Buffers,
    /// Logits of the wanted tokens, `[wanted, vocabulary]`.
    pub logits: &'a Shared<f32>,
}

/// One worker inside a pass.
///
/// Safety of the shared buffers, in one place: every stage writes only rows, heads or columns of the chunks that
/// `Team::chunk` handed to this worker alone, reads only what earlier stages wrote, and ends with a barrier.
pub struct Worker<'a> {
    pub(super) pass: &'a Pass<'a>,
    pub(super) team: &'a Team<'a>,
    pub(super) local: &'a mut Local,
    /// Tokens of the pass that are still carried: all, and after the last cache write the wanted ones.
    pub(super) rows: Range<usize>,
}

impl<'a> Worker<'a> {
    /// A worker about to begin.
    pub fn new(pass: &'a Pass<'a>, team: &'a Team<'a>, local: &'a mut Local) -> Self {
        Self { pass, team, local, rows: 0..pass.tokens.len() }
    }

    /// Whether each worker carries the one remaining token by itself.
    pub(super) fn single(&self) -> bool {
        self.rows.len() == 1
    }

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
    fn absorb(&mut self, pending: bool, norm: &Vector) -> Result<(), Error> {
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

    /// Computes some rows of a projection of the current input into `out`, `[tokens, rows]`, bias added.
    fn project(&mut self, linear: &Linear, rows: Range<usize>, input: Input, target: Target) {
        let Pass { isa, file, buffers, .. } = *self.pass;
        let single = self.single();
        let Local { input: own, attention_input, out, up, scratch, .. } = &mut *self.local;
        let (set, tokens) = match (input, single) {
            (Input::Stream, true) => (&*own, 0..1),
            (Input::Stream, false) => (&buffers.input, self.rows.clone()),
            (Input::Attention, true) => (&*attention_input, 0..1),
            (Input::Attention, false) => (&buffers.attention_input, self.rows.clone()),
            (Input::Hidden, _) => (&buffers.hidden, self.rows.clone()),
        };
        let out = match target {
            Target::Out => out,
            Target::Up => up,
        };
        let n = rows.len();
        // SAFETY: an earlier stage wrote these rows; none writes them in this stage.
        let x = unsafe { set.view(&linear.matrix, tokens) };
        let out = &mut out[..x.t() * n];
        isa.matmul(linear.matrix.format, linear.matrix.rows(file, rows.clone()), &x, out, scratch);
        if let Some(bias) = &linear.bias {
            let bias = &bias.get(file)[rows];
            out.chunks_exact_mut(n).for_each(|out| isa.add(out, bias));
        }
    }

    /// Rows of `matrix` in one piece of work, a multiple of 16 but for the last.
    fn piece(&self, matrix: &Matrix) -> usize {
        if self.single() {
            (CHUNK_BYTES / matrix.row_bytes()).next_multiple_of(16).clamp(16, SINGLE_ROWS)
        } else {
            BATCH_ROWS
        }
    }

    /// Stage 1: norm; queries, keys and values with bias, norm and rotation; keys and values into the cache.
    pub fn attention_in(&mut self, index: usize) -> Result<(), Error> {
        let (layer, dims) = (&self.pass.weights.layers[index], &self.pass.config.layers[index]);
        self.absorb(index > 0, &layer.attention_norm)?;
        let heads = dims.n_heads + 2 * dims.n_kv_heads;
        let head_bytes = layer.q.matrix.row_bytes() * dims.head_dim;
        let size = if self.single() { (CHUNK_BYTES / head_bytes).max(1) } else { 1 };
        while let Some(chunk) = self.team.chunk(heads, size) {
            for head in chunk {
                self.head(index, head, layer, dims);
            }
        }
        self.team.barrier()
    }

    fn head(&mut self, index: usize, head: usize, layer: &Layer, dims: &LayerConfig) {
        let Pass { isa, config, file, cache, buffers, .. } = *self.pass;
        let (queries, keys) = (dims.n_heads, dims.n_heads + dims.n_kv_heads);
        let (linear, norm, head, size) = if head < queries {
            (&layer.q, &layer.q_norm, head, dims.head_dim)
        } else if head < keys {
            (&layer.k, &layer.k_norm, head - queries, dims.head_dim)
        } else {
            (&layer.v, &None, head - keys, dims.value_dim)
        };
        self.project(linear, head * size..(head + 1) * size, Input::Stream, Target::Out);
        let is_value = std::ptr::eq(linear, &layer.v);
        let is_query = std::ptr::eq(linear, &layer.q);
        let group = dims.n_heads / dims.n_kv_heads;
        for (i, row) in self.rows.clone().enumerate() {
            let out = &mut self.local.out[i * size..(i + 1) * size];
            let position = cache.len() + row;
            if let Some(norm) = norm {
                let normed = &mut self.local.normed[..size];
                isa.rms_norm(out, Some(norm.get(file)), config.norm_eps, normed);
                out.copy_from_slice(normed);
            }
            if let Some(rope) = dims.rope.filter(|_| !is_value) {
                let pairs = self.pass.weights.ropes[rope].pairs();
                let part = row * pairs..(row + 1) * pairs;
                let (cos, sin) = &buffers.angles[rope];
                // SAFETY: `embed` wrote the angles before its barrier.
                let (cos, sin) = unsafe { (cos.get(part.clone()), sin.get(part)) };
                isa.rope(out, cos, sin, config.spec.pairing);
            }
            let page = &cache.pages(index)[position / PAGE];
            // SAFETY: this worker has the head in its chunk: nobody else touches its queries, keys or values, and
            // `KvCache::reserve` made sure that no fork shares the page.
            unsafe {
                if is_query {
                    let place = ((head / group * buffers.rows + row) * group + head % group) * size;
                    buffers.q.get_mut(place..place + size).copy_from_slice(out);
                } else if is_value {
                    isa.store_f16(out, page.value_mut(head, position % PAGE, dims));
                } else {
                    isa.store_f16(out, page.key_mut(head, position % PAGE, dims));
                }
            }
        }
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

    /// The output of attention as input of stage 3.
    fn collect(&mut self, dims: &LayerConfig) -> Result<(), Error> {
        let Pass { isa, buffers, .. } = *self.pass;
        let width = dims.n_heads * dims.value_dim;
        if self.single() {
            let row = self.rows.start;
            // SAFETY: the stage before wrote `attended`; the set is this worker's own.
            unsafe {
                let attended = buffers.attended.get(row * width..(row + 1) * width);
                self.local.attention_input.store(isa, 0, 0, attended);
            }
            return Ok(());
        }
        let first = self.rows.start;
        while let Some(chunk) = self.team.chunk(self.rows.len(), 4) {
            for i in chunk.start + first..chunk.end + first {
                // SAFETY: the stage before wrote `attended`; token `i` is in this worker's chunk.
                unsafe {
                    let attended = buffers.attended.get(i * width..(i + 1) * width);
                    buffers.attention_input.store(isa, i, 0, attended);
                }
            }
        }
        self.team.barrier()
    }

    /// Computes all rows of a projection into `y`.
    fn project_to_y(&mut self, linear: &Linear, input: Input) -> Result<(), Error> {
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

    /// Stage 3: output rows of attention.
    pub fn attention_out(&mut self, index: usize) -> Result<(), Error> {
        self.collect(&self.pass.config.layers[index])?;
        self.project_to_y(&self.pass.weights.layers[index].attention_out, Input::Attention)
    }

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

    /// How many layers the model has.
    pub fn layers(&self) -> usize {
        self.pass.weights.layers.len()
    }

    /// Whether no token's logits are wanted.
    pub fn nothing_wanted(&self) -> bool {
        self.pass.wanted == 0
    }
}

/// Which activations a projection reads.
#[derive(Clone, Copy)]
enum Input {
    Stream,
    Attention,
    Hidden,
}

/// Which of the worker's buffers a projection fills.
#[derive(Clone, Copy)]
enum Target {
    Out,
    Up,
}
