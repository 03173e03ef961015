//! Dispatches and bytes of plans for the shapes of published models.

use super::shapes::{Files, PROMPT, SHAPES, Shape, one_token};
use super::*;
use crate::dispatch::Binding;
use crate::model::{Cache, QkNorm, Unsupported};

fn llama() -> Model {
    SHAPES[0].model()
}

fn bytes(list: &[Dispatch]) -> u64 {
    list.iter().map(|dispatch| dispatch.bytes).sum()
}

/// Dispatches of all layers of a pass.
fn of_layers(model: &Model, pass: &Pass) -> usize {
    (0..model.layers.len()).map(|i| model.layer(i, pass).len()).sum()
}

#[test]
fn a_layer_of_a_token_takes_5_dispatches_and_some_for_norms_and_slices() {
    for shape in SHAPES {
        let model = shape.model();
        let layers = model.layers.len();
        // q/k/v, attention, output, gate/up, down; norms behind two of them.
        let least = if shape.around { 7 } else { 5 };
        assert_eq!(of_layers(&model, &one_token(0)), least * layers, "{}", shape.name);
        // Where a layer sees more than one slice, these are joined.
        let pass = one_token(4095);
        let sliced = (0..shape.layers).filter(|&i| attention::slices(&pass, shape.window_of(i)) > 1).count();
        assert_eq!(of_layers(&model, &pass), least * layers + sliced, "{}", shape.name);
        // A prompt writes its keys and values first and is not sliced.
        for first in [0, 4000] {
            assert_eq!(of_layers(&model, &Pass { first, ..PROMPT }), (least + 1) * layers, "{}", shape.name);
        }
    }
}

#[test]
fn no_layer_takes_more_than_8_dispatches() {
    use Format::{BF16, F16, F32, IQ4_NL, Q4_0, Q4_1, Q4_K, Q5_0, Q5_1, Q5_K, Q6_K, Q8_0};
    // Formats of q, k and v as quantizers mix them: one, or one more for v.
    let alone = [F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K, IQ4_NL].map(|format| (format, format));
    let mut most = 0;
    for shape in SHAPES {
        for (usual, of_v) in alone.into_iter().chain(Format::PAIRS) {
            // Up to 8 heads in a group and more; a window or none; norms behind blocks or none.
            for (group, window, around) in [(1, None, true), (4, Some(512), true), (16, None, false), (32, None, true)]
            {
                let heads = [group * shape.heads[1], shape.heads[1]];
                let mut model = Shape { heads, around, window: window.map(|width| (width, 2)), ..shape }.model();
                for layer in &mut model.layers {
                    [usual, usual, of_v].into_iter().zip(&mut layer.qkv).for_each(|(format, part)| {
                        (part.matrix.format, part.matrix.cols) = (format, part.matrix.cols.next_multiple_of(256));
                    });
                }
                for tokens in [1, 2, 4, 5, 8, 9, 31, 256] {
                    for (first, wanted) in [(0, tokens), (508, 1), (509, 0), (4000, tokens), (9000, 1)] {
                        let pass = Pass { tokens, first, wanted, top_k: None };
                        let layers = [0, 1, model.layers.len() - 1].map(|i| model.layer(i, &pass).len());
                        let longest = layers.into_iter().max().expect("three");
                        assert!(longest <= 8, "{}, {usual:?} and {of_v:?}, {pass:?}: {longest}", shape.name);
                        most = most.max(longest);
                    }
                }
            }
        }
    }
    assert_eq!(most, 8, "the bound is met");
}

/// The design's arithmetic over published shapes: weights once, and for each position that a layer sees, its keys and values as
/// halves.
fn by_design(shape: &Shape, first: u32) -> f64 {
    let [q, kv] = shape.heads.map(|heads| f64::from(heads * shape.head_dim));
    let (dim, hidden) = (f64::from(shape.dim), f64::from(shape.feed_forward));
    // Bits of a weight: usual, finer, head; down and output where rows are multiples of 256.
    let [usual, finer, head, finer_down, usual_down] = match shape.files {
        Files::Q4_0 => [4.5, 4.5, 6.5625, 4.5, 4.5],
        Files::Q4KM => [4.5, 6.5625, 6.5625, 6.5625, 4.5],
        Files::Q4KMOf32 => [5.5, 8.5, 8.5, 6.5625, 4.5],
    };
    let layer = |i: u32| {
        let (v, down) = if shape.is_finer(i) { (finer, finer_down) } else { (usual, usual_down) };
        let bits = dim * (usual * (q + kv + 2.0 * hidden) + v * kv + usual_down * q + down * hidden);
        let seen = shape.window_of(i).map_or(first + 1, |window| window.min(first + 1));
        bits / 8.0 + f64::from(seen) * 2.0 * kv * 2.0
    };
    (0..shape.layers).map(layer).sum::<f64>() + head / 8.0 * f64::from(shape.vocabulary) * dim
}

#[test]
fn bytes_of_a_token_are_the_design_s() {
    let within = |what: &str, found: u64, design: f64| {
        let ratio = found as f64 / design;
        assert!((ratio - 1.0).abs() < 0.05, "{what}: {found} bytes, the design says {design:e}");
    };
    for shape in SHAPES {
        for first in [0, 4095] {
            within(shape.name, bytes(&shape.model().pass(&one_token(first)).0), by_design(&shape, first));
        }
    }
    // What the design has as figures: 0.765 GB a token of Llama 3.2 1B, and 32 KB for each position before it; a head of 128 MB
    // in Qwen3 0.6B.
    within("Llama", bytes(&llama().pass(&one_token(0)).0), 0.765e9);
    within("Llama", bytes(&llama().pass(&one_token(4095)).0), 0.765e9 + 4096.0 * 32768.0);
    let (list, _) = SHAPES[2].model().pass(&one_token(0));
    let head = list.iter().find(|d| d.kernel.format == Some(Format::Q6_K) && d.kernel.stem == "matvec");
    within("the head", head.expect("the head is a product").bytes, 128e6);
}

/// Limits of Apple's GPUs from the A13 on (Metal Feature Set Tables): 32 KB of threadgroup memory, 1024 threads, 31 buffers, of which
/// `setBytes` fills 4 KB.
#[test]
fn every_dispatch_is_within_what_devices_take() {
    for shape in SHAPES {
        let model = shape.model();
        for pass in [one_token(4095), PROMPT, Pass { tokens: 8, first: 2000, wanted: 8, top_k: Some(256) }] {
            for dispatch in model.pass(&pass).0 {
                let name = dispatch.kernel.name();
                assert!(dispatch.threadgroup_bytes.is_none_or(|bytes| bytes <= 32 << 10), "{name}");
                assert!(dispatch.threads <= 1024 && dispatch.threads.is_multiple_of(32), "{name}");
                assert!(dispatch.grid.iter().all(|&groups| groups > 0), "{name}");
                assert!(dispatch.bindings.len() <= 31, "{name}");
                for binding in &dispatch.bindings {
                    match binding {
                        Binding::Constants(words) => assert!(4 * words.len() <= 4 << 10, "{name}"),
                        Binding::Memory(Buffer::Weights, _) | Binding::Unused => {}
                        Binding::Memory(_, offset) => assert!(offset.is_multiple_of(4), "{name}"),
                    }
                }
            }
        }
    }
}

#[test]
fn a_cache_of_bytes_moves_little_more_than_half() {
    let halves = llama();
    let eights = Model { cache: Cache::Q8_0, ..llama() };
    assert_eq!(eights.page_bytes() * 32, halves.page_bytes() * 17);
    let of_attention = |model: &Model| {
        let (list, _) = model.pass(&one_token(4095));
        list.iter().find(|d| d.kernel.stem == "attention_64").expect("attention").bytes as f64
    };
    let ratio = of_attention(&eights) / of_attention(&halves);
    assert!((0.53..0.55).contains(&ratio), "{ratio}");
}

#[test]
fn a_prompt_walks_over_the_weights_once_per_32_tokens() {
    let llama = llama();
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
fn operations_of_a_prompt_are_twice_its_weights_and_scores() {
    let llama = llama();
    let (list, _) = llama.pass(&Pass { wanted: 512, top_k: None, ..PROMPT });
    let found: u64 = list.iter().map(|dispatch| dispatch.operations).sum();
    // 0.973 B weights of layers and 0.263 B of the head; half of 512² pairs of positions, 2 * 32 * 64 products each, 16 layers.
    let expected = 2.0 * 512.0 * (0.973e9 + 0.2627e9) + 16.0 * 2.0 * 2.0 * 2048.0 * (512.0 * 513.0 / 2.0);
    assert!((found as f64 / expected - 1.0).abs() < 1e-3, "{found} of {expected:e}");
}

#[test]
fn nothing_wanted_ends_with_the_last_keys() {
    for tokens in [1, 7] {
        let (list, _) = llama().pass(&Pass { tokens, first: 3, wanted: 0, top_k: None });
        assert_eq!(list.last().map(|dispatch| dispatch.kernel.stem), Some("cache"));
    }
}

#[test]
fn all_that_is_not_the_file_or_the_cache_is_small() {
    // 0.5 MB of it logits; the hidden values of 512 tokens are 16.8 MB.
    assert!(bookkeeping(&llama(), &one_token(4095)) < 800_000);
    assert!(bookkeeping(&llama(), &PROMPT) < 33_000_000);
    assert_eq!(llama().buffer_bytes(Buffer::Weights, &PROMPT), None);
}

/// Bytes of all buffers of a pass.
pub fn bookkeeping(model: &Model, pass: &Pass) -> u64 {
    use Buffer::{Angles, Attended, Hidden, Logits, Partials, Qkv, Residual, Tokens, TopIndices, TopValues};
    [Tokens, Angles, Residual, Qkv, Attended, Partials, Hidden, Logits]
        .into_iter()
        .chain([false, true].into_iter().flat_map(|turn| [TopValues(turn), TopIndices(turn)]))
        .map(|buffer| model.buffer_bytes(buffer, pass).expect("a buffer of a pass"))
        .sum()
}

#[test]
fn buffers_hold_what_a_norm_behind_a_block_has_still_to_read() {
    // Gemma 3 1B: attention's heads put out less than the stream is wide.
    let gemma = SHAPES[4].model();
    assert_eq!(gemma.buffer_bytes(Buffer::Attended, &one_token(0)), Some(4 * 1152));
    assert_eq!(gemma.buffer_bytes(Buffer::Partials, &one_token(4095)), Some(8 * 4 * 4 * (256 + 2)));
}

#[test]
fn what_the_shaders_cannot_do_is_said() {
    type Change = fn(&mut Model);
    let odd = |change: Change| {
        let mut model = llama();
        change(&mut model);
        model.check()
    };
    assert_eq!(odd(|_| ()), Ok(()));
    let cases: [(Change, Unsupported); 10] = [
        (|m| m.head_dim = 260, Unsupported::HeadSize { size: 260 }),
        (|m| m.value_dim = 60, Unsupported::HeadSize { size: 60 }),
        (|m| (m.cache, m.head_dim, m.rotated) = (Cache::Q8_0, 80, 80), Unsupported::HeadSize { size: 80 }),
        (|m| m.rotated = 66, Unsupported::Rotation { values: 66 }),
        (|m| m.n_kv_heads = 5, Unsupported::Heads { queries: 32, keys: 5 }),
        (|m| m.dim = 1000, Unsupported::Width { width: 1000 }),
        (|m| m.layers[3].up.format = Format::Q8_0, Unsupported::GateAndUp { layer: 3 }),
        (|m| m.layers[1].qkv[0].bias = Some(0), Unsupported::SomeBiases { layer: 1 }),
        (|m| m.layers[2].rope = Some(1), Unsupported::Rope { layer: 2 }),
        (
            |m| {
                (m.qk_norm, m.qk_norm_late) = (QkNorm::Whole, true);
                m.layers[0].qk_norms = Some([0, 0]);
            },
            Unsupported::LateWholeNorm,
        ),
    ];
    for (change, reason) in cases {
        assert_eq!(odd(change), Err(reason));
        assert!(!reason.to_string().is_empty());
    }
}
