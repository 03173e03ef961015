//! Dispatches and bytes of plans for the shapes of published models.

use super::*;
use crate::formats::Format;
use crate::model::Projection;

/// dim, feed_forward, heads, kv heads, head_dim, layers, vocabulary.
type Shape = [u32; 7];

/// Meta's Llama 3.2 1B (its config.json), tied embeddings.
const LLAMA_1B: Shape = [2048, 8192, 32, 8, 64, 16, 128_256];
/// Qwen3 0.6B (its config.json), tied embeddings.
const QWEN3_06B: Shape = [1024, 3072, 16, 8, 128, 28, 151_936];

/// A file of this shape: `v` and `down` in one format, the head in another, as mixed files have them.
fn model(shape: Shape, format: Format, v_and_down: Format, head: Format) -> Model {
    let [dim, feed_forward, n_heads, n_kv_heads, head_dim, layers, vocabulary] = shape;
    let mut offset = 0;
    let mut matrix = |format: Format, rows, cols| {
        let matrix = Matrix { format, rows, cols, offset };
        offset += matrix.bytes();
        matrix
    };
    let output = matrix(head, vocabulary, dim);
    let layers = (0..layers).map(|_| {
        let projection = |matrix| Projection { matrix, bias: None };
        Layer {
            attention_norm: 0,
            qkv: [
                projection(matrix(format, n_heads * head_dim, dim)),
                projection(matrix(format, n_kv_heads * head_dim, dim)),
                projection(matrix(v_and_down, n_kv_heads * head_dim, dim)),
            ],
            qk_norms: None,
            attention_out: matrix(format, dim, n_heads * head_dim),
            feed_forward_norm: 0,
            gate: matrix(format, feed_forward, dim),
            up: matrix(format, feed_forward, dim),
            down: matrix(v_and_down, dim, feed_forward),
        }
    });
    let layers = layers.collect();
    Model {
        dim,
        feed_forward,
        n_heads,
        n_kv_heads,
        head_dim,
        value_dim: head_dim,
        rotated: head_dim,
        adjacent: true,
        norm_eps: 1e-5,
        attention_scale: 1.0,
        embedding: output,
        layers,
        output_norm: 0,
        output,
        max_pages: 512,
    }
}

fn one_token(first: u32) -> Pass {
    Pass { tokens: 1, first, wanted: 1, top_k: Some(40) }
}

fn bytes(list: &[Dispatch]) -> u64 {
    list.iter().map(|dispatch| dispatch.bytes).sum()
}

#[test]
fn a_layer_takes_at_most_8_dispatches() {
    use Format::{Q4_0, Q4_K, Q6_K};
    for (model, first, expected) in [
        (model(LLAMA_1B, Q4_0, Q4_0, Q6_K), 0, 6),
        (model(LLAMA_1B, Q4_0, Q4_0, Q6_K), 4000, 7),
        (model(LLAMA_1B, Q4_K, Q6_K, Q6_K), 4000, 8),
        (model(QWEN3_06B, Q4_K, Q6_K, Q6_K), 4000, 8),
    ] {
        let (list, _) = model.pass(&one_token(first));
        // Around the layers: embedding, head, three rounds of the best tokens.
        assert_eq!(list.len(), model.layers.len() * expected + 5);
        let prompt = Pass { tokens: 512, first: 0, wanted: 1, top_k: None };
        assert!(model.pass(&prompt).0.len() <= model.layers.len() * 8 + 2);
    }
}

/// The design's figures, which are arithmetic over the published shapes. Llama 3.2 1B as Q4_0 with a Q6_K head: 0.765 GB of
/// weights a token, and 32 KB of cache for each position before it. Qwen3 0.6B: a head of 128 MB behind 440 M weights of 4.5
/// bits (the design rounds the sum up to 0.40 GB).
#[test]
fn bytes_of_a_token_are_the_design_s() {
    let within = |found: u64, design: f64| {
        let ratio = found as f64 / design;
        assert!((ratio - 1.0).abs() < 0.05, "{found} bytes, the design says {design:e}");
    };
    let llama = model(LLAMA_1B, Format::Q4_0, Format::Q4_0, Format::Q6_K);
    within(bytes(&llama.pass(&one_token(0)).0), 0.765e9);
    within(bytes(&llama.pass(&one_token(4095)).0), 0.765e9 + 4096.0 * 32768.0);
    let qwen = model(QWEN3_06B, Format::Q4_0, Format::Q4_0, Format::Q6_K);
    within(bytes(&qwen.pass(&one_token(0)).0), 440e6 * 4.5 / 8.0 + 128e6);
    let (list, _) = qwen.pass(&one_token(0));
    let head = list.iter().find(|d| d.kernel.format == Some(Format::Q6_K) && d.kernel.stem == "matvec");
    within(head.expect("the head is a product").bytes, 128e6);
}

#[test]
fn a_prompt_walks_over_the_weights_once_per_32_tokens() {
    let llama = model(LLAMA_1B, Format::Q4_0, Format::Q4_0, Format::Q6_K);
    let products = |tokens: u32| -> u64 {
        let (list, _) = llama.pass(&Pass { tokens, first: 0, wanted: 0, top_k: None });
        list.iter().filter(|d| d.kernel.stem == "gate_up_mat").map(|d| d.bytes).sum()
    };
    let weights = 15 * 2 * llama.layers[0].gate.bytes(); // the last layer needs no more than its keys
    let values = |tokens: u64| 15 * 4 * (tokens * (2048 + 8192) + 2048);
    assert_eq!(products(32), weights + values(32));
    assert_eq!(products(33), 2 * weights + values(33));
}

#[test]
fn nothing_wanted_ends_with_the_last_keys() {
    let llama = model(LLAMA_1B, Format::Q8_0, Format::Q8_0, Format::Q8_0);
    let (list, _) = llama.pass(&Pass { tokens: 7, first: 3, wanted: 0, top_k: None });
    assert_eq!(list.last().map(|dispatch| dispatch.kernel.stem), Some("cache"));
}

#[test]
fn all_that_is_not_the_file_or_the_cache_is_small() {
    let llama = model(LLAMA_1B, Format::Q4_0, Format::Q4_0, Format::Q6_K);
    let bytes = |pass: &Pass| -> u64 {
        use Buffer::{Angles, Attended, Hidden, Logits, Partials, Qkv, Residual, Tokens, TopIndices, TopValues};
        [Tokens, Angles, Residual, Qkv, Attended, Partials, Hidden, Logits]
            .into_iter()
            .chain([false, true].into_iter().flat_map(|turn| [TopValues(turn), TopIndices(turn)]))
            .map(|buffer| llama.buffer_bytes(buffer, pass).expect("a buffer of a pass"))
            .sum()
    };
    // 0.5 MB of it logits; the hidden values of 512 tokens are 16.8 MB.
    assert!(bytes(&one_token(4095)) < 800_000, "{}", bytes(&one_token(4095)));
    let prompt = Pass { tokens: 512, first: 0, wanted: 1, top_k: Some(40) };
    assert!(bytes(&prompt) < 33_000_000, "{}", bytes(&prompt));
    assert_eq!(llama.buffer_bytes(Buffer::Weights, &prompt), None);
}
