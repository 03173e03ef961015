//! The plain forward pass of layers that carry a state: token after token, as the papers write it.

use crate::reference::{Reference, dot, sigmoid, silu};

impl Reference<'_> {
    /// Output of a layer without attention for every position.
    pub(crate) fn recurrent(&self, x: &[Vec<f32>], layer: usize) -> Vec<Vec<f32>> {
        let has = |part: &str| self.contents.tensor(&format!("blk.{layer}.{part}.weight")).is_some();
        if has("shortconv.in_proj") {
            self.short_convolution(x, layer)
        } else if has("attn_gate") {
            self.delta_net(x, layer)
        } else {
            self.state_space(x, layer)
        }
    }

    /// Each channel by itself: `out[t] = bias + sum over j of w[j] x[t - (taps - 1) + j]`, zero before the first token.
    fn convolved(&self, x: &[Vec<f32>], name: &str) -> Vec<Vec<f32>> {
        let weight = self.tensor(&format!("{name}.weight")).expect("present");
        let bias = self.vector(&format!("{name}.bias"));
        let taps = weight[0].len();
        let channel = |t: usize, c: usize| {
            let tap = |j: usize| (t + j + 1).checked_sub(taps).map_or(0.0, |t| weight[c][j] * x[t][c]);
            bias.as_ref().map_or(0.0, |bias| bias[c]) + (0..taps).map(tap).sum::<f32>()
        };
        (0..x.len()).map(|t| (0..weight.len()).map(|c| channel(t, c)).collect()).collect()
    }

    fn short_convolution(&self, x: &[Vec<f32>], layer: usize) -> Vec<Vec<f32>> {
        let name = |part: &str| format!("blk.{layer}.shortconv.{part}");
        let fused = self.linear(x, &name("in_proj"));
        let n = fused[0].len() / 3;
        let gated: Vec<Vec<f32>> = fused.iter().map(|row| (0..n).map(|c| row[c] * row[2 * n + c]).collect()).collect();
        let convolved = self.convolved(&gated, &name("conv"));
        let gate = |(row, y): (&Vec<f32>, &Vec<f32>)| (0..n).map(|c| row[n + c] * y[c]).collect();
        self.linear(&fused.iter().zip(&convolved).map(gate).collect::<Vec<_>>(), &name("out_proj"))
    }

    fn sizes(&self) -> [usize; 4] {
        ["ssm.state_size", "ssm.group_count", "ssm.time_step_rank", "ssm.inner_size"].map(|key| self.size(key))
    }

    fn delta_net(&self, x: &[Vec<f32>], layer: usize) -> Vec<Vec<f32>> {
        let name = |part: &str| format!("blk.{layer}.{part}");
        let [size, groups, heads, inner] = self.sizes();
        let rows = inner / heads;
        let eps = self.float("attention.layer_norm_rms_epsilon").expect("present");
        let unit = |x: &[f32]| -> Vec<f32> { x.iter().map(|v| v / (dot(x, x) + eps).sqrt()).collect() };
        let mixed = self.convolved(&self.linear(x, &name("attn_qkv")), &name("ssm_conv1d"));
        let (gate, beta) = (self.linear(x, &name("attn_gate")), self.linear(x, &name("ssm_beta")));
        let alpha = self.linear(x, &name("ssm_alpha"));
        let [a, bias, norm] =
            ["ssm_a", "ssm_dt.bias", "ssm_norm.weight"].map(|n| self.vector(&name(n)).expect("present"));
        let mut state = vec![vec![vec![0.0f32; size]; rows]; heads];
        let mut outputs = Vec::new();
        for (t, mixed) in mixed.iter().enumerate() {
            let mixed: Vec<f32> = mixed.iter().map(|x| silu(*x)).collect();
            let mut output = Vec::new();
            for (h, state) in state.iter_mut().enumerate() {
                let group = h % groups * size;
                let q: Vec<f32> = unit(&mixed[group..group + size]).iter().map(|q| q / (size as f32).sqrt()).collect();
                let k = unit(&mixed[groups * size + group..][..size]);
                let v = &mixed[2 * groups * size + h * rows..][..rows];
                let decay = (softplus(alpha[t][h] + bias[h]) * a[h]).exp();
                let mut y = Vec::new();
                for (row, v) in state.iter_mut().zip(v) {
                    row.iter_mut().for_each(|s| *s *= decay);
                    let change = (v - dot(row, &k)) * sigmoid(beta[t][h]);
                    row.iter_mut().zip(&k).for_each(|(s, k)| *s += change * k);
                    y.push(dot(row, &q));
                }
                let scale = 1.0 / (dot(&y, &y) / rows as f32 + eps).sqrt();
                let gate = &gate[t][h * rows..(h + 1) * rows];
                output.extend(y.iter().zip(&norm).zip(gate).map(|((y, w), z)| y * scale * w * silu(*z)));
            }
            outputs.push(output);
        }
        self.linear(&outputs, &name("ssm_out"))
    }

    fn state_space(&self, x: &[Vec<f32>], layer: usize) -> Vec<Vec<f32>> {
        let name = |part: &str| format!("blk.{layer}.{part}");
        let [size, groups, heads, inner] = self.sizes();
        let rows = inner / heads;
        let eps = self.float("attention.layer_norm_rms_epsilon").expect("present");
        let fused = self.linear(x, &name("ssm_in"));
        let channels = inner + 2 * groups * size;
        let part = |from: usize, len: usize| fused.iter().map(|row| row[from..from + len].to_vec()).collect::<Vec<_>>();
        let (gate, step) = (part(0, inner), part(inner + channels, heads));
        let mixed = self.convolved(&part(inner, channels), &name("ssm_conv1d"));
        let flat = |part: &str| self.tensor(&name(part)).expect("present").concat();
        let (a, d, bias, norm) = (flat("ssm_a"), flat("ssm_d"), flat("ssm_dt.bias"), flat("ssm_norm.weight"));
        let mut state = vec![vec![vec![0.0f32; size]; rows]; heads];
        let mut outputs = Vec::new();
        for (t, mixed) in mixed.iter().enumerate() {
            let mixed: Vec<f32> = mixed.iter().map(|x| silu(*x)).collect();
            let mut output = Vec::new();
            for (h, state) in state.iter_mut().enumerate() {
                let group = h / (heads / groups) * size;
                let (b, c) = (&mixed[inner + group..][..size], &mixed[inner + groups * size + group..][..size]);
                let step = softplus(step[t][h] + bias[h]);
                let decay = (step * a[h]).exp();
                for (i, row) in state.iter_mut().enumerate() {
                    let x = mixed[h * rows + i];
                    row.iter_mut().zip(b).for_each(|(s, b)| *s = *s * decay + x * step * b);
                    output.push((dot(row, c) + x * d[h]) * silu(gate[t][h * rows + i]));
                }
            }
            for (y, norm) in output.chunks_mut(inner / groups).zip(norm.chunks(inner / groups)) {
                let scale = 1.0 / (dot(y, y) / y.len() as f32 + eps).sqrt();
                y.iter_mut().zip(norm).for_each(|(y, w)| *y *= scale * w);
            }
            outputs.push(output);
        }
        self.linear(&outputs, &name("ssm_out"))
    }
}

fn softplus(x: f32) -> f32 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}
