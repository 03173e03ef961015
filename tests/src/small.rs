//! Small model files with random weights, made in memory: real shapes of some families, every block format.
//!
//! Quantized tensors are random blocks with sensible scales, not rounded weights: what a block means is defined by its
//! bits alone, so any engine that reads the file must agree on it.

use std::path::PathBuf;

use sprat_gguf::{TensorKind, Writer};

use crate::families::{Experts, Family, FeedForward, HeadNorm, Key, family};
use crate::scratch;

/// Width of the residual stream: one block of the K-formats.
pub const DIM: usize = 256;
/// Query heads.
const HEADS: usize = 4;
/// Width of the feed-forward part.
pub const FEED_FORWARD: usize = 512;
/// Experts of a layer.
const EXPERTS: usize = 6;
/// Size of the vocabulary.
pub const VOCABULARY: usize = 320;
/// Positions.
pub const CONTEXT: usize = 512;

/// A file to be made.
#[derive(Clone, Copy, Debug)]
pub struct Small {
    /// What it holds.
    pub family: &'static Family,
    /// Format of the matrices.
    pub kind: TensorKind,
    /// Layers.
    pub layers: usize,
    /// Of the random weights.
    pub seed: u64,
}

impl Small {
    /// A family by its name, in a format.
    pub fn new(name: &str, kind: TensorKind) -> Self {
        let family = family(name);
        Self { family, kind, layers: family.layers, seed: 1 }
    }

    /// The same for the same arguments on every machine.
    pub fn bytes(&self) -> Vec<u8> {
        let mut file = File { small: *self, random: Random(self.seed), tensors: Vec::new() };
        file.matrices();
        file.vectors();
        let mut writer = Writer::new(self.family.architecture);
        self.metadata(&mut writer);
        for (name, shape, kind, data) in &file.tensors {
            writer.tensor(name, shape, *kind, data);
        }
        let mut bytes = Vec::new();
        writer.write(&mut bytes).expect("memory takes all");
        bytes
    }

    fn metadata(&self, writer: &mut Writer<'_>) {
        let Family { kv_heads, head_dim, rotary, layer_norm, keys, architecture, .. } = *self.family;
        let key = |name: &str| format!("{architecture}.{name}");
        writer.str("general.name", "small random model");
        let sizes = [
            ("context_length", CONTEXT),
            ("embedding_length", DIM),
            ("block_count", self.layers),
            ("feed_forward_length", FEED_FORWARD),
            ("attention.head_count", HEADS),
            ("attention.key_length", head_dim),
            ("attention.value_length", head_dim),
            ("rope.dimension_count", rotary),
            ("vocab_size", VOCABULARY),
        ];
        let experts: &[_] = &[("expert_count", EXPERTS), ("expert_used_count", 2)];
        let experts = if self.family.experts.is_some() { experts } else { &[] };
        let width = if experts.is_empty() { None } else { Some(("expert_feed_forward_length", FEED_FORWARD)) };
        for (name, size) in sizes.into_iter().chain(experts.iter().copied()).chain(width) {
            writer.u32(&key(name), size as u32);
        }
        let norm = if layer_norm.is_some() { "" } else { "rms_" };
        writer.f32(&key(&format!("attention.layer_norm_{norm}epsilon")), 1e-5);
        if let Some(windows) = self.family.windows {
            writer.bools(&key("attention.sliding_window_pattern"), windows.pattern);
        }
        // Layers without attention say so by having no key heads, but for those of a delta net.
        if self.family.mixers.contains(['c', 'm']) {
            let heads = |layer| if self.family.mixer(layer) == 'a' { kv_heads as u32 } else { 0 };
            writer.u32s(&key("attention.head_count_kv"), &(0..self.layers).map(heads).collect::<Vec<_>>());
        } else {
            writer.u32(&key("attention.head_count_kv"), kv_heads as u32);
        }
        writer.f32(&key("rope.freq_base"), 10000.0);
        for (name, value) in keys.iter().copied().flatten() {
            match value {
                Key::Count(value) => writer.u32(&key(name), *value),
                Key::Counts(values) => writer.u32s(&key(name), values),
                Key::Number(value) => writer.f32(&key(name), *value),
                Key::Switch(value) => writer.bool(&key(name), *value),
                Key::Word(value) => writer.str(&key(name), value),
            };
        }
        vocabulary(writer);
    }

    /// The file, written once per process and content.
    pub fn path(&self) -> PathBuf {
        let Self { family: Family { name: family, .. }, kind, layers, seed } = self;
        let path = scratch::file(&format!("{family}-{kind:?}-{layers}-{seed}.gguf"));
        if !path.exists() {
            // Tests run side by side: a rename is seen whole or not at all.
            let mut part = path.clone();
            part.set_extension(format!("{:?}", std::thread::current().id()));
            std::fs::write(&part, self.bytes()).and_then(|()| std::fs::rename(&part, &path)).expect("temporary file");
        }
        path
    }
}

/// The tensors of a file while they are made.
struct File {
    small: Small,
    random: Random,
    tensors: Vec<(String, Vec<u64>, TensorKind, Vec<u8>)>,
}

impl File {
    fn matrix(&mut self, name: String, rows: usize, cols: usize, gain: f32) {
        let (kind, scale) = (self.small.kind, gain / (cols as f32).sqrt());
        let data = (0..rows).flat_map(|_| self.random.row(kind, cols, scale)).collect();
        self.tensors.push((name, vec![cols as u64, rows as u64], kind, data));
    }

    /// Matrices of the experts, one behind the other.
    fn expert_matrices(&mut self, name: String, rows: usize, cols: usize) {
        self.matrix(name, EXPERTS * rows, cols, 1.0);
        let (_, shape, _, _) = self.tensors.last_mut().expect("just pushed");
        *shape = vec![cols as u64, rows as u64, EXPERTS as u64];
    }

    fn experts(&mut self, i: usize, experts: Experts) {
        let name = |part: &str| format!("blk.{i}.{part}");
        // Loud, so that rounding seldom changes who is chosen.
        self.spread(name("ffn_gate_inp.weight"), &[EXPERTS, DIM], 0.0, 0.3);
        let apart = [("gate_up", 2 * FEED_FORWARD, DIM), ("down", DIM, FEED_FORWARD)];
        let kinds = [("gate", FEED_FORWARD, DIM), ("up", FEED_FORWARD, DIM), ("down", DIM, FEED_FORWARD)];
        for &(kind, rows, cols) in if experts.apart { &apart[..] } else { &kinds[..] } {
            self.expert_matrices(name(&format!("ffn_{kind}_exps.weight")), rows, cols);
            if experts.bias {
                self.values(name(&format!("ffn_{kind}_exps.bias")), &[EXPERTS, rows], 0.0);
            }
        }
        if experts.bias {
            self.values(name("ffn_gate_inp.bias"), &[EXPERTS], 0.0);
        }
        if experts.choice_bias {
            self.values(name("exp_probs_b.bias"), &[EXPERTS], 0.0);
        }
        if let Some(width) = experts.shared {
            self.values(name("ffn_gate_inp_shexp.weight"), &[DIM], 0.0);
            for (kind, rows, cols) in [("gate", width, DIM), ("up", width, DIM), ("down", DIM, width)] {
                self.matrix(name(&format!("ffn_{kind}_shexp.weight")), rows, cols, 1.0);
            }
        }
        if experts.apart {
            // The router reads a norm divided by the root of its width.
            self.values(name("ffn_gate_inp.scale"), &[DIM], 16.0);
            self.values(name("ffn_down_exps.scale"), &[EXPERTS], 1.0);
            for (kind, rows, cols) in kinds {
                self.matrix(name(&format!("ffn_{kind}.weight")), rows, cols, 1.0);
            }
        }
    }

    fn values(&mut self, name: String, shape: &[usize], mean: f32) {
        self.spread(name, shape, mean, 0.1);
    }

    fn spread(&mut self, name: String, shape: &[usize], mean: f32, spread: f32) {
        let random = &mut self.random;
        let value = |_| (mean + spread * random.normal()).to_le_bytes();
        let data = (0..shape.iter().product::<usize>()).flat_map(value).collect();
        let shape = shape.iter().rev().map(|&n| n as u64).collect();
        self.tensors.push((name, shape, TensorKind::F32, data));
    }

    fn matrices(&mut self) {
        let family = self.small.family;
        let Family { kv_heads, tied, fused, feed_forward, positions, experts, per_layer, .. } = *family;
        self.matrix("token_embd.weight".into(), VOCABULARY, DIM, 4.0);
        if positions {
            self.matrix("position_embd.weight".into(), CONTEXT, DIM, 2.0);
        }
        if !tied {
            self.matrix("output.weight".into(), VOCABULARY, DIM, 2.5);
        }
        if per_layer > 0 {
            let all = per_layer * self.small.layers;
            self.matrix("per_layer_token_embd.weight".into(), VOCABULARY, all, 1.0);
            self.matrix("per_layer_model_proj.weight".into(), all, DIM, 16.0);
        }
        if family.streams > 1 {
            self.stream_ends(family.streams - 1);
        }
        for i in 0..self.small.layers {
            let (q, kv) = (HEADS * family.head_dim(i), kv_heads * family.head_dim(i));
            match family.mixer(i) {
                'a' => {
                    let gated = family.mixers.contains('d');
                    let q_rows = if gated { 2 * q } else { q };
                    let projections: &[_] = if fused {
                        &[("attn_qkv", q + 2 * kv, 1.5)]
                    } else {
                        &[("attn_q", q_rows, 1.5), ("attn_k", kv, 1.5), ("attn_v", kv, 1.0)]
                    };
                    let own = |&&(name, _, _): &&(&str, usize, f32)| family.has_kv(i) || name == "attn_q";
                    for &(name, rows, gain) in projections.iter().filter(own) {
                        self.matrix(format!("blk.{i}.{name}.weight"), rows, DIM, gain);
                    }
                    self.matrix(format!("blk.{i}.attn_output.weight"), DIM, q, 1.0);
                }
                mixer => self.recurrent(i, mixer),
            }
            if per_layer > 0 {
                self.matrix(format!("blk.{i}.inp_gate.weight"), per_layer, DIM, 1.0);
                self.matrix(format!("blk.{i}.proj.weight"), DIM, per_layer, 1.0);
            }
            if family.streams > 1 {
                self.streams(i, family.streams);
            }
            match experts.filter(|experts| i >= experts.dense_layers) {
                Some(experts) => self.experts(i, experts),
                None => {
                    let up = if feed_forward == FeedForward::Fused { 2 * FEED_FORWARD } else { FEED_FORWARD };
                    let gate = Some(("ffn_gate", FEED_FORWARD, DIM)).filter(|_| feed_forward == FeedForward::Gated);
                    let rest = [gate, Some(("ffn_up", up, DIM)), Some(("ffn_down", DIM, FEED_FORWARD))];
                    for (name, rows, cols) in rest.into_iter().flatten() {
                        self.matrix(format!("blk.{i}.{name}.weight"), rows, cols, 1.0);
                    }
                }
            }
        }
    }

    /// Matrices that make further streams and bring them back.
    fn stream_ends(&mut self, others: usize) {
        for name in ["altup_proj.weight", "altup_unembd_proj.weight"] {
            self.matrix(name.into(), others * DIM, DIM, 1.0);
            let (_, shape, _, _) = self.tensors.last_mut().expect("just pushed");
            *shape = vec![DIM as u64, DIM as u64, others as u64];
        }
    }

    /// What a layer has for further streams, and its path of low rank: floats, as quantizers leave them.
    fn streams(&mut self, i: usize, streams: usize) {
        let name = |part: &str| format!("blk.{i}.{part}.weight");
        self.spread(name("altup_router"), &[streams, DIM], 0.0, 0.5);
        self.spread(name("altup_predict_coef"), &[streams * streams, streams], 0.0, 0.1);
        self.spread(name("altup_correct_coef"), &[streams, streams], 0.0, 0.3);
        for norm in ["altup_router_norm", "altup_correct_scale", "laurel_post_norm"] {
            self.values(name(norm), &[DIM], 1.0);
        }
        // llama.cpp knows no other rank.
        const RANK: usize = 64;
        self.spread(name("laurel_l"), &[RANK, DIM], 0.0, 1.0 / 16.0);
        self.spread(name("laurel_r"), &[DIM, RANK], 0.0, 1.0 / 8.0);
    }

    /// Everything of a layer without attention.
    fn recurrent(&mut self, i: usize, mixer: char) {
        let family = self.small.family;
        let name = |part: &str| format!("blk.{i}.{part}");
        if mixer == 'c' {
            self.matrix(name("shortconv.in_proj.weight"), 3 * DIM, DIM, 1.0);
            self.spread(name("shortconv.conv.weight"), &[DIM, family.count("shortconv.l_cache")], 0.0, 0.6);
            return self.matrix(name("shortconv.out_proj.weight"), DIM, DIM, 1.0);
        }
        let [size, groups, heads, inner, taps] =
            ["ssm.state_size", "ssm.group_count", "ssm.time_step_rank", "ssm.inner_size", "ssm.conv_kernel"]
                .map(|key| family.count(key));
        let channels = inner + 2 * groups * size;
        self.spread(name("ssm_conv1d.weight"), &[channels, taps], 0.0, 0.6);
        if mixer == 'd' {
            self.matrix(name("attn_qkv.weight"), channels, DIM, 1.0);
            self.matrix(name("attn_gate.weight"), inner, DIM, 1.0);
            self.matrix(name("ssm_beta.weight"), heads, DIM, 1.0);
            self.matrix(name("ssm_alpha.weight"), heads, DIM, 1.0);
            self.spread(name("ssm_a"), &[heads], -0.3, 0.05);
            self.spread(name("ssm_dt.bias"), &[heads], 0.0, 1.0);
            self.values(name("ssm_norm.weight"), &[inner / heads], 1.0);
        } else {
            self.matrix(name("ssm_in.weight"), inner + channels + heads, DIM, 1.0);
            self.values(name("ssm_conv1d.bias"), &[channels], 0.0);
            self.spread(name("ssm_a"), &[heads, 1], -0.8, 0.2);
            self.spread(name("ssm_d"), &[heads, 1], 1.0, 0.3);
            self.spread(name("ssm_dt.bias"), &[heads], -2.0, 1.0);
            self.values(name("ssm_norm.weight"), &[groups, inner / groups], 1.0);
        }
        self.matrix(name("ssm_out.weight"), DIM, inner, 1.0);
    }

    fn vectors(&mut self) {
        let Family { kv_heads, head_dim, layer_norm, norms, bias, head_norm, long_rope, rotary, .. } =
            *self.small.family;
        let norm_bias = layer_norm == Some(true);
        let (q, kv) = (HEADS * head_dim, kv_heads * head_dim);
        let convolutions = self.small.family.mixers.contains('c');
        self.norm(if convolutions { "token_embd_norm" } else { "output_norm" }.into(), norm_bias);
        for i in 0..self.small.layers {
            for name in norms {
                self.norm(format!("blk.{i}.{name}"), norm_bias);
            }
            let biased = [
                ('f', "attn_qkv", q + 2 * kv),
                ('q', "attn_q", q),
                ('k', "attn_k", kv),
                ('v', "attn_v", kv),
                ('o', "attn_output", DIM),
                ('u', "ffn_up", FEED_FORWARD),
                ('d', "ffn_down", DIM),
            ];
            for (letter, name, rows) in biased {
                if bias.contains(letter) {
                    self.values(format!("blk.{i}.{name}.bias"), &[rows], 0.0);
                }
            }
            // Without another scale, heads would see one position alone, and many layers of that would multiply every error.
            let mean = if self.small.family.streams > 1 { 0.5 } else { 1.4 };
            let attends = self.small.family.mixer(i) == 'a';
            let head_dim = self.small.family.head_dim(i);
            for (name, heads) in [("attn_q_norm", HEADS), ("attn_k_norm", kv_heads)] {
                let name = format!("blk.{i}.{name}.weight");
                let there = attends && (name.contains("attn_q") || self.small.family.has_kv(i));
                match head_norm.filter(|_| there) {
                    None => {}
                    Some(HeadNorm::Shared) => self.values(name, &[head_dim], mean),
                    Some(HeadNorm::Each) => self.values(name, &[heads, head_dim], mean),
                    Some(HeadNorm::Whole) => self.values(name, &[heads * head_dim], mean),
                }
            }
        }
        for i in (0..self.small.layers).filter(|_| self.small.family.sinks) {
            self.values(format!("blk.{i}.attn_sinks.weight"), &[HEADS], 1.0);
        }
        if self.small.family.per_layer > 0 {
            self.values("per_layer_proj_norm.weight".into(), &[self.small.family.per_layer], 1.0);
            for i in 0..self.small.layers {
                self.norm(format!("blk.{i}.post_norm"), false);
                if self.small.family.streams == 1 {
                    self.values(format!("blk.{i}.layer_output_scale.weight"), &[1], 0.8);
                }
            }
        }
        if bias.contains('h') {
            self.values("output.bias".into(), &[VOCABULARY], 0.0);
        }
        if self.small.family.windows.is_some() {
            self.values("rope_freqs.weight".into(), &[rotary / 2], 2.0);
        }
        if long_rope {
            self.values("rope_factors_short.weight".into(), &[rotary / 2], 1.3);
            self.values("rope_factors_long.weight".into(), &[rotary / 2], 4.0);
        }
    }

    fn norm(&mut self, name: String, bias: bool) {
        self.values(format!("{name}.weight"), &[DIM], 1.0);
        if bias {
            self.values(format!("{name}.bias"), &[DIM], 0.0);
        }
    }
}

/// A byte-level BPE vocabulary: the 256 bytes, one merge, two control tokens, padding.
fn vocabulary(writer: &mut Writer<'_>) {
    // GPT-2's printable letter for each byte.
    let printable = |b: u8| matches!(b, 33..=126 | 161..=172 | 174..=255);
    let mut next = 256u32;
    let mut letter = |b: u8| {
        let code = if printable(b) {
            u32::from(b)
        } else {
            next += 1;
            next - 1
        };
        char::from_u32(code).expect("below the surrogates").to_string()
    };
    let mut tokens: Vec<String> = (0..=255).map(&mut letter).collect();
    tokens.push("th".into());
    let mut types = vec![1; tokens.len()];
    tokens.extend(["<|bos|>".into(), "<|eos|>".into()]);
    types.extend([3, 3]);
    while tokens.len() < VOCABULARY {
        tokens.push(format!("<|pad{}|>", tokens.len()));
        types.push(3);
    }
    writer.str("tokenizer.ggml.model", "gpt2").str("tokenizer.ggml.pre", "llama-bpe");
    writer.strings("tokenizer.ggml.tokens", &tokens).i32s("tokenizer.ggml.token_type", &types);
    writer.strings("tokenizer.ggml.merges", &["t h"]);
    writer.u32("tokenizer.ggml.bos_token_id", 257).u32("tokenizer.ggml.eos_token_id", 258);
    writer.bool("tokenizer.ggml.add_bos_token", true);
    let template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:";
    writer.str("tokenizer.chat_template", template);
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same numbers on every machine.
pub struct Random(pub u64);

impl Random {
    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }

    /// Near-normal: the sum of four uniforms, scaled to a standard deviation of 1.
    fn normal(&mut self) -> f32 {
        let bits = self.bits();
        let sum: i64 = (0..4).map(|i| ((bits >> (16 * i)) & 0xffff) as i64).sum();
        (sum - 2 * 65535) as f32 / (65535.0 * (4.0f32 / 12.0).sqrt())
    }

    /// One row of random weights with a standard deviation of about `scale`.
    fn row(&mut self, kind: TensorKind, cols: usize, scale: f32) -> Vec<u8> {
        match kind {
            TensorKind::F32 => (0..cols).flat_map(|_| half(self.normal() * scale).to_f32().to_le_bytes()).collect(),
            TensorKind::F16 => (0..cols).flat_map(|_| half(self.normal() * scale).to_le_bytes()).collect(),
            _ => (0..cols as u64 / kind.block_len()).flat_map(|_| self.block(kind, scale)).collect(),
        }
    }

    /// Random bits with scales that give the wanted spread: values of `bits` bits spread by 2^bits / sqrt(12).
    fn block(&mut self, kind: TensorKind, scale: f32) -> Vec<u8> {
        let mut block: Vec<u8> = (0..kind.block_bytes()).map(|_| self.bits() as u8).collect();
        let spread = |bits: i32| 2f32.powi(bits) / 12f32.sqrt();
        // K-formats multiply values and minima by random 6-bit integers; 255 and 520 are the spreads that result.
        let (d, m) = match kind {
            TensorKind::Q4_0 => (1.0 / spread(4), None),
            TensorKind::Q4_1 => (1.0 / spread(4), Some(-7.5)),
            TensorKind::Q5_0 => (1.0 / spread(5), None),
            TensorKind::Q5_1 => (1.0 / spread(5), Some(-15.5)),
            TensorKind::Q8_0 => (1.0 / spread(8), None),
            TensorKind::Q4_K => (1.0 / 255.0, Some(7.5)),
            TensorKind::Q5_K => (1.0 / 520.0, Some(15.5)),
            TensorKind::Q6_K => (1.0 / spread(6) / spread(8), None),
            other => panic!("no random blocks of {other} are made"),
        };
        let d = d * scale;
        let at = if kind == TensorKind::Q6_K { 208 } else { 0 };
        block[at..at + 2].copy_from_slice(&half(d).to_le_bytes());
        if let Some(m) = m {
            block[2..4].copy_from_slice(&half(d * m).to_le_bytes());
        }
        block
    }
}

fn half(x: f32) -> half::f16 {
    half::f16::from_f32(x)
}
