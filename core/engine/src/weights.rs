//! A model's tensors: names resolved, types and shapes checked once, kept as byte ranges of the mapped file.

use std::ops::Range;

use sprat_gguf::{Contents, Tensor};
use sprat_kernels::Format;

use crate::config::{Config, LayerConfig, Rope};
use crate::error::Error;
use crate::file::f32s;

/// A matrix in the file, each row a whole number of blocks.
#[derive(Clone, Debug)]
pub struct Matrix {
    /// Block format.
    pub format: Format,
    /// Outputs.
    pub rows: usize,
    row_bytes: usize,
    start: usize,
}

impl Matrix {
    /// The bytes of some rows.
    pub fn rows<'a>(&self, file: &'a [u8], rows: Range<usize>) -> &'a [u8] {
        &file[self.start + rows.start * self.row_bytes..self.start + rows.end * self.row_bytes]
    }

    /// Bytes of one row.
    pub fn row_bytes(&self) -> usize {
        self.row_bytes
    }

    /// Some rows as a matrix of their own, as in tensors that fuse several projections.
    fn part(&self, rows: Range<usize>) -> Self {
        Self { rows: rows.len(), start: self.start + rows.start * self.row_bytes, ..self.clone() }
    }
}

/// A vector of f32 in the file.
#[derive(Clone, Debug)]
pub struct Vector(Range<usize>);

impl Vector {
    /// The values.
    pub fn get<'a>(&self, file: &'a [u8]) -> &'a [f32] {
        f32s(&file[self.0.clone()])
    }

    fn part(&self, values: Range<usize>) -> Self {
        Self(self.0.start + 4 * values.start..self.0.start + 4 * values.end)
    }
}

/// A projection: rows and, in some families, a bias for each.
#[derive(Clone, Debug)]
pub struct Linear {
    /// The rows.
    pub matrix: Matrix,
    /// `[rows]`.
    pub bias: Option<Vector>,
}

impl Linear {
    fn part(&self, rows: Range<usize>) -> Self {
        Self { matrix: self.matrix.part(rows.clone()), bias: self.bias.as_ref().map(|b| b.part(rows)) }
    }
}

/// One layer's tensors.
#[derive(Debug)]
pub struct Layer {
    /// Norm before attention, `[dim]`.
    pub attention_norm: Vector,
    /// Queries, `[n_heads * head_dim, dim]`.
    pub q: Linear,
    /// Keys, `[n_kv_heads * head_dim, dim]`.
    pub k: Linear,
    /// Values, `[n_kv_heads * value_dim, dim]`.
    pub v: Linear,
    /// Norm of each query head, `[head_dim]`.
    pub q_norm: Option<Vector>,
    /// Norm of each key head, `[head_dim]`.
    pub k_norm: Option<Vector>,
    /// Output of attention, `[dim, n_heads * value_dim]`.
    pub attention_out: Linear,
    /// Norm before the feed-forward part, `[dim]`.
    pub feed_forward_norm: Vector,
    /// Gate, `[feed_forward, dim]`.
    pub gate: Linear,
    /// Up, `[feed_forward, dim]`.
    pub up: Linear,
    /// Down, `[dim, feed_forward]`.
    pub down: Linear,
}

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
        let layers = layers.map(|(i, layer)| tensors.layer(i, layer, config)).collect::<Result<_, _>>()?;
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

/// Lookup with the checks that every tensor gets.
struct Tensors<'a> {
    contents: &'a Contents,
}

impl Tensors<'_> {
    fn find(&self, name: &str) -> Result<&Tensor, Error> {
        self.contents.tensor(name).ok_or_else(|| Error::MissingTensor { name: name.to_owned() })
    }

    fn shape_is(tensor: &Tensor, expected: &[usize]) -> Result<(), Error> {
        let found: Vec<usize> = tensor.shape.iter().rev().map(|&n| usize::try_from(n).unwrap_or(usize::MAX)).collect();
        // Trailing dimensions of 1 are the writer's choice.
        let trim = |s: &[usize]| s.iter().copied().skip_while(|&n| n == 1).collect::<Vec<_>>();
        if trim(&found) == trim(expected) {
            return Ok(());
        }
        Err(Error::WrongShape { name: tensor.name.clone(), expected: expected.to_vec(), found })
    }

    fn matrix(&self, name: &str, rows: usize, cols: usize) -> Result<Matrix, Error> {
        let tensor = self.find(name)?;
        Self::shape_is(tensor, &[rows, cols])?;
        let unsupported = || Error::TensorType { name: name.to_owned(), kind: tensor.kind.to_string() };
        let format = format_of(tensor).ok_or_else(unsupported)?;
        if !cols.is_multiple_of(format.block_len()) {
            return Err(unsupported());
        }
        let row_bytes = format.row_bytes(cols);
        let start = usize::try_from(tensor.range.start).map_err(|_| unsupported())?;
        Ok(Matrix { format, rows, row_bytes, start })
    }

    fn vector(&self, name: &str, len: usize) -> Result<Vector, Error> {
        let tensor = self.find(name)?;
        Self::shape_is(tensor, &[len])?;
        let range = tensor.range.start as usize..tensor.range.end as usize;
        if tensor.kind.to_string() != "F32" || range.start % 4 != 0 {
            return Err(Error::TensorType { name: name.to_owned(), kind: tensor.kind.to_string() });
        }
        Ok(Vector(range))
    }

    fn optional_vector(&self, name: &str, len: usize) -> Result<Option<Vector>, Error> {
        self.contents.tensor(name).map(|_| self.vector(name, len)).transpose()
    }

    fn linear(&self, name: &str, rows: usize, cols: usize) -> Result<Linear, Error> {
        let matrix = self.matrix(&format!("{name}.weight"), rows, cols)?;
        Ok(Linear { matrix, bias: self.optional_vector(&format!("{name}.bias"), rows)? })
    }

    fn optional_linear(&self, name: &str, rows: usize, cols: usize) -> Result<Option<Linear>, Error> {
        self.contents.tensor(&format!("{name}.weight")).map(|_| self.linear(name, rows, cols)).transpose()
    }

    fn layer(&self, index: usize, layer: &LayerConfig, config: &Config) -> Result<Layer, Error> {
        let name = |part: &str| format!("blk.{index}.{part}");
        let dim = config.dim;
        let (q, k) = (layer.n_heads * layer.head_dim, layer.n_kv_heads * layer.head_dim);
        let v = layer.n_kv_heads * layer.value_dim;
        let [q, k, v] = match self.optional_linear(&name("attn_qkv"), q + k + v, dim)? {
            Some(fused) => [fused.part(0..q), fused.part(q..q + k), fused.part(q + k..q + k + v)],
            None => [
                self.linear(&name("attn_q"), q, dim)?,
                self.linear(&name("attn_k"), k, dim)?,
                self.linear(&name("attn_v"), v, dim)?,
            ],
        };
        let f = config.feed_forward;
        let (gate, up) = match self.optional_linear(&name("ffn_gate"), f, dim)? {
            Some(gate) => (gate, self.linear(&name("ffn_up"), f, dim)?),
            None => {
                let fused = self.linear(&name("ffn_up"), 2 * f, dim)?;
                (fused.part(0..f), fused.part(f..2 * f))
            }
        };
        Ok(Layer {
            attention_norm: self.vector(&name("attn_norm.weight"), dim)?,
            q,
            k,
            v,
            q_norm: self.optional_vector(&name("attn_q_norm.weight"), layer.head_dim)?,
            k_norm: self.optional_vector(&name("attn_k_norm.weight"), layer.head_dim)?,
            attention_out: self.linear(&name("attn_output"), dim, layer.n_heads * layer.value_dim)?,
            feed_forward_norm: self.vector(&name("ffn_norm.weight"), dim)?,
            gate,
            up,
            down: self.linear(&name("ffn_down"), dim, f)?,
        })
    }
}

/// The kernels' name for a tensor's type; none where there are no kernels for it.
fn format_of(tensor: &Tensor) -> Option<Format> {
    let name = tensor.kind.to_string();
    Format::ALL.into_iter().find(|format| format!("{format:?}") == name)
}
