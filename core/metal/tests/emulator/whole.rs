//! Whole models: the plan's very list, played pass by pass, against the plain forward pass in f32.

use sprat_gguf::{Contents, TensorKind};
use sprat_metal::{Buffer, Format, Layer, Matrix, Model, Pass, Projection};

use crate::emulator::{Emulator, Order};
use crate::reference::Reference;
use crate::small::{Random, Small, VOCABULARY};
use crate::weights::worst;

const MAX_PAGES: u32 = 4;
const BASE: f64 = 10000.0; // of the small files' rotary embedding

/// The description of a small file.
fn model(contents: &Contents) -> Model {
    let architecture = contents.str("general.architecture").expect("a string").expect("present");
    let size = |key: &str| {
        let value = contents.u64(&format!("{architecture}.{key}")).expect("a number").expect("present");
        u32::try_from(value).expect("a small number")
    };
    let place = |name: String| contents.tensor(&name).map(|tensor| tensor.range.start);
    let vector = |name: String| place(name).expect("present");
    let matrix = |name: String| {
        let tensor = contents.tensor(&name).expect("present");
        let [cols, rows] = [0, 1].map(|i| u32::try_from(tensor.shape[i]).expect("small"));
        let format = Format::from_name(&tensor.kind.to_string()).expect("a format of the shaders");
        Matrix { format, rows, cols, offset: tensor.range.start }
    };
    let layer = |i: u32| {
        let name = |part: &str| format!("blk.{i}.{part}");
        let projection = |part: &str| Projection {
            matrix: matrix(name(&format!("{part}.weight"))),
            bias: place(name(&format!("{part}.bias"))),
        };
        let norms = [place(name("attn_q_norm.weight")), place(name("attn_k_norm.weight"))];
        Layer {
            attention_norm: vector(name("attn_norm.weight")),
            qkv: ["attn_q", "attn_k", "attn_v"].map(projection),
            qk_norms: norms[0].zip(norms[1]).map(|(q, k)| [q, k]),
            attention_out: matrix(name("attn_output.weight")),
            feed_forward_norm: vector(name("ffn_norm.weight")),
            gate: matrix(name("ffn_gate.weight")),
            up: matrix(name("ffn_up.weight")),
            down: matrix(name("ffn_down.weight")),
        }
    };
    let head_dim = size("attention.key_length");
    let embedding = matrix("token_embd.weight".into());
    let output = contents.tensor("output.weight").map_or(embedding, |_| matrix("output.weight".into()));
    let eps = contents.f32(&format!("{architecture}.attention.layer_norm_rms_epsilon"));
    Model {
        dim: size("embedding_length"),
        feed_forward: size("feed_forward_length"),
        n_heads: size("attention.head_count"),
        n_kv_heads: size("attention.head_count_kv"),
        head_dim,
        value_dim: size("attention.value_length"),
        rotated: size("rope.dimension_count"),
        adjacent: architecture == "llama",
        norm_eps: eps.expect("a number").expect("present"),
        attention_scale: 1.0 / (head_dim as f32).sqrt(),
        embedding,
        layers: (0..size("block_count")).map(layer).collect(),
        output_norm: vector("output_norm.weight".into()),
        output,
        max_pages: MAX_PAGES,
    }
}

/// cos and sin of a pass, `[t, pairs, 2]`.
fn angles(model: &Model, pass: &Pass) -> Vec<f32> {
    let pairs = model.rotated / 2;
    let pair = |position: u32, i: u32| {
        let angle = f64::from(position) * BASE.powf(-f64::from(i) / f64::from(pairs));
        [angle.cos() as f32, angle.sin() as f32]
    };
    let position = |t: u32| (0..pairs).flat_map(move |i| pair(pass.first + t, i));
    (0..pass.tokens).flat_map(position).collect()
}

/// Logits of every token, fed in pieces.
fn logits(model: &Model, file: &[u8], tokens: &[u32], pieces: &[usize], emulator: &mut Emulator) -> Vec<Vec<f32>> {
    let units = model.page_bytes().div_ceil(16384);
    let n_pages = model.layers.len() as u64 * u64::from(MAX_PAGES);
    emulator.define(Buffer::Weights, file);
    emulator.define(Buffer::Pages, &vec![0xff; (n_pages * units * 16384) as usize]);
    emulator.define_u32(Buffer::PageTable, &(0..n_pages).map(|i| (i * units) as u32).collect::<Vec<u32>>());
    let (mut rows, mut first) = (Vec::new(), 0);
    for &piece in pieces {
        let pass = Pass { tokens: piece as u32, first: first as u32, wanted: piece as u32, top_k: None };
        let (list, _) = model.pass(&pass);
        // One cache page: nothing is sliced. Embedding and head stand around the layers.
        assert_eq!(list.len(), 6 * model.layers.len() + 2);
        emulator.define_u32(Buffer::Tokens, &tokens[first..first + piece]);
        emulator.define_f32(Buffer::Angles, &angles(model, &pass));
        for buffer in [Buffer::Residual, Buffer::Qkv, Buffer::Attended, Buffer::Hidden, Buffer::Logits] {
            let bytes = model.buffer_bytes(buffer, &pass).expect("a buffer of a pass");
            emulator.define(buffer, &vec![0xff; bytes as usize]);
        }
        list.iter().for_each(|dispatch| emulator.play(dispatch));
        let found = emulator.f32s(Buffer::Logits).expect("no finding");
        rows.extend(found.chunks_exact(VOCABULARY).map(<[f32]>::to_vec));
        first += piece;
    }
    rows
}

fn tokens(n: usize) -> Vec<u32> {
    let mut random = Random(11);
    (0..n).map(|_| random.below(VOCABULARY) as u32).collect()
}

fn check(name: &str, kind: TensorKind, order: Order) {
    let small = Small::new(name, kind);
    let file = small.bytes();
    let contents = Contents::parse(&file, file.len() as u64).expect("a good file");
    let tokens = tokens(18);
    let expected = Reference::new(&contents, &file).logits(&tokens);
    // A prompt in tiles, a few tokens, single ones.
    let mut emulator = Emulator::new(order);
    let found = logits(&model(&contents), &file, &tokens, &[11, 4, 1, 1, 1], &mut emulator);
    let worst = worst(&found.concat(), &expected.concat());
    // The cache rounds keys and values to f16, a part in 2048; the oracle does not.
    assert!(worst < 2e-3, "{name} {kind}: off by {worst:e} of the largest logit");
}

#[test]
fn llama_gives_the_logits_of_the_plain_forward_pass() {
    check("llama", TensorKind::Q4_0, Order::Forward);
    check("llama", TensorKind::Q6_K, Order::Shuffled);
}

#[test]
fn qwen2_with_its_biases_does() {
    check("qwen2", TensorKind::Q8_0, Order::Backward);
}

#[test]
fn qwen3_with_its_norms_does() {
    check("qwen3", TensorKind::Q4_K, Order::Forward);
    check("qwen3", TensorKind::F16, Order::Backward);
}
