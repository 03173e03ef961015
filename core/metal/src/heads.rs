//! What the kernels of heads share (`heads.metal`): their arguments and tensors.

use crate::dispatch::{Binding, Buffer, Dispatch, Kernel};
use crate::model::{Model, QkNorm};
use crate::plan::Pass;

/// Positions of a page.
pub(crate) const PAGE: u32 = 64;

/// The last `tokens` tokens of a pass, in one layer, and how their work is shared out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work<'a> {
    pub model: &'a Model,
    pub layer: usize,
    pub pass: &'a Pass,
    pub tokens: u32,
    /// Query heads and tokens that a threadgroup takes.
    pub together: [u32; 2],
    /// Number of the first slice, how many there are, pages of one.
    pub slices: [u32; 3],
    /// Whether attention writes keys and values.
    pub stores: bool,
}

impl<'a> Work<'a> {
    /// Of tokens that are not shared out.
    pub fn new(model: &'a Model, layer: usize, pass: &'a Pass, tokens: u32) -> Self {
        let pages = (pass.first + pass.tokens).div_ceil(PAGE);
        Self { model, layer, pass, tokens, together: [1, 1], slices: [0, 1, pages], stores: false }
    }

    /// Position of the first token.
    pub fn first(&self) -> u32 {
        self.pass.first + self.pass.tokens - self.tokens
    }

    /// The fields of `HeadArgs`.
    pub fn constants(&self) -> Binding {
        let Model { n_heads, n_kv_heads, head_dim, value_dim, rotated, .. } = *self.model;
        let layer = &self.model.layers[self.layer];
        let norm = layer.qk_norms.map_or(0, |_| match self.model.qk_norm {
            QkNorm::Shared => 1,
            QkNorm::Each => 2,
            QkNorm::Whole => 3,
        });
        let ([heads, tokens_together], [first_slice, slices, pages_per_slice]) = (self.together, self.slices);
        Binding::Constants(vec![
            n_heads,
            n_kv_heads,
            head_dim,
            value_dim,
            layer.rope.map_or(0, |_| rotated),
            u32::from(self.model.adjacent),
            self.model.qkv_len(),
            u32::from(layer.qkv[0].bias.is_some()),
            norm,
            u32::from(self.model.qk_norm_late),
            self.model.norm_eps.to_bits(),
            self.first(),
            self.tokens,
            layer.window.unwrap_or(u32::MAX),
            self.model.attention_scale.to_bits(),
            self.model.attention_cap.unwrap_or(0.0).to_bits(),
            self.model.temperature.map_or(0.0, |temperature| temperature.scale).to_bits(),
            self.model.temperature.map_or(1, |temperature| temperature.period.max(1)),
            heads,
            tokens_together,
            first_slice,
            slices,
            pages_per_slice,
            u32::from(self.stores),
        ])
    }

    /// The dispatch of a kernel that takes the rows, the tensors of heads, the cache, and then `out` if it has any.
    pub fn dispatch(&self, stem: &'static str, out: Option<Buffer>) -> Dispatch {
        let layer = &self.model.layers[self.layer];
        let weights = |at: Option<u64>| at.map_or(Binding::Unused, |at| Binding::Memory(Buffer::Weights, at));
        let skipped = u64::from(self.pass.tokens - self.tokens);
        let angles = |rope: u32| {
            let rows = u64::from(rope) * u64::from(self.pass.tokens) + skipped;
            Binding::Memory(Buffer::Angles, 4 * rows * u64::from(self.model.rotated))
        };
        let [q, k, v] = layer.qkv.map(|projection| weights(projection.bias));
        let [q_norm, k_norm] = layer.qk_norms.map_or([None; 2], |norms| norms.map(Some)).map(weights);
        let table = 4 * self.layer as u64 * u64::from(self.model.max_pages);
        let mut bindings = vec![
            Binding::Memory(Buffer::Qkv, 4 * skipped * u64::from(self.model.qkv_len())),
            q,
            k,
            v,
            q_norm,
            k_norm,
            layer.rope.map_or(Binding::Unused, angles),
            Binding::Memory(Buffer::Pages, 0),
            Binding::Memory(Buffer::PageTable, table),
            self.constants(),
        ];
        bindings.extend(out.map(|out| Binding::Memory(out, 0)));
        Dispatch {
            kernel: Kernel { stem, format: Some(self.model.cache.format()), last: None },
            bindings,
            grid: [1; 3],
            threads: 32,
            threadgroup_bytes: None,
            bytes: 0,
            operations: 0,
        }
    }

    /// Operations of every query head for one key and its value.
    pub fn operations(&self) -> u64 {
        2 * u64::from(self.model.n_heads * (self.model.head_dim + self.model.value_dim))
    }

    /// Bytes of a key and a value of every head.
    pub fn position_bytes(&self) -> u64 {
        self.model.page_bytes() / u64::from(PAGE)
    }
}
