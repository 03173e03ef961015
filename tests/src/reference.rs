//! A plain f32 forward pass that reads like the papers: the oracle for the engine's stages on small files.
//! No cache, no quantized activations, no threads: every position is computed from all positions before it.

use std::cell::RefCell;

use sprat_gguf::Contents;
use sprat_kernels::{Format, Isa};

/// `[tokens][heads][head_dim]`.
type Heads = Vec<Vec<Vec<f32>>>;

/// A model as plain f32 matrices.
pub struct Reference<'a> {
    pub(crate) contents: &'a Contents,
    bytes: &'a [u8],
    /// Keys and values of the last layer without and with a window that had its own.
    kept: RefCell<[(Heads, Heads); 2]>,
    pub(crate) architecture: &'a str,
}

impl<'a> Reference<'a> {
    /// Over the bytes of a GGUF file of one of the families in `families.rs`.
    pub fn new(contents: &'a Contents, bytes: &'a [u8]) -> Self {
        let architecture = contents.str("general.architecture").expect("a string").expect("present");
        Self { contents, bytes, kept: RefCell::default(), architecture }
    }

    pub(crate) fn number(&self, key: &str) -> Option<u64> {
        self.contents.u64(&format!("{}.{key}", self.architecture)).expect("a number")
    }

    pub(crate) fn size(&self, key: &str) -> usize {
        self.number(key).expect("present") as usize
    }

    pub(crate) fn float(&self, key: &str) -> Option<f32> {
        self.contents.f32(&format!("{}.{key}", self.architecture)).expect("a float")
    }

    /// A tensor as rows of f32.
    pub(crate) fn tensor(&self, name: &str) -> Option<Vec<Vec<f32>>> {
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

    pub(crate) fn vector(&self, name: &str) -> Option<Vec<f32>> {
        self.tensor(name).map(|mut rows| rows.remove(0))
    }

    /// `W x + b` for every position.
    pub(crate) fn linear(&self, x: &[Vec<f32>], name: &str) -> Vec<Vec<f32>> {
        let w = self.tensor(&format!("{name}.weight")).expect("present");
        let b = self.vector(&format!("{name}.bias"));
        let row = |x: &Vec<f32>| -> Vec<f32> {
            let bias = |i: usize| b.as_ref().map_or(0.0, |b| b[i]);
            w.iter().enumerate().map(|(i, w)| dot(w, x) + bias(i)).collect()
        };
        x.iter().map(row).collect()
    }

    pub(crate) fn norm(&self, x: &[f32], weight: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
        let rms = self.float("attention.layer_norm_rms_epsilon");
        let eps = rms.or(self.float("attention.layer_norm_epsilon")).expect("present");
        let mean = if rms.is_some() { 0.0 } else { x.iter().sum::<f32>() / x.len() as f32 };
        let x: Vec<f32> = x.iter().map(|x| x - mean).collect();
        let scale = 1.0 / (dot(&x, &x) / x.len() as f32 + eps).sqrt();
        let bias = |i: usize| bias.map_or(0.0, |b| b[i]);
        x.iter().zip(weight).enumerate().map(|(i, (x, w))| x * scale * w + bias(i)).collect()
    }

    /// Every position normed by `name`, or as it is where the file has no such norm.
    pub(crate) fn normed(&self, x: &[Vec<f32>], name: &str) -> Vec<Vec<f32>> {
        let Some(weight) = self.vector(&format!("{name}.weight")) else { return x.to_vec() };
        let bias = self.vector(&format!("{name}.bias"));
        x.iter().map(|x| self.norm(x, &weight, bias.as_deref())).collect()
    }

    /// Whether a layer sees a window only.
    pub(crate) fn windowed(&self, layer: usize) -> bool {
        let pattern = self.contents.array(&format!("{}.attention.sliding_window_pattern", self.architecture));
        if let Some(pattern) = pattern.expect("a list") {
            return pattern.bools(self.bytes).nth(layer).expect("one for each layer");
        }
        let period = match self.architecture {
            "gemma2" | "gpt-oss" => 2,
            "gemma3" => 6,
            "gemma3n" => 5,
            "olmo2" | "cohere2" => 4,
            _ => return false,
        };
        self.number("attention.sliding_window").is_some() && layer % period != period - 1
    }

    /// The angle of each pair at position 1, and a factor on their cos and sin; none where a layer does not rotate.
    pub(crate) fn frequencies(&self, layer: usize, dims: usize) -> Option<(Vec<f64>, f64)> {
        let window = self.windowed(layer);
        match self.architecture {
            "gpt2" | "granitehybrid" => return None,
            "smollm3" if layer % 4 == 3 => return None,
            "cohere2" if !window => return None,
            _ => {}
        }
        let number = |key: &str, default: f32| f64::from(self.float(key).unwrap_or(default));
        let own = window && matches!(self.architecture, "gemma3" | "gemma3n" | "gemma4");
        let base = number(if own { "rope.freq_base_swa" } else { "rope.freq_base" }, 10000.0);
        let stretched = !(window && matches!(self.architecture, "gemma3" | "olmo2"));
        let factor = if stretched { number("rope.scaling.factor", 1.0) } else { 1.0 };
        let context = self.size("context_length") as u64;
        let trained = self.number("rope.scaling.original_context_length").unwrap_or(context);
        let divisors = if context > trained { "rope_factors_long.weight" } else { "rope_factors_short.weight" };
        let freqs = self.vector("rope_freqs.weight").filter(|_| !own);
        let divisors = freqs.or(self.vector(divisors)).unwrap_or(vec![1.0; dims / 2]);
        let plain = |i: usize| base.powf(-2.0 * i as f64 / dims as f64) / f64::from(divisors[i]);
        let mut magnitude = number("rope.scaling.attn_factor", 1.0);
        let kind = self.contents.str(&format!("{}.rope.scaling.type", self.architecture)).expect("a string");
        let (mut low, mut high) = (0.0, 0.0);
        if kind == Some("yarn") && factor > 1.0 {
            // The pair that turns `beta` times over the training's context.
            let pair =
                |beta: f64| dims as f64 * (trained as f64 / (beta * std::f64::consts::TAU)).ln() / (2.0 * base.ln());
            low = pair(number("rope.scaling.yarn_beta_fast", 32.0)).floor().max(0.0);
            high = pair(number("rope.scaling.yarn_beta_slow", 1.0)).ceil().min(dims as f64 - 1.0);
            let multiplier = number("rope.scaling.yarn_log_multiplier", 0.0);
            magnitude *= (1.0 + 0.1 * factor.ln()) / (1.0 + 0.1 * multiplier * factor.ln());
        }
        let yarn = |i: usize| 1.0 - ((i as f64 - low) / (high - low).max(0.001)).clamp(0.0, 1.0);
        let keep = |i: usize| if kind == Some("yarn") { yarn(i) } else { 0.0 };
        let stretch = |i: usize| plain(i) * (keep(i) + (1.0 - keep(i)) / factor);
        Some(((0..dims / 2).map(stretch).collect(), magnitude))
    }

    /// Queries or keys `[tokens][heads][head_dim]`: normed and rotated.
    fn heads(&self, mut rows: Vec<Vec<f32>>, layer: usize, name: &str, head_dim: usize) -> Vec<Vec<Vec<f32>>> {
        let weight = self.tensor(&format!("blk.{layer}.{name}.weight"));
        let whole = weight.as_ref().is_some_and(|w| w[0].len() == rows[0].len());
        if whole {
            rows = self.normed(&rows, &format!("blk.{layer}.{name}"));
        }
        let weight = weight.filter(|_| !whole);
        let late = self.architecture == "hunyuan-dense";
        let narrow = self.number("rope.dimension_count_swa").filter(|_| self.windowed(layer));
        let dims = narrow.or(self.number("rope.dimension_count")).map_or(head_dim, |n| n as usize);
        let frequencies = self.frequencies(layer, dims);
        // Neighbours turn together, or values half a head apart.
        let neighbours = ["llama", "mistral3", "granite", "smollm3", "cohere2"].contains(&self.architecture);
        let head = |position: usize, number: usize, head: &[f32]| {
            let norm = |head: &[f32]| match &weight {
                Some(w) => self.norm(head, &w[number % w.len()], None),
                None => head.to_vec(),
            };
            let mut head = if late { head.to_vec() } else { norm(head) };
            if let Some((frequencies, magnitude)) = &frequencies {
                rope(&mut head, position, frequencies, *magnitude, neighbours);
            }
            if late { norm(&head) } else { head }
        };
        let position = |(i, row): (usize, &Vec<f32>)| {
            row.chunks(head_dim).enumerate().map(|(number, values)| head(i, number, values)).collect()
        };
        rows.iter().enumerate().map(position).collect()
    }

    /// Output of attention for every position.
    pub(crate) fn attention(&self, x: &[Vec<f32>], layer: usize) -> Vec<Vec<f32>> {
        let heads = self.size("attention.head_count");
        let windowed = self.windowed(layer);
        let narrow = self.number("attention.key_length_swa").filter(|_| windowed);
        let head_dim = narrow.or(self.number("attention.key_length"));
        let head_dim = head_dim.map_or(self.size("embedding_length") / heads, |n| n as usize);
        let name = |part: &str| format!("blk.{layer}.{part}");
        if self.contents.tensor(&name("attn_output.weight")).is_none() {
            return self.recurrent(x, layer);
        }
        let [q, k, v] = if self.contents.tensor(&name("attn_qkv.weight")).is_some() {
            let fused = self.linear(x, &name("attn_qkv"));
            let k = heads * head_dim;
            let v = (k + fused[0].len()) / 2;
            let part = |from: usize, to: usize| fused.iter().map(|row| row[from..to].to_vec()).collect::<Vec<_>>();
            [part(0, k), part(k, v), part(v, fused[0].len())]
        } else {
            let has = |part: &str| self.contents.tensor(&name(&format!("{part}.weight"))).is_some();
            ["attn_q", "attn_k", "attn_v"].map(|part| if has(part) { self.linear(x, &name(part)) } else { Vec::new() })
        };
        // Twice as wide: each head's gate stands behind its query.
        let gated = q[0].len() == 2 * heads * head_dim;
        let halves = |half: usize| -> Vec<Vec<f32>> {
            let half = |row: &Vec<f32>| row.chunks(head_dim).skip(half).step_by(2).flatten().copied().collect();
            q.iter().map(half).collect()
        };
        let (q, gates) = if gated { (halves(0), Some(halves(1))) } else { (q, None) };
        let mut q = self.heads(q, layer, "attn_q_norm", head_dim);
        let shared = self.architecture == "gemma3n" && layer >= 20;
        let (k, v) = if k.is_empty() || shared {
            self.kept.borrow()[usize::from(windowed)].clone()
        } else {
            let k = self.heads(k, layer, "attn_k_norm", head_dim);
            let head =
                |v: &[f32]| if self.is_late_gemma() { self.norm(v, &vec![1.0; v.len()], None) } else { v.to_vec() };
            let v: Heads = v.iter().map(|row| row.chunks(head_dim).map(head).collect()).collect();
            self.kept.borrow_mut()[usize::from(windowed)] = (k.clone(), v.clone());
            (k, v)
        };
        let kv_heads = k[0].len();
        if let Some(temperature) = self.float("attention.temperature_scale") {
            let step = self.size("rope.scaling.original_context_length");
            for (i, heads) in q.iter_mut().enumerate() {
                let factor = 1.0 + temperature * ((i / step) as f32 + 1.0).ln();
                heads.iter_mut().flatten().for_each(|q| *q *= factor);
            }
        }
        let scale = if self.is_late_gemma() { 1.0 } else { 1.0 / (head_dim as f32).sqrt() };
        let scale = self.float("attention.scale").unwrap_or(scale);
        let cap = self.float("attn_logit_softcapping");
        let window = self.number("attention.sliding_window").filter(|_| windowed);
        let sinks = self.vector(&name("attn_sinks.weight"));
        let attended = |i: usize| {
            let first = window.map_or(0, |window| (i + 1).saturating_sub(window as usize));
            let head = |h: usize| {
                let kv = h / (heads / kv_heads);
                let score = |j: usize| soft_cap(dot(&q[i][h], &k[j][kv]) * scale, cap);
                // A sink is one more score, without a value.
                let sink = sinks.as_ref().map(|sinks| sinks[h]);
                let weights = softmax((first..=i).map(score).chain(sink).collect());
                let value = |d: usize| weights.iter().zip(&v[first..=i]).map(|(w, v)| w * v[kv][d]).sum();
                (0..head_dim).map(value).collect::<Vec<f32>>()
            };
            (0..heads).flat_map(head).collect()
        };
        let mut attended: Vec<Vec<f32>> = (0..x.len()).map(attended).collect();
        for (row, gates) in attended.iter_mut().zip(gates.iter().flatten()) {
            row.iter_mut().zip(gates).for_each(|(x, gate)| *x *= sigmoid(*gate));
        }
        self.linear(&attended, &name("attn_output"))
    }

    /// Output of the feed-forward part for every position: `down(f(gate(x)) * up(x))`, or `down(f(up(x)))`.
    pub(crate) fn feed_forward(&self, x: &[Vec<f32>], layer: usize) -> Vec<Vec<f32>> {
        let name = |part: &str| format!("blk.{layer}.{part}");
        let f = self.activation();
        let (up, width) = (self.linear(x, &name("ffn_up")), self.size("feed_forward_length"));
        let gated = self.contents.tensor(&name("ffn_gate.weight")).is_some();
        let gate = gated.then(|| self.sparse(self.linear(x, &name("ffn_gate")), layer));
        let product = |gate: &[f32], up: &[f32]| gate.iter().zip(up).map(|(g, u)| f(*g) * u).collect();
        let hidden = |(i, up): (usize, &Vec<f32>)| match &gate {
            Some(gate) => product(&gate[i], up),
            None if up.len() == 2 * width => product(&up[..width], &up[width..]),
            None => up.iter().map(|u| f(*u)).collect(),
        };
        let hidden: Vec<Vec<f32>> = up.iter().enumerate().map(hidden).collect();
        self.linear(&hidden, &name("ffn_down"))
    }

    /// What gates, or ups without gates, go through.
    pub(crate) fn activation(&self) -> fn(f32) -> f32 {
        let gelu_families = ["gemma2", "gemma3", "gemma3n", "gemma4", "phi2", "falcon", "gptneox", "gpt2"];
        if gelu_families.contains(&self.architecture) { gelu } else { silu }
    }

    /// The two norm values and do not scale scores.
    fn is_late_gemma(&self) -> bool {
        ["gemma3n", "gemma4"].contains(&self.architecture)
    }

    /// What each layer gets for each token beside the stream, `[tokens][layers][size]`.
    fn per_layer_inputs(&self, tokens: &[u32], x: &[Vec<f32>]) -> Option<Heads> {
        let own = self.tensor("per_layer_token_embd.weight")?;
        let size = self.size("embedding_length_per_layer_input");
        let projected = self.linear(x, "per_layer_model_proj");
        let norm = self.vector("per_layer_proj_norm.weight").expect("present");
        let layer = |(projected, own): (&[f32], &[f32])| {
            let normed = self.norm(&scaled(projected, 1.0 / (x[0].len() as f32).sqrt()), &norm, None);
            let both = normed.iter().zip(own).map(|(p, own)| (p + own * (size as f32).sqrt()) / 2f32.sqrt());
            both.collect::<Vec<f32>>()
        };
        let token = |(row, id): (&Vec<f32>, &u32)| {
            row.chunks(size).zip(own[*id as usize].chunks(size)).map(layer).collect::<Vec<_>>()
        };
        Some(projected.iter().zip(tokens).map(token).collect())
    }

    /// What a layer's own inputs, gated by the stream, add to it.
    pub(crate) fn per_layer(&self, x: &[Vec<f32>], inputs: &[Vec<Vec<f32>>], layer: usize) -> Vec<Vec<f32>> {
        let name = |part: &str| format!("blk.{layer}.{part}");
        let gates = self.linear(x, &name("inp_gate"));
        let gated = |(gate, input): (&Vec<f32>, &Vec<Vec<f32>>)| {
            gate.iter().zip(&input[layer]).map(|(g, input)| gelu(*g) * input).collect()
        };
        let gated: Vec<Vec<f32>> = gates.iter().zip(inputs).map(gated).collect();
        self.normed(&self.linear(&gated, &name("proj")), &name("post_norm"))
    }

    /// Logits of every position, `[tokens][vocabulary]`.
    pub fn logits(&self, tokens: &[u32]) -> Vec<Vec<f32>> {
        let embedding = self.tensor("token_embd.weight").expect("present");
        let gemma = self.architecture.starts_with("gemma");
        let scale = if gemma { (self.size("embedding_length") as f32).sqrt() } else { 1.0 };
        let scale = scale * self.float("embedding_scale").unwrap_or(1.0);
        let mut x: Vec<Vec<f32>> = tokens.iter().map(|&t| scaled(&embedding[t as usize], scale)).collect();
        if let Some(positions) = self.tensor("position_embd.weight") {
            add(&mut x, &positions, 1.0);
        }
        let inputs = self.per_layer_inputs(tokens, &x);
        let residual = self.float("residual_scale").unwrap_or(1.0);
        let streams = self.number("altup.num_inputs").map(|_| inputs.as_deref().expect("both or none"));
        let layers = if streams.is_some() { 0 } else { self.size("block_count") };
        if let Some(inputs) = streams {
            x = self.parallel_streams(x, inputs);
        }
        for layer in 0..layers {
            let name = |part: &str| format!("blk.{layer}.{part}");
            let input = self.normed(&x, &name("attn_norm"));
            // Falcon may norm what attention reads apart from what the feed-forward part reads.
            let second = self.contents.tensor(&name("attn_norm_2.weight")).is_some();
            let read = if second { self.normed(&x, &name("attn_norm_2")) } else { input.clone() };
            let attended = self.attention(&read, layer);
            // In some families this norms the stream, for the feed-forward part.
            let early = ["gpt-oss", "qwen35"].contains(&self.architecture);
            let post = name("post_attention_norm");
            let attended = if early { attended } else { self.normed(&attended, &post) };
            let own_norm = self.contents.tensor(&name("ffn_norm.weight")).is_some();
            // Both parts read the same stream: through one norm, or through two.
            let beside = match self.architecture {
                "gptneox" => Some(self.normed(&x, &name("ffn_norm"))),
                "phi2" | "falcon" | "stablelm" | "cohere2" if !own_norm => Some(input),
                _ => None,
            };
            add(&mut x, &attended, residual);
            let norm = if early { post } else { name("ffn_norm") };
            let input = beside.unwrap_or_else(|| self.normed(&x, &norm));
            let made = if self.contents.tensor(&name("ffn_gate_inp.scale")).is_some() {
                self.experts_apart(&x, &input, layer)
            } else if self.contents.tensor(&name("ffn_gate_inp.weight")).is_some() {
                self.experts(&input, &self.linear(&input, &name("ffn_gate_inp")), layer)
            } else {
                self.feed_forward(&input, layer)
            };
            let made = self.normed(&made, &name("post_ffw_norm"));
            add(&mut x, &made, residual);
            if let Some(inputs) = &inputs {
                let made = self.per_layer(&x, inputs, layer);
                add(&mut x, &made, 1.0);
            }
            if let Some(scale) = self.vector(&name("layer_output_scale.weight")) {
                x.iter_mut().flatten().for_each(|x| *x *= scale[0]);
            }
        }
        let last = if self.contents.tensor("output_norm.weight").is_some() { "output_norm" } else { "token_embd_norm" };
        let x = self.normed(&x, last);
        let head = if self.contents.tensor("output.weight").is_some() { "output" } else { "token_embd" };
        let scale = self.float("logit_scale").unwrap_or(1.0);
        let scale = if self.architecture.starts_with("granite") { 1.0 / scale } else { scale };
        // Gemma 3n's is fixed.
        let fixed = Some(30.0).filter(|_| self.architecture == "gemma3n");
        let cap = self.float("final_logit_softcapping").or(fixed);
        let logits = self.linear(&x, head);
        logits.iter().map(|row| row.iter().map(|x| soft_cap(x * scale, cap)).collect()).collect()
    }
}

pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>() as f32
}

pub(crate) fn add(x: &mut [Vec<f32>], y: &[Vec<f32>], scale: f32) {
    x.iter_mut().zip(y).for_each(|(x, y)| x.iter_mut().zip(y).for_each(|(x, y)| *x += y * scale));
}

pub(crate) fn scaled(x: &[f32], scale: f32) -> Vec<f32> {
    x.iter().map(|x| x * scale).collect()
}

fn soft_cap(x: f32, cap: Option<f32>) -> f32 {
    cap.map_or(x, |cap| cap * (x / cap).tanh())
}

/// The tanh form.
fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + ((2.0 / std::f32::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh())
}

pub(crate) fn silu(x: f32) -> f32 {
    x * sigmoid(x)
}

pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

pub(crate) fn softmax(mut scores: Vec<f32>) -> Vec<f32> {
    let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    scores.iter_mut().for_each(|s| *s = (*s - max).exp());
    let sum: f32 = scores.iter().sum();
    scores.iter().map(|s| s / sum).collect()
}

/// Rotates the first pairs of a head: neighbours, or values as far apart as there are pairs.
fn rope(head: &mut [f32], position: usize, frequencies: &[f64], magnitude: f64, neighbours: bool) {
    for (i, frequency) in frequencies.iter().enumerate() {
        let angle = position as f64 * frequency;
        let (sin, cos) = ((angle.sin() * magnitude) as f32, (angle.cos() * magnitude) as f32);
        let (a, b) = if neighbours { (2 * i, 2 * i + 1) } else { (i, i + frequencies.len()) };
        (head[a], head[b]) = (head[a] * cos - head[b] * sin, head[a] * sin + head[b] * cos);
    }
}

fn format_of(name: &str) -> Format {
    Format::ALL.into_iter().find(|format| format!("{format:?}") == name).expect("a format of the kernels")
}
