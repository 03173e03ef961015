//! The plain forward pass of mixtures of experts: every token by itself, every expert in the order of its rank.

use crate::reference::{Reference, add, dot, scaled, sigmoid, silu, softmax};

impl Reference<'_> {
    /// Output of a mixture that reads the stream `x`, router and experts through norms of their own, and of the feed-forward
    /// part beside it, which reads `input`.
    pub(crate) fn experts_apart(&self, x: &[Vec<f32>], input: &[Vec<f32>], layer: usize) -> Vec<Vec<f32>> {
        let name = |part: &str| format!("blk.{layer}.{part}");
        let scale =
            scaled(&self.vector(&name("ffn_gate_inp.scale")).expect("present"), 1.0 / (x[0].len() as f32).sqrt());
        let routed: Vec<Vec<f32>> = x.iter().map(|x| self.norm(x, &scale, None)).collect();
        let scores = self.linear(&routed, &name("ffn_gate_inp"));
        let chosen = self.experts(&self.normed(x, &name("pre_ffw_norm_2")), &scores, layer);
        let mut out = self.normed(&self.feed_forward(input, layer), &name("post_ffw_norm_1"));
        add(&mut out, &self.normed(&chosen, &name("post_ffw_norm_2")), 1.0);
        out
    }

    /// Gates, ups and downs of all experts, row by row.
    fn expert_weights(&self, layer: usize, count: usize) -> [Vec<Vec<f32>>; 3] {
        let weights = |kind: &str| self.tensor(&format!("blk.{layer}.ffn_{kind}_exps.weight"));
        let down = weights("down").expect("present");
        let Some(fused) = weights("gate_up") else {
            return [weights("gate").expect("present"), weights("up").expect("present"), down];
        };
        let width = fused.len() / count / 2;
        let half = |half: usize| fused.chunks(width).skip(half).step_by(2).flatten().cloned().collect();
        [half(0), half(1), down]
    }

    /// Output of a mixture of experts for every position, as the router's `scores` say.
    pub(crate) fn experts(&self, x: &[Vec<f32>], scores: &[Vec<f32>], layer: usize) -> Vec<Vec<f32>> {
        let name = |part: &str| format!("blk.{layer}.{part}");
        let gpt = self.architecture == "gpt-oss";
        let kinds = ["gate", "up", "down"];
        let biases = kinds.map(|kind| self.tensor(&name(&format!("ffn_{kind}_exps.bias"))));
        let count = self.size("expert_count");
        let weights = self.expert_weights(layer, count);
        let scales = self.vector(&name("ffn_down_exps.scale")).unwrap_or(vec![1.0; count]);
        let f = self.activation();
        let bias = self.vector(&name("exp_probs_b.bias"));
        // Rows of expert `e`, in one of its three matrices.
        let multiply = |which: usize, e: usize, x: &[f32]| -> Vec<f32> {
            let rows = weights[which].len() / count;
            let bias = |i: usize| biases[which].as_ref().map_or(0.0, |bias| bias[e][i]);
            weights[which][e * rows..(e + 1) * rows].iter().enumerate().map(|(i, w)| dot(w, x) + bias(i)).collect()
        };
        let gated = |gate: f32, up: f32| {
            if !gpt {
                return f(gate) * up;
            }
            let (gate, up) = (gate.min(7.0), up.clamp(-7.0, 7.0));
            gate / (1.0 + (-1.702 * gate).exp()) * (up + 1.0)
        };
        let token = |(x, scores): (&Vec<f32>, &Vec<f32>)| {
            let all = match self.number("expert_gating_func") {
                Some(2) => scores.iter().map(|score| sigmoid(*score)).collect(),
                _ => softmax(scores.clone()),
            };
            let rank = |e: usize| all[e] + bias.as_ref().map_or(0.0, |bias| bias[e]);
            let mut ranks: Vec<usize> = (0..count).collect();
            ranks.sort_by(|&a, &b| rank(b).total_cmp(&rank(a)));
            ranks.truncate(self.size("expert_used_count"));
            let mut shares: Vec<f32> = ranks.iter().map(|&e| if gpt { scores[e] } else { all[e] }).collect();
            if gpt {
                shares = softmax(shares);
            } else if self.architecture != "qwen2moe" {
                let sum: f32 = shares.iter().sum();
                shares.iter_mut().for_each(|share| *share /= sum);
            }
            let mut out = vec![0.0; x.len()];
            for (&e, share) in ranks.iter().zip(shares) {
                let (gate, up) = (multiply(0, e, x), multiply(1, e, x));
                let hidden: Vec<f32> = gate.iter().zip(&up).map(|(&gate, &up)| gated(gate, up)).collect();
                out.iter_mut().zip(multiply(2, e, &hidden)).for_each(|(out, y)| *out += share * scales[e] * y);
            }
            out
        };
        let mut out: Vec<Vec<f32>> = x.iter().zip(scores).map(token).collect();
        if let Some(gate) = self.vector(&name("ffn_gate_inp_shexp.weight")) {
            let (gates, ups) = (self.linear(x, &name("ffn_gate_shexp")), self.linear(x, &name("ffn_up_shexp")));
            let product = |(g, u): (&Vec<f32>, &Vec<f32>)| g.iter().zip(u).map(|(g, u)| silu(*g) * u).collect();
            let hidden: Vec<Vec<f32>> = gates.iter().zip(&ups).map(product).collect();
            for ((out, y), x) in out.iter_mut().zip(self.linear(&hidden, &name("ffn_down_shexp"))).zip(x) {
                let share = sigmoid(dot(&gate, x));
                out.iter_mut().zip(y).for_each(|(out, y)| *out += share * y);
            }
        }
        out
    }
}
