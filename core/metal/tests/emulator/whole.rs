//! Whole models: the plan's very list, played pass by pass, against the plain forward pass in f32.

use std::ops::Range;

use sprat_gguf::{Contents, TensorKind};
use sprat_metal::{
    Activation, Binding, Buffer, Cache, Format, Layer, Matrix, Model, Pass, Projection, QkNorm, Temperature, views,
};

use crate::emulator::{Emulator, Order};
use crate::families::ON_A_GPU;
use crate::reference::Reference;
use crate::small::{Random, Small, VOCABULARY};
use crate::weights::worst;

const MAX_PAGES: u32 = 4;

/// Frequencies of a rotary embedding's pairs, and its factor on cos and sin.
type Rope = (Vec<f64>, f64);

/// A small file as the plan describes it.
struct File<'a> {
    contents: &'a Contents,
    reference: Reference<'a>,
}

impl<'a> File<'a> {
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.reference.architecture)
    }

    fn size(&self, name: &str) -> u32 {
        let value = self.contents.u64(&self.key(name)).expect("a number").expect("present");
        u32::try_from(value).expect("a small number")
    }

    fn number(&self, name: &str) -> Option<f32> {
        self.contents.f32(&self.key(name)).expect("a number")
    }

    fn is(&self, names: &[&str]) -> bool {
        names.contains(&self.reference.architecture)
    }

    fn place(&self, name: &str) -> Option<u64> {
        self.contents.tensor(name).map(|tensor| tensor.range.start)
    }

    /// `rows` of a matrix, from one of them on; all where it is none.
    fn matrix(&self, name: &str, part: Option<(u32, u32)>) -> Matrix {
        let tensor = self.contents.tensor(name).unwrap_or_else(|| panic!("{name} is present"));
        let [cols, all] = [0, 1].map(|i| u32::try_from(tensor.shape[i]).expect("small"));
        let format = Format::from_name(&tensor.kind.to_string()).expect("a format of the shaders");
        let (from, rows) = part.unwrap_or((0, all));
        let offset = tensor.range.start + u64::from(from) * u64::from(format.row_bytes(cols));
        Matrix { format, rows, cols, offset }
    }

    fn projection(&self, name: &str) -> Projection {
        Projection { matrix: self.matrix(&format!("{name}.weight"), None), bias: self.place(&format!("{name}.bias")) }
    }

    fn layer(&self, model: &Model, ropes: &mut Vec<Rope>, i: u32) -> Layer {
        let name = |part: &str| format!("blk.{i}.{part}");
        let norm = |part: &str| self.place(&name(&format!("{part}.weight")));
        let norms = [norm("attn_q_norm"), norm("attn_k_norm")];
        // Several projections may be one tensor, one behind the other.
        let fused =
            |part: (u32, u32)| Projection { matrix: self.matrix(&name("attn_qkv.weight"), Some(part)), bias: None };
        let [q, k] = [model.n_heads, model.n_kv_heads].map(|heads| heads * model.head_dim);
        let qkv = match self.place(&name("attn_qkv.weight")) {
            Some(_) => [(0, q), (q, k), (q + k, k)].map(fused),
            None => ["attn_q", "attn_k", "attn_v"].map(|part| self.projection(&name(part))),
        };
        let width = model.feed_forward;
        let (gate, up) = match norm("ffn_gate") {
            Some(_) => (self.matrix(&name("ffn_gate.weight"), None), self.matrix(&name("ffn_up.weight"), None)),
            None => {
                let half = |from| self.matrix(&name("ffn_up.weight"), Some((from, width)));
                (half(0), half(width))
            }
        };
        let windowed = self.reference.windowed(i as usize);
        let rope = self.reference.frequencies(i as usize, model.rotated as usize).map(|rope| {
            let known = ropes.iter().position(|other| *other == rope);
            known.unwrap_or_else(|| {
                ropes.push(rope);
                ropes.len() - 1
            }) as u32
        });
        Layer {
            attention_norm: norm("attn_norm"),
            qkv,
            qk_norms: norms[0].zip(norms[1]).map(|(q, k)| [q, k]),
            window: windowed.then(|| self.size("attention.sliding_window")),
            rope,
            attention_out: self.projection(&name("attn_output")),
            attention_post_norm: norm("post_attention_norm"),
            feed_forward_norm: norm("ffn_norm"),
            gate,
            up,
            down: self.projection(&name("ffn_down")),
            feed_forward_post_norm: norm("post_ffw_norm"),
        }
    }

    fn model(&self, cache: Cache) -> (Model, Vec<Rope>) {
        let (dim, head_dim) = (self.size("embedding_length"), self.size("attention.key_length"));
        let gemma = self.is(&["gemma2", "gemma3"]);
        let embedding = self.matrix("token_embd.weight", None);
        let tied = self.place("output.weight").is_none();
        let qk_norm = self.contents.tensor("blk.0.attn_q_norm.weight");
        let whole = qk_norm.is_some_and(|tensor| tensor.shape[0] > u64::from(head_dim));
        let mut model = Model {
            dim,
            feed_forward: self.size("feed_forward_length"),
            n_heads: self.size("attention.head_count"),
            n_kv_heads: self.size("attention.head_count_kv"),
            head_dim,
            value_dim: self.size("attention.value_length"),
            rotated: self.size("rope.dimension_count"),
            ropes: 0,
            adjacent: self.is(&["llama", "mistral3", "granite", "smollm3"]),
            qk_norm: if whole { QkNorm::Whole } else { QkNorm::Shared },
            qk_norm_late: self.is(&["hunyuan-dense"]),
            norm_eps: self.number("attention.layer_norm_rms_epsilon").expect("present"),
            activation: if gemma { Activation::GeluTanh } else { Activation::Silu },
            embedding_scale: self.number("embedding_scale").unwrap_or(if gemma { (dim as f32).sqrt() } else { 1.0 }),
            residual_scale: self.number("residual_scale").unwrap_or(1.0),
            attention_scale: self.number("attention.scale").unwrap_or(1.0 / (head_dim as f32).sqrt()),
            attention_cap: self.number("attn_logit_softcapping"),
            temperature: self
                .number("attention.temperature_scale")
                .map(|scale| Temperature { scale, period: self.size("rope.scaling.original_context_length") }),
            logit_scale: 1.0 / self.number("logit_scale").unwrap_or(1.0),
            logit_cap: self.number("final_logit_softcapping"),
            cache,
            embedding,
            layers: Vec::new(),
            output_norm: self.place("output_norm.weight").expect("present"),
            output: if tied { embedding } else { self.matrix("output.weight", None) },
            max_pages: MAX_PAGES,
        };
        let mut ropes = Vec::new();
        model.layers = (0..self.size("block_count")).map(|i| self.layer(&model, &mut ropes, i)).collect();
        model.ropes = ropes.len() as u32;
        assert_eq!(model.check(), Ok(()));
        (model, ropes)
    }
}

/// cos and sin of a pass, `[ropes, t, pairs, 2]`.
fn angles(ropes: &[Rope], pass: &Pass) -> Vec<f32> {
    let pair = |position: u32, frequency: f64, magnitude: f64| {
        let angle = f64::from(position) * frequency;
        [(angle.cos() * magnitude) as f32, (angle.sin() * magnitude) as f32]
    };
    let row = |(frequencies, magnitude): &Rope, t| -> Vec<f32> {
        frequencies.iter().flat_map(|frequency| pair(pass.first + t, *frequency, *magnitude)).collect()
    };
    ropes.iter().flat_map(|rope| (0..pass.tokens).flat_map(|t| row(rope, t)).collect::<Vec<_>>()).collect()
}

/// Logits of every token, fed in pieces.
fn logits(
    (model, ropes): &(Model, Vec<Rope>),
    file: &[u8],
    tokens: &[u32],
    pieces: &[usize],
    emulator: &mut Emulator,
) -> Vec<Vec<f32>> {
    let units = model.page_bytes().div_ceil(16384);
    let n_pages = model.layers.len() as u64 * u64::from(MAX_PAGES);
    emulator.define(Buffer::Weights, file);
    emulator.define(Buffer::Pages, &vec![0xff; (n_pages * units * 16384) as usize]);
    emulator.define_u32(Buffer::PageTable, &(0..n_pages).map(|i| (i * units) as u32).collect::<Vec<u32>>());
    let (mut rows, mut first) = (Vec::new(), 0);
    for &piece in pieces {
        let pass = Pass { tokens: piece as u32, first: first as u32, wanted: piece as u32, top_k: None };
        let (list, _) = model.pass(&pass);
        emulator.define_u32(Buffer::Tokens, &tokens[first..first + piece]);
        emulator.define_f32(Buffer::Angles, &angles(ropes, &pass));
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

/// How far off the largest logit the worst is.
fn error(name: &str, kind: TensorKind, cache: Cache, order: Order) -> f32 {
    let file = Small::new(name, kind).bytes();
    let contents = Contents::parse(&file, file.len() as u64).expect("a good file");
    // Two more than the small files' windows.
    let tokens = tokens(18);
    let reference = Reference::new(&contents, &file);
    let expected = reference.logits(&tokens);
    let model = File { contents: &contents, reference }.model(cache);
    // A prompt in tiles, a few tokens, single ones.
    let found = logits(&model, &file, &tokens, &[11, 4, 1, 1, 1], &mut Emulator::new(order));
    worst(&found.concat(), &expected.concat())
}

fn check(name: &str, kind: TensorKind, order: Order) {
    let worst = error(name, kind, Cache::F16, order);
    // The cache rounds keys and values to f16, a part in 2048; the oracle does not.
    assert!(worst < 2e-3, "{name} {kind}: off by {worst:e} of the largest logit");
}

#[test]
fn weights_are_read_where_the_file_has_them() {
    let file = Small::new("gemma2", TensorKind::Q4_K).bytes();
    let contents = Contents::parse(&file, file.len() as u64).expect("a good file");
    let reference = Reference::new(&contents, &file);
    let (model, _) = File { contents: &contents, reference }.model(Cache::F16);
    let tensors: Vec<Range<u64>> = contents.tensors.iter().map(|tensor| tensor.range.clone()).collect();
    let longest = tensors.iter().map(|tensor| tensor.end - tensor.start).max().expect("some");
    let page = 16384;
    // As few bytes in a buffer as possible, and all of them.
    for max in [longest + 2 * page, 1 << 30] {
        let views = views(file.len() as u64, max, page, &tensors).expect("each tensor fits");
        assert_eq!(views.len() > 3, max < 1 << 30);
        let (list, _) = model.pass(&Pass { tokens: 3, first: 0, wanted: 1, top_k: None });
        let bindings = list.iter().flat_map(|dispatch| &dispatch.bindings);
        let offset = |binding: &Binding| match binding {
            Binding::Memory(Buffer::Weights, offset) => Some(*offset),
            _ => None,
        };
        let read: Vec<u64> = bindings.filter_map(offset).collect();
        for offset in &read {
            let tensor = tensors.iter().find(|tensor| tensor.contains(offset)).expect("within a tensor");
            let view = views.iter().find(|view| view.find(tensor).is_some()).expect("a buffer holds the whole tensor");
            // The buffer begins at a page of the mapping: what is bound is the file's own byte.
            assert_eq!(view.range.start % page, 0);
            assert!(view.range.start <= *offset && tensor.end <= view.range.end);
        }
        // All tensors are read so: nothing else holds weights.
        let used = tensors.iter().filter(|tensor| read.iter().any(|offset| tensor.contains(offset))).count();
        assert_eq!(used, tensors.len());
    }
}

#[test]
fn no_family_takes_more_than_8_dispatches_a_layer() {
    for name in ON_A_GPU {
        let file = Small::new(name, TensorKind::Q4_K).bytes();
        let contents = Contents::parse(&file, file.len() as u64).expect("a good file");
        let reference = Reference::new(&contents, &file);
        let (model, _) = File { contents: &contents, reference }.model(Cache::F16);
        let model = Model { max_pages: 128, ..model };
        for tokens in [1, 2, 4, 5, 8, 9, 64] {
            for (first, wanted) in [(0, 1), (509, tokens), (6000, 1), (6000, 0)] {
                let (list, _) = model.pass(&Pass { tokens, first, wanted, top_k: None });
                // Beside the embedding's and the head's.
                let of_layers = list.len() - 1 - usize::from(wanted > 0);
                assert!(of_layers <= 8 * model.layers.len(), "{name}: {of_layers} for {tokens} tokens at {first}");
            }
        }
    }
}

#[test]
fn llama_gives_the_logits_of_the_plain_forward_pass() {
    check("llama", TensorKind::Q4_0, Order::Forward);
    check("mistral3", TensorKind::Q6_K, Order::Shuffled);
}

#[test]
fn a_cache_of_bytes_is_near() {
    // A step of a block is 1/127 of its largest value.
    let worst = error("llama", TensorKind::Q8_0, Cache::Q8_0, Order::Backward);
    assert!((1e-4..2e-2).contains(&worst), "off by {worst:e} of the largest logit");
}

#[test]
fn qwen2_with_its_biases_does() {
    check("qwen2", TensorKind::Q8_0, Order::Backward);
}

#[test]
fn qwen3_with_its_norms_does() {
    check("qwen3", TensorKind::Q4_K, Order::Forward);
    check("qwen3", TensorKind::F16, Order::Backward);
    check("hunyuan-dense", TensorKind::Q4_1, Order::Forward);
}

#[test]
fn gemma_with_windows_caps_and_norms_around_blocks_does() {
    check("gemma2", TensorKind::Q5_K, Order::Shuffled);
    check("gemma3", TensorKind::Q4_0, Order::Forward);
}

#[test]
fn phi3_with_fused_projections_does() {
    check("phi3", TensorKind::Q4_1, Order::Backward);
}

#[test]
fn smollm3_with_layers_that_do_not_rotate_does() {
    check("smollm3", TensorKind::F16, Order::Forward);
}

#[test]
fn granite_with_its_factors_does() {
    check("granite", TensorKind::Q5_0, Order::Shuffled);
}

#[test]
fn olmo2_with_norms_behind_blocks_and_over_all_heads_does() {
    check("olmo2", TensorKind::Q5_1, Order::Backward);
}
