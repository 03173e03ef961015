//! The list of dispatches of a pass: the transformer over the stages.

use crate::attention;
use crate::cache;
use crate::dispatch::{Buffer, Dispatch};
use crate::embed;
use crate::formats::Format;
use crate::matvec::{Finish, Norm, Product};
use crate::model::{Layer, Matrix, Model, Projection};
use crate::norm;
use crate::top_k;

/// What a pass is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    /// Tokens, at least 1.
    pub tokens: u32,
    /// Position of the first.
    pub first: u32,
    /// How many of the last tokens get logits; may be 0.
    pub wanted: u32,
    /// So many of the best tokens after the last one, at most 256.
    pub top_k: Option<u32>,
}

impl Model {
    /// The dispatches of a pass, in order, and which of the two result buffers the best tokens are in. They go into one
    /// command buffer, each waiting for the one before.
    ///
    /// # Panics
    /// If the pass has no token, wants more than it has, or goes past the page table; or if [`Model::check`] says no.
    pub fn pass(&self, pass: &Pass) -> (Vec<Dispatch>, bool) {
        assert!(pass.tokens > 0 && pass.wanted <= pass.tokens, "a pass wants at most the tokens it has");
        assert!(pass.first + pass.tokens <= 64 * self.max_pages, "the positions have pages");
        assert_eq!(self.check(), Ok(()), "the shaders can run the model");
        let mut list = vec![embed::dispatch(self, pass)];
        list.extend((0..self.layers.len()).flat_map(|i| self.layer(i, pass)));
        if pass.wanted == 0 {
            return (list, false);
        }
        list.push(self.logits(pass));
        match pass.top_k {
            None => (list, false),
            Some(k) => {
                let last = u64::from(pass.wanted - 1) * u64::from(self.output.rows) * 4;
                let (rounds, turn) = top_k::dispatches(last, self.output.rows, k);
                list.extend(rounds);
                (list, turn)
            }
        }
    }

    /// The dispatches of a layer.
    fn layer(&self, i: usize, pass: &Pass) -> Vec<Dispatch> {
        let layer = &self.layers[i];
        let mut list = self.attention_in(layer, pass);
        // The cache is complete after its last layer's keys; the rest of that layer serves the logits alone.
        let tokens = if i + 1 == self.layers.len() { pass.wanted } else { pass.tokens };
        let is_few = attention::is_few(pass);
        if tokens == 0 || !is_few {
            list.push(cache::dispatch(self, i, pass));
        }
        if tokens > 0 {
            let attended = if is_few { pass.tokens } else { tokens };
            list.extend(attention::dispatches(self, i, pass, attended));
            list.extend(self.rest_of_layer(layer, pass, tokens, attended));
        }
        list
    }

    /// Queries, keys and values of the normed input: one dispatch, or one for each format among them where there is no kernel for
    /// the pair.
    fn attention_in(&self, layer: &Layer, pass: &Pass) -> Vec<Dispatch> {
        let matrices = layer.qkv.map(|projection| projection.matrix);
        let parts: &[&[usize]] = match matrices.map(|m| m.format) {
            [q, k, v] if q == k && (k == v || Format::PAIRS.contains(&(k, v))) => &[&[0, 1, 2]],
            [q, k, _] if q == k => &[&[0, 1], &[2]],
            [_, k, v] if k == v => &[&[0], &[1, 2]],
            _ => &[&[0], &[1], &[2]],
        };
        let part = |part: &&[usize]| {
            let before: u32 = matrices[..part[0]].iter().map(|m| m.rows).sum();
            let matrices: Vec<Matrix> = part.iter().map(|&i| matrices[i]).collect();
            let product = Product {
                matrices: &matrices,
                tokens: pass.tokens,
                input: (Buffer::Residual, 0),
                norm: layer.attention_norm.map(|at| self.norm(at)),
                output: (Buffer::Qkv, 4 * u64::from(before)),
                stride: self.qkv_len(),
                finish: Finish::NONE,
                adds: false,
            };
            product.dispatch()
        };
        parts.iter().map(part).collect()
    }

    /// Output of attention and the feed-forward part, for the last `tokens` tokens of the pass, of which attention did `attended`.
    fn rest_of_layer(&self, layer: &Layer, pass: &Pass, tokens: u32, attended: u32) -> Vec<Dispatch> {
        let residual = (Buffer::Residual, self.residual_at(pass, tokens));
        // A block's output goes straight into the stream, or through a norm; until then the other block's buffer is free.
        let added = |projection: &Projection, input: (Buffer, u64), post_norm: Option<u64>, spare: Buffer| {
            let scale = if post_norm.is_some() { 1.0 } else { self.residual_scale };
            let product = Product {
                matrices: &[projection.matrix],
                tokens,
                input,
                norm: None,
                output: if post_norm.is_some() { (spare, 0) } else { residual },
                stride: self.dim,
                finish: Finish { bias: projection.bias, scale, cap: None },
                adds: post_norm.is_none(),
            };
            let normed = |at| norm::add_normed(self.dim, tokens, spare, self.norm(at), residual, self.residual_scale);
            [product.dispatch()].into_iter().chain(post_norm.map(normed)).collect::<Vec<_>>()
        };
        let hidden = Product {
            matrices: &[layer.gate, layer.up],
            tokens,
            input: residual,
            norm: layer.feed_forward_norm.map(|at| self.norm(at)),
            output: (Buffer::Hidden, 0),
            stride: self.feed_forward,
            finish: Finish::NONE,
            adds: false,
        };
        let from = (Buffer::Attended, 4 * u64::from((attended - tokens) * self.n_heads * self.value_dim));
        let mut list = added(&layer.attention_out, from, layer.attention_post_norm, Buffer::Hidden);
        list.push(hidden.gate_up(self.activation));
        list.extend(added(&layer.down, (Buffer::Hidden, 0), layer.feed_forward_post_norm, Buffer::Attended));
        list
    }

    fn logits(&self, pass: &Pass) -> Dispatch {
        let product = Product {
            matrices: &[self.output],
            tokens: pass.wanted,
            input: (Buffer::Residual, self.residual_at(pass, pass.wanted)),
            norm: Some(self.norm(self.output_norm)),
            output: (Buffer::Logits, 0),
            stride: self.output.rows,
            finish: Finish { bias: None, scale: self.logit_scale, cap: self.logit_cap },
            adds: false,
        };
        product.dispatch()
    }

    fn norm(&self, weights: u64) -> Norm {
        Norm { weights, eps: self.norm_eps }
    }

    /// Where the last `tokens` tokens of the pass begin in the residual stream.
    fn residual_at(&self, pass: &Pass, tokens: u32) -> u64 {
        u64::from(pass.tokens - tokens) * u64::from(self.dim) * 4
    }

    /// Bytes that a buffer needs for a pass; none for those that outlive it: weights, pages and their table.
    pub fn buffer_bytes(&self, buffer: Buffer, pass: &Pass) -> Option<u64> {
        let t = u64::from(pass.tokens);
        let unnormed = if self.has_post_norms() { self.dim } else { 0 };
        let values = match buffer {
            Buffer::Weights | Buffer::Pages | Buffer::PageTable => return None,
            Buffer::Tokens => t,
            Buffer::Angles => t * u64::from(self.ropes * self.rotated),
            Buffer::Residual => t * u64::from(self.dim),
            Buffer::Qkv => t * u64::from(self.qkv_len()),
            Buffer::Attended => t * u64::from((self.n_heads * self.value_dim).max(unnormed)),
            Buffer::Partials => {
                let slices = self.layers.iter().map(|layer| attention::slices(pass, layer.window)).max().unwrap_or(1);
                let rows = if slices > 1 { t * u64::from(slices) } else { 0 };
                rows * u64::from(self.n_heads * (2 + self.value_dim))
            }
            Buffer::Hidden => t * u64::from(self.feed_forward.max(unnormed)),
            Buffer::Logits => u64::from(pass.wanted) * u64::from(self.output.rows),
            Buffer::TopValues(_) | Buffer::TopIndices(_) => {
                u64::from(self.output.rows.div_ceil(top_k::CHUNK)) * u64::from(pass.top_k.unwrap_or(0))
            }
        };
        Some(4 * values)
    }
}

#[cfg(test)]
mod estimates;
#[cfg(test)]
mod shapes;
#[cfg(test)]
mod tests;
