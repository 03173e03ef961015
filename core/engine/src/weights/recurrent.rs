//! The tensors of layers that carry a state.

use super::find::Tensors;
use super::tensor::{Linear, Vector};
use crate::config::{RecurrentConfig, RecurrentKind};
use crate::error::Error;

/// A short convolution.
#[derive(Debug)]
pub struct Convolution {
    /// What gates the inputs, `[channels, dim]`.
    pub input_gate: Linear,
    /// What gates the outputs, `[channels, dim]`.
    pub output_gate: Linear,
    /// Inputs, `[channels, dim]`.
    pub input: Linear,
    /// Weights of the convolution, `[channels, taps]`.
    pub taps: Vector,
    /// Output, `[dim, channels]`.
    pub out: Linear,
}

/// A gated delta net or a selective state space.
#[derive(Debug)]
pub struct Scan {
    /// What goes through the convolution, `[channels, dim]`.
    pub convolved: Linear,
    /// What gates the output, `[heads * head_dim, dim]`.
    pub gate: Linear,
    /// Says how fast the state decays, and in a state space how much is written, `[heads, dim]`.
    pub step: Linear,
    /// Says in a delta net how much is written, `[heads, dim]`.
    pub beta: Option<Linear>,
    /// Weights of the convolution, `[channels, taps]`.
    pub taps: Vector,
    /// Added to the convolution, `[channels]`.
    pub taps_bias: Option<Vector>,
    /// Added to `step`, `[heads]`.
    pub step_bias: Vector,
    /// Logarithm of the decay of one step, `[heads]`.
    pub decay: Vector,
    /// How much of the input goes past the state, `[heads]`.
    pub skip: Option<Vector>,
    /// Norm of the output: of each head `[head_dim]` in a delta net, of each group in a state space
    /// `[heads * head_dim]`.
    pub norm: Vector,
    /// Output, `[dim, heads * head_dim]`.
    pub out: Linear,
}

impl Convolution {
    /// Finds the tensors of a layer, whose names `name` makes.
    pub fn find(
        tensors: &Tensors<'_>,
        name: &dyn Fn(&str) -> String,
        layer: &RecurrentConfig,
        dim: usize,
    ) -> Result<Self, Error> {
        let RecurrentConfig { channels, taps, .. } = *layer;
        let fused = tensors.linear(&name("shortconv.in_proj"), 3 * channels, dim)?;
        Ok(Self {
            input_gate: fused.part(0..channels),
            output_gate: fused.part(channels..2 * channels),
            input: fused.part(2 * channels..3 * channels),
            taps: tensors.values(&name("shortconv.conv.weight"), &[channels, taps])?,
            out: tensors.linear(&name("shortconv.out_proj"), dim, channels)?,
        })
    }
}

impl Scan {
    /// Finds the tensors of a layer, whose names `name` makes.
    pub fn find(
        tensors: &Tensors<'_>,
        name: &dyn Fn(&str) -> String,
        layer: &RecurrentConfig,
        dim: usize,
    ) -> Result<Self, Error> {
        let RecurrentConfig { channels, taps, heads, head_dim, groups, .. } = *layer;
        let inner = layer.width();
        let is_delta = layer.kind == RecurrentKind::DeltaNet;
        let (convolved, gate, step, beta) = if is_delta {
            let beta = tensors.linear(&name("ssm_beta"), heads, dim)?;
            let step = tensors.linear(&name("ssm_alpha"), heads, dim)?;
            let convolved = tensors.linear(&name("attn_qkv"), channels, dim)?;
            (convolved, tensors.linear(&name("attn_gate"), inner, dim)?, step, Some(beta))
        } else {
            let fused = tensors.linear(&name("ssm_in"), inner + channels + heads, dim)?;
            let (convolved, step) = (inner..inner + channels, inner + channels..inner + channels + heads);
            (fused.part(convolved), fused.part(0..inner), fused.part(step), None)
        };
        let norm = name("ssm_norm.weight");
        Ok(Self {
            convolved,
            gate,
            step,
            beta,
            taps: tensors.values(&name("ssm_conv1d.weight"), &[channels, taps])?,
            taps_bias: tensors.optional_vector(&name("ssm_conv1d.bias"), channels)?,
            step_bias: tensors.vector(&name("ssm_dt.bias"), heads)?,
            // Without a suffix in the file, and one value to a row in a state space.
            decay: tensors.values(&name("ssm_a"), &[heads, 1][..if is_delta { 1 } else { 2 }])?,
            skip: if is_delta { None } else { Some(tensors.values(&name("ssm_d"), &[heads, 1])?) },
            norm: if is_delta {
                tensors.vector(&norm, head_dim)?
            } else {
                tensors.values(&norm, &[groups, inner / groups])?
            },
            out: tensors.linear(&name("ssm_out"), dim, inner)?,
        })
    }
}
