//! Small model files with random weights, made in memory: real shapes of three families, every block format.
//!
//! Quantized tensors are random blocks with sensible scales, not rounded weights: what a block means is defined by its
//! bits alone, so any engine that reads the file must agree on it.

use std::path::PathBuf;

use sprat_gguf::{TensorKind, Writer};

/// The families that are made.
pub const ARCHITECTURES: [&str; 3] = ["llama", "qwen2", "qwen3"];
/// Width of the residual stream: one block of the K-formats.
pub const DIM: usize = 256;
/// Width of the feed-forward part.
pub const FEED_FORWARD: usize = 512;
/// Size of the vocabulary.
pub const VOCABULARY: usize = 320;
/// Positions.
pub const CONTEXT: usize = 512;

/// A file to be made.
#[derive(Clone, Copy, Debug)]
pub struct Small {
    /// One of [`ARCHITECTURES`].
    pub architecture: &'static str,
    /// Format of the matrices.
    pub kind: TensorKind,
    /// Layers.
    pub layers: usize,
    /// Of the random weights.
    pub seed: u64,
}

impl Small {
    /// Two layers in a format.
    pub fn new(architecture: &'static str, kind: TensorKind) -> Self {
        Self { architecture, kind, layers: 2, seed: 1 }
    }

    /// The same for the same arguments on every machine.
    pub fn bytes(&self) -> Vec<u8> {
        let mut tensors: Vec<(String, Vec<u64>, TensorKind, Vec<u8>)> = Vec::new();
        let mut random = Random(self.seed);
        let mut matrix = |name: String, rows: usize, cols: usize, gain: f32, random: &mut Random| {
            let scale = gain / (cols as f32).sqrt();
            let data = (0..rows).flat_map(|_| random.row(self.kind, cols, scale)).collect();
            tensors.push((name, vec![cols as u64, rows as u64], self.kind, data));
        };
        let (heads, kv_heads) = (4, 2);
        let head_dim = if self.architecture == "qwen3" { 128 } else { 64 };
        let (q, kv) = (heads * head_dim, kv_heads * head_dim);
        matrix("token_embd.weight".into(), VOCABULARY, DIM, 4.0, &mut random);
        let tied = self.architecture != "llama";
        if !tied {
            matrix("output.weight".into(), VOCABULARY, DIM, 2.5, &mut random);
        }
        for i in 0..self.layers {
            let parts = [("attn_q", q, DIM, 1.5), ("attn_k", kv, DIM, 1.5), ("attn_v", kv, DIM, 1.0)];
            let rest = [
                ("attn_output", DIM, q, 1.0),
                ("ffn_gate", FEED_FORWARD, DIM, 1.0),
                ("ffn_up", FEED_FORWARD, DIM, 1.0),
                ("ffn_down", DIM, FEED_FORWARD, 1.0),
            ];
            for (name, rows, cols, gain) in parts.into_iter().chain(rest) {
                matrix(format!("blk.{i}.{name}.weight"), rows, cols, gain, &mut random);
            }
        }
        let mut vector = |name: String, len: usize, mean: f32| {
            let values: Vec<u8> = (0..len).flat_map(|_| (mean + 0.1 * random.normal()).to_le_bytes()).collect();
            tensors.push((name, vec![len as u64], TensorKind::F32, values));
        };
        vector("output_norm.weight".into(), DIM, 1.0);
        for i in 0..self.layers {
            vector(format!("blk.{i}.attn_norm.weight"), DIM, 1.0);
            vector(format!("blk.{i}.ffn_norm.weight"), DIM, 1.0);
            if self.architecture == "qwen2" {
                vector(format!("blk.{i}.attn_q.bias"), q, 0.0);
                vector(format!("blk.{i}.attn_k.bias"), kv, 0.0);
                vector(format!("blk.{i}.attn_v.bias"), kv, 0.0);
            }
            if self.architecture == "qwen3" {
                vector(format!("blk.{i}.attn_q_norm.weight"), head_dim, 1.4);
                vector(format!("blk.{i}.attn_k_norm.weight"), head_dim, 1.4);
            }
        }
        let mut writer = Writer::new(self.architecture);
        self.metadata(&mut writer, heads, kv_heads, head_dim);
        for (name, shape, kind, data) in &tensors {
            writer.tensor(name, shape, *kind, data);
        }
        let mut bytes = Vec::new();
        writer.write(&mut bytes).expect("memory takes all");
        bytes
    }

    fn metadata(&self, writer: &mut Writer<'_>, heads: usize, kv_heads: usize, head_dim: usize) {
        let key = |name: &str| format!("{}.{name}", self.architecture);
        writer.str("general.name", "small random model");
        let sizes = [
            ("context_length", CONTEXT),
            ("embedding_length", DIM),
            ("block_count", self.layers),
            ("feed_forward_length", FEED_FORWARD),
            ("attention.head_count", heads),
            ("attention.head_count_kv", kv_heads),
            ("attention.key_length", head_dim),
            ("attention.value_length", head_dim),
            ("rope.dimension_count", head_dim),
            ("vocab_size", VOCABULARY),
        ];
        for (name, size) in sizes {
            writer.u32(&key(name), size as u32);
        }
        writer.f32(&key("attention.layer_norm_rms_epsilon"), 1e-5);
        writer.f32(&key("rope.freq_base"), 10000.0);
        vocabulary(writer);
    }

    /// The file in the system's folder for temporary files, written once per process and content.
    pub fn path(&self) -> PathBuf {
        let Self { architecture, kind, layers, seed } = self;
        let name = format!("sprat-{}-{architecture}-{kind:?}-{layers}-{seed}.gguf", std::process::id());
        let path = std::env::temp_dir().join(name);
        if !path.exists() {
            // Tests run side by side: a rename is seen whole or not at all.
            let mut part = path.clone();
            part.set_extension(format!("{:?}", std::thread::current().id()));
            std::fs::write(&part, self.bytes()).and_then(|()| std::fs::rename(&part, &path)).expect("temporary file");
        }
        path
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
