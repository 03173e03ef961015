//! Stage 1: what attention reads. Queries, keys and values of the normed stream, head by head.

use super::kv::PAGE;
use super::pass::{CHUNK_BYTES, Pass, Worker};
use super::project::{Input, Target};
use crate::config::LayerConfig;
use crate::error::Error;
use crate::weights::Layer;

impl Worker<'_> {
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
}
