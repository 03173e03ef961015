//! A plain f32 forward pass that reads like the papers: the oracle for the engine's stages on small files.
//! No cache, no quantized activations, no threads: every position is computed from all positions before it.

use sprat_gguf::Contents;
use sprat_kernels::{Format, Isa};

/// A model as plain f32 matrices.
pub struct Reference<'a> {
    contents: &'a Contents,
    bytes: &'a [u8],
    architecture: &'a str,
}

impl<'a> Reference<'a> {
    /// Over the bytes of a GGUF file of the families llama, qwen2 and qwen3.
    pub fn new(contents: &'a Contents, bytes: &'a [u8]) -> Self {
        let architecture = contents.str("general.architecture").expect("a string").expect("present");
        Self { contents, bytes, architecture }
    }

    fn number(&self, key: &str) -> Option<u64> {
        self.contents.u64(&format!("{}.{key}", self.architecture)).expect("a number")
    }

    fn size(&self, key: &str) -> usize {
        self.number(key).expect("present") as usize
    }

    fn float(&self, key: &str, default: f32) -> f32 {
        self.contents.f32(&format!("{}.{key}", self.architecture)).expect("a float").unwrap_or(default)
    }

    /// A tensor as rows of f32.
    fn tensor(&self, name: &str) -> Option<Vec<Vec<f32>>> {
        let tensor = self.contents.tensor(name)?;
        let cols = tensor.shape[0] as usize;
        let format = format_of(&tensor.kind.to_string());
        let row_bytes = format.row_bytes(cols);
        let bytes = &self.bytes[tensor.range.start as usize..tensor.range.end as usize];
        let row = |bytes: &[u8]| {
            let mut row = vec![0.0; cols];
            Isa::available()[0].dequantize(format, bytes, &mut row);
            row
        };
        Some(bytes.chunks_exact(row_bytes).map(row).collect())
    }

    fn vector(&self, name: &str) -> Option<Vec<f32>> {
        self.tensor(name).map(|mut rows| rows.remove(0))
    }

    /// `W x + b` for every position.
    fn linear(&self, x: &[Vec<f32>], name: &str) -> Vec<Vec<f32>> {
        let w = self.tensor(&format!("{name}.weight")).expect("present");
        let b = self.vector(&format!("{name}.bias"));
        let row = |x: &Vec<f32>| -> Vec<f32> {
            let bias = |i: usize| b.as_ref().map_or(0.0, |b| b[i]);
            w.iter().enumerate().map(|(i, w)| dot(w, x) + bias(i)).collect()
        };
        x.iter().map(row).collect()
    }

    /// Logits of every position, `[tokens][vocabulary]`.
    pub fn logits(&self, tokens: &[u32]) -> Vec<Vec<f32>> {
        let (layers, heads) = (self.size("block_count"), self.size("attention.head_count"));
        let kv_heads = self.number("attention.head_count_kv").map_or(heads, |n| n as usize);
        let head_dim =
            self.number("attention.key_length").map_or(self.size("embedding_length") / heads, |n| n as usize);
        let eps = self.float("attention.layer_norm_rms_epsilon", 0.0);
        let base = self.float("rope.freq_base", 10000.0);
        let norm = |x: &[Vec<f32>], name: &str| -> Vec<Vec<f32>> {
            let weight = self.vector(name).expect("present");
            x.iter().map(|x| rms_norm(x, &weight, eps)).collect()
        };

        let embedding = self.tensor("token_embd.weight").expect("present");
        let mut x: Vec<Vec<f32>> = tokens.iter().map(|&t| embedding[t as usize].clone()).collect();
        for layer in 0..layers {
            let name = |part: &str| format!("blk.{layer}.{part}");
            // Attention.
            let input = norm(&x, &name("attn_norm.weight"));
            let split = |rows: Vec<Vec<f32>>, norm: Option<Vec<f32>>, rotate: bool| -> Vec<Vec<Vec<f32>>> {
                let head = |position: usize, head: &[f32]| {
                    let mut head = norm.as_ref().map_or(head.to_vec(), |w| rms_norm(head, w, eps));
                    if rotate {
                        rope(&mut head, position, base, self.architecture == "llama");
                    }
                    head
                };
                let position = |(i, row): (usize, &Vec<f32>)| row.chunks(head_dim).map(|h| head(i, h)).collect();
                rows.iter().enumerate().map(position).collect()
            };
            let q = self.linear(&input, &name("attn_q"));
            let q = split(q, self.vector(&name("attn_q_norm.weight")), true);
            let k = self.linear(&input, &name("attn_k"));
            let k = split(k, self.vector(&name("attn_k_norm.weight")), true);
            let v = split(self.linear(&input, &name("attn_v")), None, false);
            let attended: Vec<Vec<f32>> = (0..tokens.len())
                .map(|i| {
                    let head = |h: usize| {
                        let kv = h / (heads / kv_heads);
                        let score = |j: usize| dot(&q[i][h], &k[j][kv]) / (head_dim as f32).sqrt();
                        let weights = softmax((0..=i).map(score).collect());
                        let value = |d: usize| weights.iter().zip(&v).map(|(w, v)| w * v[kv][d]).sum();
                        (0..v[0][kv].len()).map(value).collect::<Vec<f32>>()
                    };
                    (0..heads).flat_map(head).collect()
                })
                .collect();
            add(&mut x, &self.linear(&attended, &name("attn_output")));
            // Feed forward: down(silu(gate(x)) * up(x)).
            let input = norm(&x, &name("ffn_norm.weight"));
            let (gate, up) = (self.linear(&input, &name("ffn_gate")), self.linear(&input, &name("ffn_up")));
            let product = |(g, u): (&Vec<f32>, &Vec<f32>)| g.iter().zip(u).map(|(g, u)| silu(*g) * u).collect();
            let hidden: Vec<Vec<f32>> = gate.iter().zip(&up).map(product).collect();
            add(&mut x, &self.linear(&hidden, &name("ffn_down")));
        }
        let x = norm(&x, "output_norm.weight");
        let head = if self.contents.tensor("output.weight").is_some() { "output" } else { "token_embd" };
        self.linear(&x, head)
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>() as f32
}

fn add(x: &mut [Vec<f32>], y: &[Vec<f32>]) {
    x.iter_mut().zip(y).for_each(|(x, y)| x.iter_mut().zip(y).for_each(|(x, y)| *x += y));
}

fn rms_norm(x: &[f32], weight: &[f32], eps: f32) -> Vec<f32> {
    let scale = 1.0 / (dot(x, x) / x.len() as f32 + eps).sqrt();
    x.iter().zip(weight).map(|(x, w)| x * scale * w).collect()
}

fn silu(x: f32) -> f32 {
    x / (1.0 + (-x).exp())
}

fn softmax(mut scores: Vec<f32>) -> Vec<f32> {
    let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    scores.iter_mut().for_each(|s| *s = (*s - max).exp());
    let sum: f32 = scores.iter().sum();
    scores.iter().map(|s| s / sum).collect()
}

/// Rotates pairs of a head: neighbours, or (halves) values half a head apart.
fn rope(head: &mut [f32], position: usize, base: f32, neighbours: bool) {
    let half = head.len() / 2;
    for i in 0..half {
        let angle = position as f64 * f64::from(base).powf(-(i as f64) / half as f64);
        let (sin, cos) = (angle.sin() as f32, angle.cos() as f32);
        let (a, b) = if neighbours { (2 * i, 2 * i + 1) } else { (i, i + half) };
        (head[a], head[b]) = (head[a] * cos - head[b] * sin, head[a] * sin + head[b] * cos);
    }
}

fn format_of(name: &str) -> Format {
    Format::ALL.into_iter().find(|format| format!("{format:?}") == name).expect("a format of the kernels")
}
