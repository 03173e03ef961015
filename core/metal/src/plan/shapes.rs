//! Models of published shapes, for plans whose tensors nobody reads.

use super::*;
use crate::model::{Activation, Cache, QkNorm};

/// A published model and how its file is quantized.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub name: &'static str,
    pub dim: u32,
    pub feed_forward: u32,
    pub heads: [u32; 2],
    pub head_dim: u32,
    pub layers: u32,
    pub vocabulary: u32,
    /// Window, and every how many layers one has none.
    pub window: Option<(u32, u32)>,
    /// Norms behind blocks too.
    pub around: bool,
    pub files: Files,
}

/// What llama.cpp's quantizer makes of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Files {
    /// Q4_0, the head Q6_K.
    Q4_0,
    /// Q4_K; v and down of half the layers and the head Q6_K.
    Q4KM,
    /// The same where rows are no multiple of 256: Q5_0 and Q8_0.
    Q4KMOf32,
}

const LLAMA: Shape = Shape {
    name: "Llama 3.2 1B, Q4_0",
    dim: 2048,
    feed_forward: 8192,
    heads: [32, 8],
    head_dim: 64,
    layers: 16,
    vocabulary: 128_256,
    window: None,
    around: false,
    files: Files::Q4_0,
};

/// Sizes of their config.json files; all tie their embeddings but Phi, whose head is another matrix of that size.
pub const SHAPES: [Shape; 8] = [
    LLAMA,
    Shape { name: "Llama 3.2 1B, Q4_K_M", files: Files::Q4KM, ..LLAMA },
    Shape {
        name: "Qwen3 0.6B, Q4_0",
        dim: 1024,
        feed_forward: 3072,
        heads: [16, 8],
        head_dim: 128,
        layers: 28,
        vocabulary: 151_936,
        ..LLAMA
    },
    Shape {
        name: "Qwen2.5 1.5B, Q4_K_M",
        dim: 1536,
        feed_forward: 8960,
        heads: [12, 2],
        head_dim: 128,
        layers: 28,
        vocabulary: 151_936,
        files: Files::Q4KM,
        ..LLAMA
    },
    Shape {
        name: "Gemma 3 1B, Q4_K_M",
        dim: 1152,
        feed_forward: 6912,
        heads: [4, 1],
        head_dim: 256,
        layers: 26,
        vocabulary: 262_144,
        window: Some((512, 6)),
        around: true,
        files: Files::Q4KMOf32,
    },
    Shape {
        name: "Gemma 2 2B, Q4_K_M",
        dim: 2304,
        feed_forward: 9216,
        heads: [8, 4],
        head_dim: 256,
        layers: 26,
        vocabulary: 256_000,
        window: Some((4096, 2)),
        around: true,
        files: Files::Q4KM,
    },
    Shape {
        name: "SmolLM3 3B, Q4_K_M",
        dim: 2048,
        feed_forward: 11_008,
        heads: [16, 4],
        head_dim: 128,
        layers: 36,
        files: Files::Q4KM,
        ..LLAMA
    },
    Shape {
        name: "Phi 3.5 mini, Q4_K_M",
        dim: 3072,
        feed_forward: 8192,
        heads: [32, 32],
        head_dim: 96,
        layers: 32,
        vocabulary: 32_064,
        files: Files::Q4KM,
        ..LLAMA
    },
];

impl Shape {
    /// Whether v and down of a layer are stored more finely: in the first and last eighth, and every third layer between
    /// (llama.cpp, `use_more_bits`).
    pub fn is_finer(&self, layer: u32) -> bool {
        let eighth = self.layers / 8;
        layer < eighth || layer >= 7 * self.layers / 8 || (layer - eighth) % 3 == 2
    }

    pub fn window_of(&self, layer: u32) -> Option<u32> {
        self.window.filter(|(_, period)| layer % period != period - 1).map(|(width, _)| width)
    }

    pub fn model(&self) -> Model {
        let Self { dim, feed_forward, heads: [n_heads, n_kv_heads], head_dim, .. } = *self;
        let [usual, finer, head] = match self.files {
            Files::Q4_0 => [Format::Q4_0, Format::Q4_0, Format::Q6_K],
            Files::Q4KM => [Format::Q4_K, Format::Q6_K, Format::Q6_K],
            Files::Q4KMOf32 => [Format::Q5_0, Format::Q8_0, Format::Q8_0],
        };
        let mut offset = 0;
        let mut matrix = |format: Format, rows, cols| {
            let matrix = Matrix { format, rows, cols, offset };
            offset += matrix.bytes();
            Projection { matrix, bias: None }
        };
        let output = matrix(head, self.vocabulary, dim).matrix;
        let layer = |i: u32| {
            let v_and_down = if self.is_finer(i) { finer } else { usual };
            // Rows of down are as long as the feed-forward part is wide.
            let down = match (self.files, self.is_finer(i)) {
                (Files::Q4KMOf32, true) => Format::Q6_K,
                (Files::Q4KMOf32, false) => Format::Q4_K,
                _ => v_and_down,
            };
            Layer {
                attention_norm: Some(0),
                qkv: [
                    matrix(usual, n_heads * head_dim, dim),
                    matrix(usual, n_kv_heads * head_dim, dim),
                    matrix(v_and_down, n_kv_heads * head_dim, dim),
                ],
                qk_norms: None,
                window: self.window_of(i),
                rope: Some(0),
                attention_out: matrix(
                    if self.files == Files::Q4KMOf32 { Format::Q4_K } else { usual },
                    dim,
                    n_heads * head_dim,
                ),
                attention_post_norm: Some(0).filter(|_| self.around),
                feed_forward_norm: Some(0),
                gate: matrix(usual, feed_forward, dim).matrix,
                up: matrix(usual, feed_forward, dim).matrix,
                down: matrix(down, dim, feed_forward),
                feed_forward_post_norm: Some(0).filter(|_| self.around),
            }
        };
        let layers = (0..self.layers).map(layer).collect();
        Model {
            dim,
            feed_forward,
            n_heads,
            n_kv_heads,
            head_dim,
            value_dim: head_dim,
            rotated: head_dim,
            ropes: 1,
            adjacent: true,
            qk_norm: QkNorm::Shared,
            qk_norm_late: false,
            norm_eps: 1e-5,
            activation: Activation::Silu,
            embedding_scale: 1.0,
            residual_scale: 1.0,
            attention_scale: 1.0,
            attention_cap: None,
            temperature: None,
            logit_scale: 1.0,
            logit_cap: None,
            cache: Cache::F16,
            embedding: output,
            layers,
            output_norm: 0,
            output,
            max_pages: 512,
        }
    }
}

/// A token at a position, and the 40 best to follow.
pub fn one_token(first: u32) -> Pass {
    Pass { tokens: 1, first, wanted: 1, top_k: Some(40) }
}

/// A prompt of 512 tokens.
pub const PROMPT: Pass = Pass { tokens: 512, first: 0, wanted: 1, top_k: Some(40) };
