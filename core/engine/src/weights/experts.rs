//! The tensors of a mixture of experts.

use super::find::Tensors;
use super::norm::Norm;
use super::tensor::{Linear, Vector};
use crate::config::ExpertsConfig;
use crate::error::Error;

/// Tensors of the experts of one layer. Those of one kind lie behind each other: expert `e` has rows `e * n..(e + 1) * n`.
#[derive(Debug)]
pub struct Experts {
    /// Scores the experts, `[count, dim]`.
    pub router: Linear,
    /// Added to what the router says, for the choice alone, `[count]`.
    pub choice_bias: Option<Vector>,
    /// Gates, `[count * stride, dim]` but for the last rows where gates and ups take turns.
    pub gate: Linear,
    /// Ups, as the gates.
    pub up: Linear,
    /// Rows from one expert's gates to the next one's: their width, or twice that where gates and ups are one tensor.
    pub stride: usize,
    /// Downs, `[count * dim, feed_forward]`.
    pub down: Linear,
    /// Weighs the expert that every token goes through, `[1, dim]`; without it that weight is 1.
    pub shared_gate: Option<Linear>,
    /// Where router, experts and the part beside them have norms of their own.
    pub apart: Option<Apart>,
}

/// Norms of experts and of the part beside them, where each reads the stream through its own (Gemma 4).
#[derive(Debug)]
pub struct Apart {
    /// What the router reads the stream through, `[dim]`; what it says is divided by the root of `dim`.
    pub router_norm: Norm,
    /// What the experts read the stream through, `[dim]`.
    pub norm: Norm,
    /// On what the experts put out together, `[dim]`.
    pub post_norm: Norm,
    /// On what the part beside them puts out, `[dim]`.
    pub beside_post_norm: Norm,
    /// Factors on what each expert puts out, `[count]`.
    pub scales: Option<Vector>,
}

impl Experts {
    /// Finds the tensors of a layer, whose names `name` makes.
    pub fn find(
        tensors: &Tensors<'_>,
        name: &dyn Fn(&str) -> String,
        dim: usize,
        experts: &ExpertsConfig,
    ) -> Result<Self, Error> {
        let ExpertsConfig { count, feed_forward, .. } = *experts;
        let (gate, up, stride) = match tensors.rows(&name("ffn_gate_up_exps")) {
            Some(_) => {
                let fused = tensors.linears(&name("ffn_gate_up_exps"), count, 2 * feed_forward, dim)?;
                let rows = fused.matrix.rows;
                (fused.part(0..rows - feed_forward), fused.part(feed_forward..rows), 2 * feed_forward)
            }
            None => {
                let part = |part| tensors.linears(&name(part), count, feed_forward, dim);
                (part("ffn_gate_exps")?, part("ffn_up_exps")?, feed_forward)
            }
        };
        Ok(Self {
            router: tensors.linear(&name("ffn_gate_inp"), count, dim)?,
            choice_bias: tensors.optional_vector(&name("exp_probs_b.bias"), count)?,
            gate,
            up,
            stride,
            down: tensors.linears(&name("ffn_down_exps"), count, dim, feed_forward)?,
            shared_gate: tensors.optional_linear(&name("ffn_gate_inp_shexp"), 1, dim)?,
            apart: if tensors.has(&name("pre_ffw_norm_2")) {
                Some(Apart::find(tensors, name, dim, count)?)
            } else {
                None
            },
        })
    }

    /// Bytes that one expert's rows take.
    pub fn bytes_of_one(&self, experts: &ExpertsConfig) -> usize {
        let inputs = [&self.gate, &self.up].map(|linear| linear.matrix.row_bytes() * experts.feed_forward);
        inputs.iter().sum::<usize>() + self.down.matrix.rows / experts.count * self.down.matrix.row_bytes()
    }
}

impl Apart {
    fn find(tensors: &Tensors<'_>, name: &dyn Fn(&str) -> String, dim: usize, count: usize) -> Result<Self, Error> {
        Ok(Self {
            router_norm: Norm { weight: tensors.vector(&name("ffn_gate_inp.scale"), dim)?, bias: None },
            norm: tensors.norm(&name("pre_ffw_norm_2"), dim)?,
            post_norm: tensors.norm(&name("post_ffw_norm_2"), dim)?,
            beside_post_norm: tensors.norm(&name("post_ffw_norm_1"), dim)?,
            scales: tensors.optional_vector(&name("ffn_down_exps.scale"), count)?,
        })
    }
}
