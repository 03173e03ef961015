//! A model's tensors: names resolved, types and shapes checked once, kept as byte ranges of the mapped file.

mod experts;
mod find;
mod layer;
mod norm;
mod per_layer;
mod recurrent;
mod streams;
mod tensor;

use sprat_gguf::Contents;

pub use experts::{Apart, Experts};
pub use layer::{Attention, FeedForward, Layer, Mixer};
pub use norm::{HeadNorm, Norm};
pub use per_layer::PerLayerInputs;
pub use recurrent::{Convolution, Scan};
pub use streams::{LowRank, StreamEnds, Streams};
pub use tensor::{Linear, Matrix, Vector};

use crate::config::{Config, Rope, RopeConfig};
use crate::error::Error;
use crate::file::MappedFile;
use find::Tensors;

/// All tensors of a model.
#[derive(Debug)]
pub struct Weights {
    /// Token embeddings, `[vocabulary, dim]`.
    pub embedding: Matrix,
    /// Embeddings of positions, `[context_length, dim]`, in families that do not rotate.
    pub position_embedding: Option<Matrix>,
    /// The layers.
    pub layers: Vec<Layer>,
    /// What makes the inputs that each layer has of its own.
    pub per_layer: Option<PerLayerInputs>,
    /// What makes further streams and brings them back.
    pub stream_ends: StreamEnds,
    /// Last norm, `[dim]`.
    pub output_norm: Norm,
    /// The head, `[vocabulary, dim]`; the embedding again where the file ties them.
    pub output: Linear,
    /// Names of the file's tensors that the family has no use for.
    pub unused: Vec<String>,
    /// Divisors of the rotary frequencies, `[pairs]`.
    rope_factors: Option<Vector>,
    /// The same for contexts not longer than the model's training, and for longer ones.
    short_and_long: Option<[Vector; 2]>,
}

impl Weights {
    /// Finds the tensors that `config` asks for.
    pub fn load(parts: &[Contents], config: &Config) -> Result<Self, Error> {
        let tensors = Tensors::new(parts);
        let embedding = tensors.matrix("token_embd.weight", config.vocabulary, config.dim)?;
        let output = match tensors.optional_linear("output", config.vocabulary, config.dim)? {
            Some(output) => output,
            None => Linear { matrix: embedding.clone(), bias: None },
        };
        let layers = config.layers.iter().enumerate();
        let layers = layers.map(|(i, layer)| Layer::find(&tensors, i, layer, config)).collect::<Result<_, _>>()?;
        (0..config.extra_layers).for_each(|i| tensors.pass_over_layer(config.layers.len() + i));
        let factors = |name: &str| tensors.optional_vector(name, config.ropes[0].dims / 2);
        let short_and_long = factors("rope_factors_short.weight")?.zip(factors("rope_factors_long.weight")?);
        Ok(Self {
            embedding,
            position_embedding: tensors.optional_matrix("position_embd.weight", config.context_length, config.dim)?,
            layers,
            per_layer: PerLayerInputs::find(&tensors, config)?,
            stream_ends: StreamEnds::find(&tensors, config)?,
            // LFM2 has it under another name.
            output_norm: match tensors.norm("output_norm", config.dim) {
                Err(Error::MissingTensor { .. }) if tensors.has("token_embd_norm") => {
                    tensors.norm("token_embd_norm", config.dim)?
                }
                norm => norm?,
            },
            output,
            rope_factors: factors("rope_freqs.weight")?,
            short_and_long: short_and_long.map(|(short, long)| [short, long]),
            unused: tensors.unused(),
        })
    }

    /// The rotary embeddings of [`Config::ropes`] in a context of `positions`.
    pub fn ropes(&self, config: &Config, positions: usize, file: &MappedFile) -> Vec<Rope> {
        let rope = |rope: &RopeConfig| {
            let by_length = self.short_and_long.as_ref().map(|pair| &pair[usize::from(is_long(rope, positions))]);
            let factors = self.rope_factors.as_ref().or(by_length).filter(|_| rope.factors);
            Rope::new(rope, factors.map(|f| f.get(file)))
        };
        config.ropes.iter().map(rope).collect()
    }

    /// Whether a context of `a` positions rotates as one of `b` does.
    pub fn rotate_alike(&self, config: &Config, a: usize, b: usize) -> bool {
        self.short_and_long.is_none() || config.ropes.iter().all(|rope| is_long(rope, a) == is_long(rope, b))
    }

    /// Whether cached keys can be turned to other positions.
    pub fn check_movable(&self, config: &Config) -> Result<(), Error> {
        let reason = if config.state_len > 0 {
            "layers carry states"
        } else if self.position_embedding.is_some() {
            "positions are learned"
        } else if config.spec.qk_norm_after_rope {
            "keys are normed after they are rotated"
        } else {
            return Ok(());
        };
        Err(Error::CannotMove { reason })
    }

    /// Every matrix that each token passes through, the head included.
    pub fn matrices(&self) -> impl Iterator<Item = &Matrix> {
        let inputs = self.per_layer.iter().map(|inputs| &inputs.projection.matrix);
        let ends = self.stream_ends.begin.iter().chain(&self.stream_ends.end).map(|linear| &linear.matrix);
        self.layers.iter().flat_map(Layer::matrices).chain(inputs).chain(ends).chain([&self.output.matrix])
    }

    /// Bytes of weights that one token reads.
    pub fn bytes_per_token(&self, config: &Config) -> usize {
        let bytes = |matrix: &Matrix| matrix.rows * matrix.row_bytes;
        let share = |layer: &Layer| match (&layer.experts, &config.experts) {
            (Some(experts), Some(config)) => experts.bytes_of_one(config) * config.used,
            _ => 0,
        };
        self.matrices().map(bytes).sum::<usize>() + self.layers.iter().map(share).sum::<usize>()
    }
}

/// Whether a context is longer than those of the training. It is padded before it is compared, as where these files come from
/// (llama.cpp).
fn is_long(rope: &RopeConfig, positions: usize) -> bool {
    positions.checked_next_multiple_of(256).is_none_or(|padded| padded > rope.original_context)
}
