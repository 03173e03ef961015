//! The tensors of one layer.

use super::experts::Experts;
use super::find::Tensors;
use super::norm::{HeadNorm, Norm};
use super::per_layer::PerLayer;
use super::recurrent::{Convolution, Scan};
use super::streams::{LowRank, Streams};
use super::tensor::{Linear, Matrix, Vector};
use crate::config::{Block, Config, LayerConfig, RecurrentKind};
use crate::error::Error;

/// One layer's tensors.
#[derive(Debug)]
pub struct Layer {
    /// On the stream, before attention, `[dim]`.
    pub attention_norm: Option<Norm>,
    /// Attention, or what stands for it.
    pub mixer: Mixer,
    /// What stands beside it.
    pub low_rank: Option<LowRank>,
    /// On what attention puts out, `[dim]`.
    pub attention_post_norm: Option<Norm>,
    /// Whether the feed-forward part reads the stream without attention's output in it.
    pub parallel: bool,
    /// On the stream, before the feed-forward part, `[dim]`.
    pub feed_forward_norm: Option<Norm>,
    /// The feed-forward part that every token goes through; none where experts alone take its place.
    pub feed_forward: Option<FeedForward>,
    /// The experts of which a token goes through some.
    pub experts: Option<Experts>,
    /// On what the feed-forward part puts out, `[dim]`.
    pub feed_forward_post_norm: Option<Norm>,
    /// How it carries further streams along.
    pub streams: Option<Streams>,
    /// What it does with an input of its own.
    pub per_layer: Option<PerLayer>,
    /// Factor on the stream behind it, `[1]`.
    pub output_scale: Option<Vector>,
}

/// Tensors of the part in which tokens meet.
#[derive(Debug)]
pub enum Mixer {
    /// Attention.
    Attention(Attention),
    /// A short convolution.
    Convolution(Convolution),
    /// A gated delta net or a state space.
    Scan(Scan),
}

/// Tensors of attention.
#[derive(Debug)]
pub struct Attention {
    /// Queries, `[n_heads * head_dim, dim]`; with a gate, each head's gate of the same size behind it.
    pub q: Linear,
    /// Whether there is a gate.
    pub gated: bool,
    /// Keys, `[n_kv_heads * head_dim, dim]`; none where it uses those of another layer.
    pub k: Option<Linear>,
    /// Values, `[n_kv_heads * value_dim, dim]`; those of the keys again where the file has none.
    pub v: Option<Linear>,
    /// Norm of the queries.
    pub q_norm: Option<HeadNorm>,
    /// Norm of the keys.
    pub k_norm: Option<HeadNorm>,
    /// One more score per query head, without a value, `[n_heads]`.
    pub sinks: Option<Vector>,
    /// Output, `[dim, n_heads * value_dim]`.
    pub out: Linear,
}

/// Tensors of a feed-forward part.
#[derive(Debug)]
pub struct FeedForward {
    /// Gate, `[feed_forward, dim]`; none in a plain part, where `up` itself is activated.
    pub gate: Option<Linear>,
    /// Up, `[feed_forward, dim]`.
    pub up: Linear,
    /// Down, `[dim, feed_forward]`.
    pub down: Linear,
    /// How many standard deviations above their mean gates must be to pass; none where all do.
    pub sparsity: Option<f32>,
}

impl Layer {
    /// Finds the tensors that `layer`, number `index` of `config`, asks for.
    pub fn find(tensors: &Tensors<'_>, index: usize, layer: &LayerConfig, config: &Config) -> Result<Self, Error> {
        let name = |part: &str| format!("blk.{index}.{part}");
        let (dim, names) = (config.dim, &config.spec.norms);
        let norm = |part: Option<&str>| part.map(|part| tensors.norm(&name(part), dim)).transpose();
        let may_lack = config.spec.block == Block::ParallelWithoutNorm;
        let own_norm = names.before_feed_forward.filter(|part| !may_lack || tensors.has(&name(part)));
        // Without a norm of its own the feed-forward part reads what attention reads, unless that has a second one.
        let parallel = config.parallel || may_lack && own_norm.is_none();
        let second = Some("attn_norm_2").filter(|part| parallel && tensors.has(&name(part)));
        let experts = config.experts.as_ref().filter(|experts| index >= experts.first_layer);
        let experts = experts.map(|experts| Experts::find(tensors, &name, dim, experts)).transpose()?;
        let feed_forward = match &experts {
            Some(Experts { apart: None, .. }) => match tensors.rows(&name("ffn_up_shexp")) {
                // The width of the part beside the experts is what its tensors show.
                Some(width) => Some(FeedForward::find(tensors, &name, "_shexp", width, dim)?),
                None => None,
            },
            _ => Some(FeedForward {
                sparsity: layer.sparsity,
                ..FeedForward::find(tensors, &name, "", layer.feed_forward, dim)?
            }),
        };
        Ok(Self {
            attention_norm: norm(second.or(names.before_attention))?,
            mixer: Mixer::find(tensors, &name, layer, config)?,
            low_rank: LowRank::find(tensors, &name, config)?,
            attention_post_norm: norm(names.after_attention)?,
            parallel,
            feed_forward_norm: norm(own_norm.or(names.before_attention.filter(|_| parallel)))?,
            feed_forward,
            experts,
            feed_forward_post_norm: norm(names.after_feed_forward)?,
            streams: Streams::find(tensors, &name, config)?,
            per_layer: PerLayer::find(tensors, &name, config)?,
            output_scale: tensors.optional_vector(&name("layer_output_scale.weight"), 1)?,
        })
    }
}

impl Mixer {
    fn find(
        tensors: &Tensors<'_>,
        name: &dyn Fn(&str) -> String,
        layer: &LayerConfig,
        config: &Config,
    ) -> Result<Self, Error> {
        let dim = config.dim;
        Ok(match &layer.recurrent {
            None => Self::Attention(Attention::find(tensors, name, layer, config)?),
            Some(layer) if layer.kind == RecurrentKind::Convolution => {
                Self::Convolution(Convolution::find(tensors, name, layer, dim)?)
            }
            Some(layer) => Self::Scan(Scan::find(tensors, name, layer, dim)?),
        })
    }

    /// Its projections of the stream.
    pub fn inputs(&self) -> Vec<&Linear> {
        match self {
            Self::Attention(layer) => [&layer.q].into_iter().chain(&layer.k).chain(&layer.v).collect(),
            Self::Convolution(layer) => vec![&layer.input_gate, &layer.output_gate, &layer.input],
            Self::Scan(layer) => [&layer.convolved, &layer.gate, &layer.step].into_iter().chain(&layer.beta).collect(),
        }
    }

    /// Its projection into the stream.
    pub fn out(&self) -> &Linear {
        match self {
            Self::Attention(layer) => &layer.out,
            Self::Convolution(layer) => &layer.out,
            Self::Scan(layer) => &layer.out,
        }
    }
}

impl Layer {
    /// Tensors of attention, in a layer that has it.
    pub fn attention(&self) -> Option<&Attention> {
        if let Mixer::Attention(attention) = &self.mixer { Some(attention) } else { None }
    }
}

impl Attention {
    fn find(
        tensors: &Tensors<'_>,
        name: &dyn Fn(&str) -> String,
        layer: &LayerConfig,
        config: &Config,
    ) -> Result<Self, Error> {
        let (dim, gated) = (config.dim, config.spec.gated_attention);
        let (q, k) = (layer.n_heads * layer.head_dim * (1 + usize::from(gated)), layer.n_kv_heads * layer.head_dim);
        let v = layer.n_kv_heads * layer.value_dim;
        let (q, k, v) = match tensors.optional_linear(&name("attn_qkv"), q + k + v, dim)? {
            Some(fused) => (fused.part(0..q), Some(fused.part(q..q + k)), Some(fused.part(q + k..q + k + v))),
            None if !layer.has_kv() => {
                // Files may have them all the same (Gemma 3n); they are of no use, and no fault.
                tensors.pass_over(&name("attn_k.weight"));
                tensors.pass_over(&name("attn_v.weight"));
                (tensors.linear(&name("attn_q"), q, dim)?, None, None)
            }
            None => {
                let keys = tensors.linear(&name("attn_k"), k, dim)?;
                let values = match tensors.optional_linear(&name("attn_v"), v, dim)? {
                    None if config.spec.value_norm && k == v => keys.clone(),
                    None => return Err(Error::MissingTensor { name: name("attn_v.weight") }),
                    Some(values) => values,
                };
                (tensors.linear(&name("attn_q"), q, dim)?, Some(keys), Some(values))
            }
        };
        Ok(Self {
            q,
            gated,
            k,
            v,
            q_norm: tensors.optional_head_norm(&name("attn_q_norm"), layer.n_heads, layer.head_dim)?,
            k_norm: tensors.optional_head_norm(&name("attn_k_norm"), layer.n_kv_heads, layer.head_dim)?,
            sinks: tensors.optional_vector(&name("attn_sinks.weight"), layer.n_heads)?,
            out: tensors.linear(&name("attn_output"), dim, layer.n_heads * layer.value_dim)?,
        })
    }
}

impl Layer {
    /// Every matrix that each token passes through.
    pub fn matrices(&self) -> impl Iterator<Item = &Matrix> {
        let mixer = self.mixer.inputs().into_iter().chain([self.mixer.out()]);
        let feed_forward = self.feed_forward.iter().flat_map(FeedForward::linears);
        let router = self.experts.iter().map(|experts| &experts.router);
        let per_layer = self.per_layer.iter().flat_map(|layer| [&layer.gate, &layer.out]);
        let low_rank = self.low_rank.iter().flat_map(|path| [&path.left, &path.right]);
        let streams = self.streams.iter().map(|streams| &streams.router);
        mixer
            .chain(low_rank)
            .chain(feed_forward)
            .chain(router)
            .chain(per_layer)
            .chain(streams)
            .map(|linear| &linear.matrix)
    }
}

impl FeedForward {
    /// Finds the tensors of a part of width `f`, whose names end in `suffix`.
    fn find(
        tensors: &Tensors<'_>,
        name: &dyn Fn(&str) -> String,
        suffix: &str,
        f: usize,
        dim: usize,
    ) -> Result<Self, Error> {
        let name = |part: &str| name(&format!("{part}{suffix}"));
        let up = name("ffn_up");
        let (gate, up) = match tensors.optional_linear(&name("ffn_gate"), f, dim)? {
            Some(gate) => (Some(gate), tensors.linear(&up, f, dim)?),
            None if tensors.rows(&up) == Some(2 * f) => {
                let fused = tensors.linear(&up, 2 * f, dim)?;
                (Some(fused.part(0..f)), fused.part(f..2 * f))
            }
            None => (None, tensors.linear(&up, f, dim)?),
        };
        Ok(Self { gate, up, down: tensors.linear(&name("ffn_down"), dim, f)?, sparsity: None })
    }

    /// Its gates, and how many standard deviations above their mean they must be to pass, where not all do.
    pub fn sparse_gate(&self) -> Option<(&Linear, f32)> {
        self.gate.as_ref().zip(self.sparsity)
    }

    /// How wide it is.
    pub fn width(&self) -> usize {
        self.up.matrix.rows
    }

    /// Its projections.
    pub fn linears(&self) -> impl Iterator<Item = &Linear> {
        self.gate.iter().chain([&self.up, &self.down])
    }
}
