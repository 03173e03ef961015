//! Residual streams side by side (AltUp: arXiv 2301.13310), and a path of low rank beside attention (LAuReL: arXiv
//! 2411.07501): what Gemma 3n has.

use sprat_kernels::ActivationKind;

use super::find::Tensors;
use super::norm::Norm;
use super::tensor::{Linear, Vector};
use crate::config::Config;
use crate::error::Error;

/// What makes the streams beside the first and brings them back into it. There are none where a model has one stream.
#[derive(Debug, Default)]
pub struct StreamEnds {
    /// Of the embedding, one for each further stream, `[dim, dim]`.
    pub begin: Vec<Linear>,
    /// Of each further stream behind the last layer, `[dim, dim]`.
    pub end: Vec<Linear>,
}

/// How a layer that works on the first stream carries the others along.
#[derive(Debug)]
pub struct Streams {
    /// Norm of what the router reads, `[dim]`.
    pub router_norm: Norm,
    /// Scores how far the layer changes each stream, `[streams, dim]`.
    pub router: Linear,
    /// How much of each stream comes to each by the scores, before the layer's work, `[streams * streams, streams]`.
    pub predict: Vector,
    /// How much of what the work changed comes to each, beside all of it, `[streams, streams]`.
    pub correct: Vector,
    /// Factors on the first stream where it gates the layer's own input, `[dim]`.
    pub correct_scale: Vector,
}

/// A path of low rank beside attention.
#[derive(Debug)]
pub struct LowRank {
    /// Into few values, `[rank, dim]`.
    pub left: Linear,
    /// Out of them, `[dim, rank]`.
    pub right: Linear,
    /// Norms what comes out, `[dim]`.
    pub norm: Norm,
}

impl StreamEnds {
    /// Finds the tensors, where `config` says that there are several streams.
    pub fn find(tensors: &Tensors<'_>, config: &Config) -> Result<Self, Error> {
        let (others, dim) = (config.streams - 1, config.dim);
        if others == 0 {
            return Ok(Self::default());
        }
        let each = |name: &str| {
            let all = tensors.linears(name, others, dim, dim)?;
            Ok::<_, Error>((0..others).map(|i| all.part(i * dim..(i + 1) * dim)).collect())
        };
        Ok(Self { begin: each("altup_proj")?, end: each("altup_unembd_proj")? })
    }
}

impl Streams {
    /// Finds the tensors of a layer, whose names `name` makes, where `config` says that there are several streams.
    pub fn find(tensors: &Tensors<'_>, name: &dyn Fn(&str) -> String, config: &Config) -> Result<Option<Self>, Error> {
        let (streams, dim) = (config.streams, config.dim);
        if streams == 1 {
            return Ok(None);
        }
        let router = tensors.linear(&name("altup_router"), streams, dim)?;
        if router.matrix.format.activation() != ActivationKind::F32 {
            // Its input is one vector of floats that no stage quantizes.
            return Err(Error::TensorType { name: name("altup_router"), kind: format!("{:?}", router.matrix.format) });
        }
        Ok(Some(Self {
            router,
            router_norm: tensors.norm(&name("altup_router_norm"), dim)?,
            predict: tensors.values(&name("altup_predict_coef.weight"), &[streams * streams, streams])?,
            correct: tensors.values(&name("altup_correct_coef.weight"), &[streams, streams])?,
            correct_scale: tensors.vector(&name("altup_correct_scale.weight"), dim)?,
        }))
    }
}

impl LowRank {
    /// Finds the tensors of a layer, whose names `name` makes, where `config` says that there are several streams.
    pub fn find(tensors: &Tensors<'_>, name: &dyn Fn(&str) -> String, config: &Config) -> Result<Option<Self>, Error> {
        if config.streams == 1 {
            return Ok(None);
        }
        let (left, dim) = (name("laurel_l"), config.dim);
        let rank = tensors.rows(&left).ok_or_else(|| Error::MissingTensor { name: format!("{left}.weight") })?;
        if !(1..=dim).contains(&rank) {
            return Err(Error::WrongShape { name: left, expected: vec![dim, dim], found: vec![rank, dim] });
        }
        Ok(Some(Self {
            left: tensors.linear(&left, rank, dim)?,
            right: tensors.linear(&name("laurel_r"), dim, rank)?,
            norm: tensors.norm(&name("laurel_post_norm"), dim)?,
        }))
    }
}
