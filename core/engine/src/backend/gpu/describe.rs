//! A model as the plan for GPUs knows it; or what of it there are no shaders for.

use std::ops::Range;

use sprat_kernels::{Activation, Pairing};
use sprat_metal as metal;

use crate::config::{Config, LayerConfig, NormKind, Temperature};
use crate::weights::{FeedForward, HeadNorm, Layer, Linear, Matrix, Norm, Vector, Weights};

/// What a model has that there are no shaders for.
type Missing = &'static str;

/// The plan's description of a model.
pub fn describe(config: &Config, weights: &Weights) -> Result<metal::Model, Missing> {
    let layer = check(config, weights)?;
    let norms = weights.layers.iter().filter_map(|layer| layer.attention()?.q_norm.as_ref());
    let qk_norm = match norms.map(kind_of).reduce(|a, b| if a == b { a } else { None }) {
        None => metal::QkNorm::default(),
        Some(kind) => kind.ok_or("norms of queries and keys of several kinds")?,
    };
    let model = metal::Model {
        dim: number(config.dim),
        feed_forward: number(layer.feed_forward),
        n_heads: number(layer.n_heads),
        n_kv_heads: number(layer.n_kv_heads),
        head_dim: number(layer.head_dim),
        value_dim: number(layer.value_dim),
        rotated: number(config.ropes[0].dims),
        ropes: number(config.ropes.len()),
        adjacent: config.spec.pairing == Pairing::Adjacent,
        qk_norm,
        qk_norm_late: config.spec.qk_norm_after_rope,
        norm_eps: config.norm_eps,
        activation: match config.spec.activation {
            Activation::Silu => metal::Activation::Silu,
            Activation::GeluTanh => metal::Activation::GeluTanh,
            _ => return Err("its activation"),
        },
        embedding_scale: config.embedding_scale,
        residual_scale: config.residual_scale,
        attention_scale: config.attention_scale,
        attention_cap: config.attention_cap,
        temperature: config
            .temperature
            .map(|Temperature { scale, period }| metal::Temperature { scale: scale as f32, period: number(period) }),
        logit_scale: config.logit_scale,
        logit_cap: config.logit_cap,
        cache: metal::Cache::F16, // set for each pass, as are the pages
        embedding: matrix(&weights.embedding)?,
        layers: weights.layers.iter().zip(&config.layers).map(describe_layer).collect::<Result<_, _>>()?,
        output_norm: norm(&weights.output_norm)?,
        output: plain(&weights.output)?,
        max_pages: 0,
    };
    model.check().map_err(|reason| what_is(&reason))?;
    Ok(model)
}

/// The shape of such a norm.
fn kind_of(norm: &HeadNorm) -> Option<metal::QkNorm> {
    match norm {
        HeadNorm::Shared(_) => Some(metal::QkNorm::Shared),
        HeadNorm::Whole(_) => Some(metal::QkNorm::Whole),
        // One tensor for each head; the plan knows one for all.
        HeadNorm::Each(_) => None,
    }
}

/// What a plan lacks, in words.
fn what_is(reason: &metal::Unsupported) -> Missing {
    use metal::Unsupported;
    match reason {
        Unsupported::HeadSize { .. } => "heads of such a size",
        Unsupported::Rotation { .. } => "so many values that rotate",
        Unsupported::Heads { .. } => "its numbers of heads",
        Unsupported::Width { .. } => "widths of no whole 16",
        Unsupported::GateAndUp { .. } => "a gate and an up of two formats",
        Unsupported::SomeBiases { .. } => "a bias on some of queries, keys and values",
        Unsupported::Rope { .. } => "such a rotary embedding",
        Unsupported::LateWholeNorm => "norms over all heads behind the rotation",
    }
}

/// Compares everything that the plan has no word for; the layer that all others are like.
fn check<'a>(config: &'a Config, weights: &Weights) -> Result<&'a LayerConfig, Missing> {
    let spec = config.spec;
    let first = config.layers.first().ok_or("no layers")?;
    let like = |layer: &LayerConfig| {
        let sizes = |l: &LayerConfig| (l.n_heads, l.n_kv_heads, l.head_dim, l.value_dim, l.feed_forward);
        sizes(layer) == sizes(first)
    };
    let needs = [
        (config.state_len == 0, "layers that carry states"),
        (config.experts.is_none(), "experts"),
        (config.streams == 1 && config.per_layer_input == 0, "streams or inputs beside the residual stream"),
        (spec.norm == NormKind::Rms, "layer norms"),
        (weights.position_embedding.is_none(), "embedded positions"),
        (config.layers.iter().all(|layer| layer.kv_of.is_none()), "shared keys"),
        (config.layers.iter().all(|layer| layer.sparsity.is_none()), "sparse gates"),
        (config.layers.iter().all(like), "layers that differ"),
        (config.ropes.iter().all(|rope| rope.dims == config.ropes[0].dims), "rotary embeddings of several sizes"),
        (!spec.gated_attention && !spec.value_norm, "its kind of attention"),
        (!spec.clamped_gate, "its activation"),
    ];
    match needs.iter().find(|(holds, _)| !holds) {
        Some((_, missing)) => Err(missing),
        None => Ok(first),
    }
}

fn describe_layer((layer, config): (&Layer, &LayerConfig)) -> Result<metal::Layer, Missing> {
    let attention = layer.attention().ok_or("layers without attention")?;
    if layer.parallel {
        return Err("norms in other places");
    }
    if layer.output_scale.is_some() || layer.low_rank.is_some() || attention.sinks.is_some() {
        return Err("parts beside attention");
    }
    let FeedForward { gate, up, down, .. } = layer.feed_forward.as_ref().ok_or("experts")?;
    let (gate, up) = (plain(gate.as_ref().ok_or("feed-forward parts without a gate")?)?, plain(up)?);
    let (Some(k), Some(v)) = (&attention.k, &attention.v) else { return Err("shared keys") };
    let [q, k, v] = [&attention.q, k, v].map(projection);
    let head_norm = |norms: &Option<HeadNorm>| match norms {
        None => Ok(None),
        Some(HeadNorm::Shared(weights) | HeadNorm::Whole(weights)) => norm(weights).map(Some),
        Some(HeadNorm::Each(_)) => Err("norms of queries and keys of their own kind"),
    };
    let qk_norms = match (head_norm(&attention.q_norm)?, head_norm(&attention.k_norm)?) {
        (None, None) => None,
        (Some(q), Some(k)) => Some([q, k]),
        _ => return Err("a norm of queries or keys alone"),
    };
    let place = |weights: &Option<Norm>| weights.as_ref().map(norm).transpose();
    Ok(metal::Layer {
        attention_norm: place(&layer.attention_norm)?,
        qkv: [q?, k?, v?],
        qk_norms,
        window: config.window.map(number),
        rope: config.rope.map(number),
        attention_out: projection(&attention.out)?,
        attention_post_norm: place(&layer.attention_post_norm)?,
        feed_forward_norm: place(&layer.feed_forward_norm)?,
        gate,
        up,
        down: projection(down)?,
        feed_forward_post_norm: place(&layer.feed_forward_post_norm)?,
    })
}

fn projection(linear: &Linear) -> Result<metal::Projection, Missing> {
    Ok(metal::Projection { matrix: matrix(&linear.matrix)?, bias: linear.bias.as_ref().map(vector).transpose()? })
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
