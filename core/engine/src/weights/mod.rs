//! A model's tensors: names resolved, types and shapes checked once, kept as byte ranges of the mapped file.

mod find;
mod layer;
mod tensor;

use sprat_gguf::Contents;

pub use layer::Layer;
pub use tensor::{Linear, Matrix, Vector};

use crate::config::{Config, Rope};
use crate::error::Error;
use find::Tensors;

/// All tensors of a model.
#[derive(Debug)]
pub struct Weights {
    /// Token embeddings, `[vocabulary, dim]`.
    pub embedding: Matrix,
    /// The layers.
    pub layers: Vec<Layer>,
    /// Last norm, `[dim]`.
    pub output_norm: Vector,
    /// The head, `[vocabulary, dim]`; the embedding again where the file ties them.
    pub output: Linear,
    /// One for each of [`Config::ropes`].
    pub ropes: Vec<Rope>,
}

impl Weights {
    /// Finds the tensors that `config` asks for.
    pub fn load(contents: &Contents, config: &Config, file: &[u8]) -> Result<Self, Error> {
        let tensors = Tensors { contents };
        let embedding = tensors.matrix("token_embd.weight", config.vocabulary, config.dim)?;
        let output = match tensors.optional_linear("output", config.vocabulary, config.dim)? {
            Some(output) => output,
            None => Linear { matrix: embedding.clone(), bias: None },
        };
        let layers = config.layers.iter().enumerate();
        let layers = layers.map(|(i, layer)| Layer::find(&tensors, i, layer, config)).collect::<Result<_, _>>()?;
        let ropes = config.ropes.iter().map(|rope| {
            let factors = tensors.optional_vector("rope_freqs.weight", rope.dims / 2)?;
            Ok(Rope::new(rope, factors.as_ref().map(|f| f.get(file))))
        });
        Ok(Self {
            embedding,
            layers,
            output_norm: tensors.vector("output_norm.weight", config.dim)?,
            output,
            ropes: ropes.collect::<Result<_, Error>>()?,
        })
    }

    /// Every matrix that a token passes through, the head included.
    pub fn matrices(&self) -> impl Iterator<Item = &Matrix> {
        let layers = self.layers.iter();
        layers
            .flat_map(|l| [&l.q, &l.k, &l.v, &l.attention_out, &l.gate, &l.up, &l.down])
            .chain([&self.output])
            .map(|l| &l.matrix)
    }

    /// Bytes of weights that one token reads.
    pub fn bytes_per_token(&self) -> usize {
        self.matrices().map(|m| m.rows * m.row_bytes).sum()
    }
}
