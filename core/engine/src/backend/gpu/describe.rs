//! A model as the plan for GPUs knows it; or what of it there are no shaders for.

use std::ops::Range;

use sprat_kernels::{Activation, Pairing};
use sprat_metal as metal;

use crate::config::{Config, LayerConfig, NormKind};
use crate::weights::{FeedForward, HeadNorm, Layer, Linear, Matrix, Norm, Vector, Weights};

/// What a model has that there are no shaders for.
type Missing = &'static str;

/// The plan's description of a model.
pub fn describe(config: &Config, weights: &Weights) -> Result<metal::Model, Missing> {
    let layer = check(config, weights)?;
    Ok(metal::Model {
        dim: number(config.dim),
        feed_forward: number(layer.feed_forward),
        n_heads: number(layer.n_heads),
        n_kv_heads: number(layer.n_kv_heads),
        head_dim: number(layer.head_dim),
        value_dim: number(layer.value_dim),
        rotated: number(config.ropes[0].dims),
        adjacent: config.spec.pairing == Pairing::Adjacent,
        norm_eps: config.norm_eps,
        attention_scale: config.attention_scale,
        embedding: matrix(&weights.embedding)?,
        layers: weights.layers.iter().map(describe_layer).collect::<Result<_, _>>()?,
        output_norm: norm(&weights.output_norm)?,
        output: plain(&weights.output)?,
        max_pages: 0, // set for each pass
    })
}

/// Compares everything that the plan has no word for; the layer that all others are like.
fn check<'a>(config: &'a Config, weights: &Weights) -> Result<&'a LayerConfig, Missing> {
    let spec = config.spec;
    let first = config.layers.first().ok_or("no layers")?;
    let like = |layer: &LayerConfig| {
        let sizes = |l: &LayerConfig| (l.n_heads, l.n_kv_heads, l.head_dim, l.value_dim, l.feed_forward);
        sizes(layer) == sizes(first) && layer.rope == Some(0)
    };
    let one = |factor: f32| factor == 1.0;
    let needs = [
        (config.state_len == 0, "layers that carry states"),
        (config.experts.is_none(), "experts"),
        (config.streams == 1 && config.per_layer_input == 0, "streams or inputs beside the residual stream"),
        (spec.norm == NormKind::Rms, "layer norms"),
        (weights.position_embedding.is_none(), "embedded positions"),
        (config.layers.iter().all(|layer| layer.window.is_none()), "sliding windows"),
        (config.layers.iter().all(|layer| layer.kv_of.is_none()), "shared keys"),
        (config.layers.iter().all(|layer| layer.sparsity.is_none()), "sparse gates"),
        (config.layers.iter().all(like), "layers that differ"),
        (config.ropes.len() == 1, "several rotary embeddings"),
        (!spec.gated_attention && !spec.value_norm && !spec.qk_norm_after_rope, "its kind of attention"),
        (config.temperature.is_none(), "sharpened queries"),
        (config.attention_cap.is_none() && config.logit_cap.is_none(), "soft caps"),
        (spec.activation == Activation::Silu && !spec.clamped_gate, "its activation"),
        (one(config.embedding_scale) && one(config.residual_scale) && one(config.logit_scale), "scaled streams"),
        (first.head_dim <= 256 && first.value_dim <= 256, "heads of more than 256 values"),
        (config.dim.is_multiple_of(16) && first.feed_forward.is_multiple_of(16), "widths of no whole 16"),
    ];
    match needs.iter().find(|(holds, _)| !holds) {
        Some((_, missing)) => Err(missing),
        None => Ok(first),
    }
}

fn describe_layer(layer: &Layer) -> Result<metal::Layer, Missing> {
    const NORMS: Missing = "norms in other places";
    let attention = layer.attention().ok_or("layers without attention")?;
    if layer.attention_post_norm.is_some() || layer.feed_forward_post_norm.is_some() || layer.parallel {
        return Err(NORMS);
    }
    if layer.output_scale.is_some() || layer.low_rank.is_some() || attention.sinks.is_some() {
        return Err("parts beside attention");
    }
    let FeedForward { gate, up, down, .. } = layer.feed_forward.as_ref().ok_or("experts")?;
    let (gate, up) = (plain(gate.as_ref().ok_or("feed-forward parts without a gate")?)?, plain(up)?);
    if gate.format != up.format {
        return Err("a gate and an up of two formats");
    }
    let (Some(k), Some(v)) = (&attention.k, &attention.v) else { return Err("shared keys") };
    let qkv = [&attention.q, k, v];
    if qkv.iter().any(|linear| linear.bias.is_some() != attention.q.bias.is_some()) {
        return Err("a bias on some of queries, keys and values");
    }
    let projection = |linear: &Linear| -> Result<_, Missing> {
        Ok(metal::Projection { matrix: matrix(&linear.matrix)?, bias: linear.bias.as_ref().map(vector).transpose()? })
    };
    let [q, k, v] = qkv.map(projection);
    let qk_norms = match (&attention.q_norm, &attention.k_norm) {
        (None, None) => None,
        (Some(HeadNorm::Shared(q)), Some(HeadNorm::Shared(k))) => Some([norm(q)?, norm(k)?]),
        _ => return Err("norms of queries and keys of their own kind"),
    };
    Ok(metal::Layer {
        attention_norm: norm(layer.attention_norm.as_ref().ok_or(NORMS)?)?,
        qkv: [q?, k?, v?],
        qk_norms,
        attention_out: plain(&attention.out)?,
        feed_forward_norm: norm(layer.feed_forward_norm.as_ref().ok_or(NORMS)?)?,
        gate,
        up,
        down: plain(down)?,
    })
}

fn norm(norm: &Norm) -> Result<u64, Missing> {
    if norm.bias.is_some() { Err("norms with a bias") } else { vector(&norm.weight) }
}

fn plain(linear: &Linear) -> Result<metal::Matrix, Missing> {
    if linear.bias.is_some() { Err("a bias on such projections") } else { matrix(&linear.matrix) }
}

fn matrix(matrix: &Matrix) -> Result<metal::Matrix, Missing> {
    let format = metal::Format::from_name(&format!("{:?}", matrix.format)).ok_or("a block format of the file")?;
    let (cols, offset) = (number(matrix.cols()), first_part(matrix.place())?);
    if !cols.is_multiple_of(format.block().0) {
        return Err("rows of no whole 16");
    }
    if offset % 2 != 0 {
        return Err("a tensor at an odd place");
    }
    Ok(metal::Matrix { format, rows: number(matrix.rows), cols, offset })
}

fn vector(vector: &Vector) -> Result<u64, Missing> {
    first_part(vector.place())
}

fn first_part((part, range): (usize, Range<usize>)) -> Result<u64, Missing> {
    if part == 0 { Ok(range.start as u64) } else { Err("a file in parts") }
}

/// Dimensions are far below 32 bits (`config`'s limits).
fn number(x: usize) -> u32 {
    u32::try_from(x).expect("a dimension")
}
