//! Mixtures of experts: how many, how a token's are chosen, and how their outputs are weighted.

use super::keys::Keys;
use super::limits;
use super::spec::Spec;
use crate::error::Error;

/// Most experts of a layer: what llama.cpp accepts.
const MAX_EXPERTS: usize = 512;

/// The mixture of experts that stands for the feed-forward part in some layers.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpertsConfig {
    /// Experts of a layer.
    pub count: usize,
    /// How many of them a token goes through.
    pub used: usize,
    /// Width of each.
    pub feed_forward: usize,
    /// Layers before the first with experts.
    pub first_layer: usize,
    /// What the router's outputs become.
    pub routing: Routing,
    /// Whether the weights of a token's experts are divided by their sum.
    pub normalized: bool,
    /// Factor on the weights.
    pub scale: f32,
}

/// What the router's outputs become before and after the choice; the largest are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routing {
    /// Softmax over all experts.
    Softmax,
    /// Softmax over the chosen ones.
    SoftmaxOfChosen,
    /// A sigmoid of each.
    Sigmoid,
}

/// What families fix about their experts.
#[derive(Clone, Copy, Debug)]
pub struct ExpertsSpec {
    /// What the router's outputs become, where the key `expert_gating_func` does not say.
    pub routing: Routing,
    /// Whether the weights are divided by their sum, where the key `expert_weights_norm` does not say.
    pub normalized: bool,
}

impl ExpertsSpec {
    /// What most families do.
    pub const USUAL: Self = Self { routing: Routing::Softmax, normalized: true };
}

impl ExpertsConfig {
    /// The experts that a file states; none where it has none.
    pub fn read(spec: &Spec, keys: &Keys<'_>, feed_forward: Option<usize>) -> Result<Option<Self>, Error> {
        let count = keys.count("expert_count", MAX_EXPERTS)?.unwrap_or(0);
        if count == 0 {
            return Ok(None);
        }
        let width = match feed_forward {
            Some(default) => keys.dimension_or("expert_feed_forward_length", default, limits::FEED_FORWARD)?,
            None => keys.dimension("expert_feed_forward_length", limits::FEED_FORWARD)?,
        };
        let key = "expert_gating_func";
        // Numbers as in llama.cpp's `llama_expert_gating_func_type`.
        let routing = match keys.count(key, usize::MAX)? {
            None | Some(0) => spec.experts.routing,
            Some(1) => Routing::Softmax,
            Some(2) => Routing::Sigmoid,
            Some(3) => Routing::SoftmaxOfChosen,
            Some(other) => return Err(keys.bad(key, other, "unknown kind of gate")),
        };
        let scale = keys.f32("expert_weights_scale")?.filter(|&scale| scale != 0.0).unwrap_or(1.0);
        keys.require("expert_weights_scale", scale, scale.is_finite(), "not a number")?;
        Ok(Some(Self {
            count,
            used: keys.dimension("expert_used_count", count)?,
            feed_forward: width,
            first_layer: keys.count("leading_dense_block_count", limits::LAYERS)?.unwrap_or(0),
            routing,
            normalized: keys.bool_or("expert_weights_norm", spec.experts.normalized)?,
            scale,
        }))
    }
}
