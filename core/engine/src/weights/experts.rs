//! The tensors of a mixture of experts.

use super::find::Tensors;
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
    /// Gates, `[count * feed_forward, dim]`.
    pub gate: Linear,
    /// Ups, `[count * feed_forward, dim]`.
    pub up: Linear,
    /// Downs, `[count * dim, feed_forward]`.
    pub down: Linear,
    /// Weighs the expert that every token goes through, `[1, dim]`; without it that weight is 1.
    pub shared_gate: Option<Linear>,
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
        Ok(Self {
            router: tensors.linear(&name("ffn_gate_inp"), count, dim)?,
            choice_bias: tensors.optional_vector(&name("exp_probs_b.bias"), count)?,
            gate: tensors.linears(&name("ffn_gate_exps"), count, feed_forward, dim)?,
            up: tensors.linears(&name("ffn_up_exps"), count, feed_forward, dim)?,
            down: tensors.linears(&name("ffn_down_exps"), count, dim, feed_forward)?,
            shared_gate: tensors.optional_linear(&name("ffn_gate_inp_shexp"), 1, dim)?,
        })
    }

    /// Its projections of which a token reads only the chosen experts' rows.
    pub fn linears(&self) -> [&Linear; 3] {
        [&self.gate, &self.up, &self.down]
    }
}
