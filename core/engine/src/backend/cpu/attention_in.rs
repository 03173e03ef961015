//! Stage 1: what attention reads. Queries, keys and values of the normed stream, head by head.

use super::buffers::{Kinds, Local};
use super::kv::PAGE;
use super::pass::{CHUNK_BYTES, Pass, Worker};
use super::project::{Input, Target};
use super::stream::{Absorb, Others};
use crate::config::LayerConfig;
use crate::error::Error;
use crate::weights::{Attention, HeadNorm, Linear, LowRank, Mixer};

impl Worker<'_> {
    /// Stage 1: norm; queries, keys and values with bias, norm and rotation; keys and values into the cache. A recurrent
    /// layer does all its work on tokens and state here.
    pub fn attention_in(&mut self, index: usize) -> Result<(), Error> {
        let (layer, dims) = (&self.pass.weights.layers[index], &self.pass.config.layers[index]);
        let pending = self.of_layer_before(index);
        let others = layer.streams.as_ref().map(Others::Predict);
        self.absorb(&Absorb { others, norm: layer.attention_norm.as_ref(), ..Absorb::plain(pending) })?;
        match (&layer.mixer, &dims.recurrent) {
            (Mixer::Convolution(layer), Some(dims)) => self.convolution(layer, dims),
            (Mixer::Scan(layer), Some(dims)) => {
                self.scan_in(layer, dims)?;
                self.scan(layer, dims)
            }
            (Mixer::Attention(layer), _) => self.heads(index, layer, dims),
            (_, None) => Ok(()),
        }
    }

    fn heads(&mut self, index: usize, layer: &Attention, dims: &LayerConfig) -> Result<(), Error> {
        let gates = if layer.gated { dims.n_heads } else { 0 };
        let own = if dims.has_kv() { dims.n_kv_heads } else { 0 };
        let heads = dims.n_heads + 2 * own + gates;
        let head_bytes = layer.q.matrix.row_bytes() * dims.head_dim;
        let size = if self.single() { (CHUNK_BYTES / head_bytes).max(1) } else { 1 };
        // One more item for the path beside attention.
        let path = self.pass.weights.layers[index].low_rank.as_ref();
        while let Some(chunk) = self.team.chunk(heads + usize::from(path.is_some()), size) {
            for item in chunk {
                if let Some(path) = path.filter(|_| item == heads) {
                    self.low_rank(path);
                    continue;
                }
                self.head(index, Head::of(item, dims), layer, dims);
            }
        }
        self.team.barrier()?;
        // A norm over all heads at once waits for all of them: one more region for the families that have it.
        let whole = |norm: &Option<HeadNorm>| matches!(norm, Some(HeadNorm::Whole(_)));
        if whole(&layer.q_norm) || whole(&layer.k_norm) {
            self.norm_whole(index, layer, dims)?;
        }
        Ok(())
    }

    /// Computes the few values of the path beside attention, of all tokens.
    fn low_rank(&mut self, path: &LowRank) {
        let Pass { isa, buffers, .. } = *self.pass;
        let rank = path.left.matrix.rows;
        self.project(&path.left, 0..rank, Input::Stream, Target::Out);
        for (row, values) in self.rows.clone().zip(self.local.out.chunks_exact(rank)) {
            // SAFETY: this worker has the path in its chunk.
            unsafe { buffers.low_rank.store(isa, Kinds::of([&path.right]), rank, row, 0, values) };
        }
    }

    /// Computes one head of all tokens.
    fn head(&mut self, index: usize, head: Head, layer: &Attention, dims: &LayerConfig) {
        let (linear, norm, size) = head.parts(layer, dims);
        let first = head.first_row(layer, size);
        self.project(linear, first..first + size, Input::Stream, Target::Out);
        let Local { out, normed, .. } = &mut *self.local;
        for (row, values) in self.rows.clone().zip(out.chunks_exact_mut(size)) {
            if let Some(HeadNorm::Whole(_)) = norm {
                let place = self.pass.unnormed(row, head, dims);
                // SAFETY: this worker has the head in its chunk.
                unsafe { self.pass.buffers.unnormed.get_mut(place..place + size) }.copy_from_slice(values);
            } else {
                self.pass.finish_head(index, layer, head, row, values, &mut normed[..size]);
            }
        }
    }

    /// Norms queries and keys of whole tokens, which [`Self::head`] left unnormed.
    fn norm_whole(&mut self, index: usize, layer: &Attention, dims: &LayerConfig) -> Result<(), Error> {
        let buffers = self.pass.buffers;
        let first = self.rows.start;
        while let Some(chunk) = self.team.chunk(self.rows.len(), 1) {
            for row in chunk.start + first..chunk.end + first {
                let parts = [(Part::Query, &layer.q_norm, dims.n_heads), (Part::Key, &layer.k_norm, dims.n_kv_heads)];
                for (part, norm, heads) in parts {
                    let Some(HeadNorm::Whole(norm)) = norm else { continue };
                    let (place, size) = (self.pass.unnormed(row, Head { part, index: 0 }, dims), dims.head_dim);
                    let Local { normed, out, .. } = &mut *self.local;
                    let normed = &mut normed[..heads * size];
                    // SAFETY: the region before wrote the token's row, and nobody writes it in this one.
                    self.pass.norm(norm, unsafe { buffers.unnormed.get(place..place + heads * size) }, normed);
                    for (head, values) in normed.chunks_exact_mut(size).enumerate() {
                        let head = Head { part, index: head };
                        self.pass.finish_head(index, layer, head, row, values, &mut out[..size]);
                    }
                }
            }
        }
        self.team.barrier()
    }
}

impl Pass<'_> {
    /// Where a head of a token lies in [`Buffers::unnormed`](super::buffers::Buffers::unnormed).
    fn unnormed(&self, row: usize, head: Head, dims: &LayerConfig) -> usize {
        let first = if head.part == Part::Key { dims.n_heads } else { 0 };
        (row * (dims.n_heads + dims.n_kv_heads) + first + head.index) * dims.head_dim
    }

    /// Norms and rotates one head of one token and puts it where attention looks for it. `spare` is as long as `values`.
    ///
    /// The caller has the head (or the token) in its chunk: nobody else touches its queries, keys or values.
    fn finish_head(
        &self,
        index: usize,
        layer: &Attention,
        head: Head,
        row: usize,
        values: &mut [f32],
        spare: &mut [f32],
    ) {
        let Pass { isa, config, cache, buffers, .. } = *self;
        let dims = &config.layers[index];
        let (_, norm, size) = head.parts(layer, dims);
        let norm = match norm {
            Some(HeadNorm::Shared(norm)) => Some(norm),
            Some(HeadNorm::Each(norms)) => Some(&norms[head.index]),
            // Those come normed.
            Some(HeadNorm::Whole(_)) | None => None,
        };
        let mut apply_norm = |values: &mut [f32]| {
            if let Some(norm) = norm {
                self.norm(norm, values, spare);
                values.copy_from_slice(spare);
            }
        };
        let position = cache.len() + row;
        if !config.spec.qk_norm_after_rope {
            apply_norm(values);
        }
        if let Some(rope) = dims.rope.filter(|_| matches!(head.part, Part::Query | Part::Key)) {
            let pairs = self.ropes[rope].pairs();
            let part = row * pairs..(row + 1) * pairs;
            let (cos, sin) = &buffers.angles[rope];
            // SAFETY: `embed` wrote the angles before its barrier.
            let (cos, sin) = unsafe { (cos.get(part.clone()), sin.get(part)) };
            isa.rope(values, cos, sin, config.spec.pairing);
        }
        if config.spec.qk_norm_after_rope {
            apply_norm(values);
        }
        let page = |layer: usize| &cache.pages(layer)[position / PAGE];
        // SAFETY: only the caller has this head of this token, and `KvCache::reserve` made sure that no fork shares the page.
        unsafe {
            match head.part {
                Part::Query => {
                    if let Some(temperature) = config.temperature {
                        isa.scale(values, temperature.at(position));
                    }
                    let group = dims.group();
                    let place = ((head.index / group * buffers.rows + row) * group + head.index % group) * size;
                    buffers.q.get_mut(place..place + size).copy_from_slice(values);
                }
                Part::Gate => {
                    let place = row * dims.mixed_width() + head.index * size;
                    buffers.gates.get_mut(place..place + size).copy_from_slice(values);
                }
                Part::Key => {
                    let page = page(index);
                    isa.store_kv(page.format, values, page.key_mut(head.index, position % PAGE, dims));
                }
                Part::Value => {
                    if config.spec.value_norm {
                        isa.rms_norm(values, None, config.norm_eps, spare);
                        values.copy_from_slice(spare);
                    }
                    let page = page(index);
                    isa.store_kv(page.format, values, page.value_mut(head.index, position % PAGE, dims));
                }
            }
        }
    }
}

/// Why keys and values are there.
const OWN: &str = "only layers with their own have such items";

/// Which of the projections.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Query,
    Key,
    Value,
    Gate,
}

/// One head of one of them.
#[derive(Clone, Copy)]
struct Head {
    part: Part,
    index: usize,
}

impl Head {
    /// Work item `item`: the queries' heads, then the keys', the values' and the gates'.
    fn of(item: usize, dims: &LayerConfig) -> Self {
        let (queries, keys) = (dims.n_heads, dims.n_heads + dims.n_kv_heads);
        if item < queries {
            Self { part: Part::Query, index: item }
        } else if item < keys {
            Self { part: Part::Key, index: item - queries }
        } else if item < keys + dims.n_kv_heads {
            Self { part: Part::Value, index: item - keys }
        } else {
            Self { part: Part::Gate, index: item - keys - dims.n_kv_heads }
        }
    }

    /// Its projection, its norm and its size.
    fn parts<'a>(&self, layer: &'a Attention, dims: &LayerConfig) -> (&'a Linear, Option<&'a HeadNorm>, usize) {
        match self.part {
            Part::Query => (&layer.q, layer.q_norm.as_ref(), dims.head_dim),
            Part::Key => (layer.k.as_ref().expect(OWN), layer.k_norm.as_ref(), dims.head_dim),
            Part::Value => (layer.v.as_ref().expect(OWN), None, dims.value_dim),
            Part::Gate => (&layer.q, None, dims.value_dim),
        }
    }

    /// Where its rows begin in its projection.
    fn first_row(&self, layer: &Attention, size: usize) -> usize {
        match self.part {
            Part::Query if layer.gated => 2 * self.index * size,
            Part::Gate => (2 * self.index + 1) * size,
            _ => self.index * size,
        }
    }
}
