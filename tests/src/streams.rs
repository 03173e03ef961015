//! The plain forward pass of Gemma 3n: residual streams side by side, of which layers work on the first, a path of low rank
//! beside attention, and gates that mostly are zero.

use crate::reference::{Reference, add, dot, scaled};

/// A vector for each token.
type Rows = Vec<Vec<f32>>;

impl Reference<'_> {
    /// The layers, from the embedding to what the last norm reads.
    pub(crate) fn parallel_streams(&self, x: Rows, inputs: &[Rows]) -> Rows {
        let mut streams = vec![x.clone()];
        streams.extend(self.projections("altup_proj.weight").iter().map(|matrix| as_long(&multiply(matrix, &x), &x)));
        for layer in 0..self.size("block_count") {
            streams = self.layer_of_streams(streams, inputs, layer);
        }
        let mut sum = streams[0].clone();
        for (stream, matrix) in streams[1..].iter().zip(&self.projections("altup_unembd_proj.weight")) {
            add(&mut sum, &as_long(&multiply(matrix, stream), &streams[0]), 1.0);
        }
        sum.iter().map(|row| scaled(row, 1.0 / streams.len() as f32)).collect()
    }

    fn layer_of_streams(&self, streams: Vec<Rows>, inputs: &[Rows], layer: usize) -> Vec<Rows> {
        let name = |part: &str| format!("blk.{layer}.{part}");
        let n = streams.len();
        let scores = self.router(&streams[0], layer);
        let coefficients = multiply(&self.tensor(&name("altup_predict_coef.weight")).expect("present"), &scores);
        let mut predicted = streams.clone();
        for (to, predicted) in predicted.iter_mut().enumerate() {
            for (from, stream) in streams.iter().enumerate() {
                for (token, row) in predicted.iter_mut().enumerate() {
                    let share = coefficients[token][to * n + from];
                    row.iter_mut().zip(&stream[token]).for_each(|(x, y)| *x += share * y);
                }
            }
        }
        let active = &predicted[0];
        let normed = self.normed(active, &name("attn_norm"));
        let path = self.linear(&self.linear(&normed, &name("laurel_l")), &name("laurel_r"));
        let mut x = active.clone();
        add(&mut x, &self.normed(&self.attention(&normed, layer), &name("post_attention_norm")), 1.0);
        add(&mut x, &normed, 1.0);
        add(&mut x, &self.normed(&path, &name("laurel_post_norm")), 1.0);
        let mut x: Rows = x.iter().map(|row| scaled(row, 0.5f32.sqrt())).collect();
        let made = self.feed_forward(&self.normed(&x, &name("ffn_norm")), layer);
        add(&mut x, &self.normed(&made, &name("post_ffw_norm")), 1.0);

        let scores = self.router(&x, layer);
        let coefficients = multiply(&self.tensor(&name("altup_correct_coef.weight")).expect("present"), &scores);
        let mut change = x;
        add(&mut change, active, -1.0);
        let mut corrected = predicted.clone();
        for (to, corrected) in corrected.iter_mut().enumerate() {
            for (token, row) in corrected.iter_mut().enumerate() {
                let share = 1.0 + coefficients[token][to];
                row.iter_mut().zip(&change[token]).for_each(|(x, y)| *x += share * y);
            }
        }
        let factors = self.vector(&name("altup_correct_scale.weight")).expect("present");
        let gate = |row: &Vec<f32>| row.iter().zip(&factors).map(|(x, factor)| x * factor).collect();
        let made = self.per_layer(&corrected[0].iter().map(gate).collect::<Rows>(), inputs, layer);
        corrected[1..].iter_mut().for_each(|stream| add(stream, &made, 1.0));
        corrected
    }

    /// How far the layer changes each stream, as the first one says.
    fn router(&self, x: &[Vec<f32>], layer: usize) -> Rows {
        let name = |part: &str| format!("blk.{layer}.{part}");
        let scores = self.linear(&self.normed(x, &name("altup_router_norm")), &name("altup_router"));
        scores.iter().map(|row| row.iter().map(|score| (score / x[0].len() as f32).tanh()).collect()).collect()
    }

    /// One square matrix for each further stream.
    fn projections(&self, name: &str) -> Vec<Rows> {
        let rows = self.tensor(name).expect("present");
        rows.chunks(rows[0].len()).map(<[Vec<f32>]>::to_vec).collect()
    }

    /// In the first ten layers only the gates pass that are far above the mean: one in twenty if they are normal.
    pub(crate) fn sparse(&self, gates: Rows, layer: usize) -> Rows {
        if self.architecture != "gemma3n" || layer >= 10 {
            return gates;
        }
        let pass = |row: &Vec<f32>| {
            let n = row.len() as f64;
            let mean = row.iter().map(|x| f64::from(*x)).sum::<f64>() / n;
            let variance = row.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / (n - 1.0);
            let least = mean + 1.644_853_6 * variance.sqrt();
            row.iter().map(|x| (f64::from(*x) - least).max(0.0) as f32).collect()
        };
        gates.iter().map(pass).collect()
    }
}

fn multiply(matrix: &[Vec<f32>], x: &[Vec<f32>]) -> Rows {
    x.iter().map(|x| matrix.iter().map(|row| dot(row, x)).collect()).collect()
}

/// Each row of `y` made as long as that of `x`.
fn as_long(y: &[Vec<f32>], x: &[Vec<f32>]) -> Rows {
    y.iter().zip(x).map(|(y, x)| scaled(y, (dot(x, x) / dot(y, y)).sqrt())).collect()
}
