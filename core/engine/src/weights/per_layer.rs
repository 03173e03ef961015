//! Inputs that each layer has of its own for each token (Gemma 3n and 4).

use super::find::Tensors;
use super::norm::Norm;
use super::tensor::{Linear, Matrix};
use crate::config::Config;
use crate::error::Error;

/// What makes the inputs of all layers.
#[derive(Debug)]
pub struct PerLayerInputs {
    /// Each token's own, `[vocabulary, layers * per_layer_input]`.
    pub embedding: Matrix,
    /// Of the embedding that begins the stream, `[layers * per_layer_input, dim]`.
    pub projection: Linear,
    /// Norm of the projection's part for each layer, `[per_layer_input]`.
    pub norm: Norm,
}

/// What one layer does with its input.
#[derive(Debug)]
pub struct PerLayer {
    /// Gates the input, `[per_layer_input, dim]`.
    pub gate: Linear,
    /// Brings it into the stream, `[dim, per_layer_input]`.
    pub out: Linear,
    /// Norms what comes into the stream, `[dim]`.
    pub norm: Norm,
}

impl PerLayerInputs {
    /// Finds the tensors, where `config` says that there are any.
    pub fn find(tensors: &Tensors<'_>, config: &Config) -> Result<Option<Self>, Error> {
        let size = config.per_layer_input;
        if size == 0 {
            return Ok(None);
        }
        let all = config.layers.len() * size;
        let name = "per_layer_token_embd.weight";
        let embedding = tensors.matrix(name, config.vocabulary, all)?;
        if !size.is_multiple_of(embedding.format.block_len()) {
            // One layer's part of a row must be whole blocks.
            return Err(Error::TensorType { name: name.to_owned(), kind: format!("{:?}", embedding.format) });
        }
        let projection = tensors.linear("per_layer_model_proj", all, config.dim)?;
        Ok(Some(Self { embedding, projection, norm: tensors.norm("per_layer_proj_norm", size)? }))
    }
}

impl PerLayer {
    /// Finds the tensors of a layer, whose names `name` makes, where `config` says that there are any.
    pub fn find(tensors: &Tensors<'_>, name: &dyn Fn(&str) -> String, config: &Config) -> Result<Option<Self>, Error> {
        let (size, dim) = (config.per_layer_input, config.dim);
        if size == 0 {
            return Ok(None);
        }
        Ok(Some(Self {
            gate: tensors.linear(&name("inp_gate"), size, dim)?,
            out: tensors.linear(&name("proj"), dim, size)?,
            norm: tensors.norm(&name("post_norm"), dim)?,
        }))
    }
}
