//! Finds tensors by name, with the checks that every one gets.

use std::cell::RefCell;
use std::collections::BTreeSet;

use sprat_gguf::{Contents, Tensor};
use sprat_kernels::Format;

use super::norm::{HeadNorm, Norm};
use super::tensor::{Linear, Matrix, Vector};
use crate::error::Error;

/// Lookup with the checks that every tensor gets.
pub struct Tensors<'a> {
    parts: &'a [Contents],
    used: RefCell<BTreeSet<&'a str>>,
}

impl<'a> Tensors<'a> {
    /// Over the parts of a file.
    pub fn new(parts: &'a [Contents]) -> Self {
        Self { parts, used: RefCell::default() }
    }

    /// Names of the tensors that nobody has asked for.
    pub fn unused(&self) -> Vec<String> {
        let used = self.used.borrow();
        let all = self.parts.iter().flat_map(|part| &part.tensors).map(|tensor| tensor.name.as_str());
        all.filter(|name| !used.contains(name)).map(str::to_owned).collect()
    }

    /// A tensor, if the file has it.
    fn tensor(&self, name: &str) -> Option<&'a Tensor> {
        self.parts.iter().find_map(|part| part.tensor(name))
    }

    /// A tensor, and the part of the file that it is in.
    fn find(&self, name: &str) -> Result<(usize, &'a Tensor), Error> {
        let mut parts = self.parts.iter().enumerate();
        let found = parts.find_map(|(index, part)| Some((index, part.tensor(name)?)));
        let (part, tensor) = found.ok_or_else(|| Error::MissingTensor { name: name.to_owned() })?;
        self.used.borrow_mut().insert(&tensor.name);
        Ok((part, tensor))
    }

    /// Takes note of all tensors of a layer that nobody needs.
    pub fn pass_over_layer(&self, index: usize) {
        let prefix = format!("blk.{index}.");
        let all = self.parts.iter().flat_map(|part| &part.tensors).map(|tensor| tensor.name.as_str());
        self.used.borrow_mut().extend(all.filter(|name| name.starts_with(&prefix)));
    }

    /// Takes note of a tensor that some files have and nobody needs.
    pub fn pass_over(&self, name: &str) {
        self.used.borrow_mut().extend(self.tensor(name).map(|tensor| tensor.name.as_str()));
    }

    /// Whether the file has the weights of `name`.
    pub fn has(&self, name: &str) -> bool {
        self.tensor(&format!("{name}.weight")).is_some()
    }

    /// Rows of the matrix `name`, if the file has it.
    pub fn rows(&self, name: &str) -> Option<usize> {
        let tensor = self.tensor(&format!("{name}.weight"))?;
        usize::try_from(*tensor.shape.get(1)?).ok()
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

    pub fn matrix(&self, name: &str, rows: usize, cols: usize) -> Result<Matrix, Error> {
        self.matrix_of(name, &[rows, cols])
    }

    /// A matrix, or several of the same shape behind each other as one.
    fn matrix_of(&self, name: &str, shape: &[usize]) -> Result<Matrix, Error> {
        let (file_part, tensor) = self.find(name)?;
        Self::shape_is(tensor, shape)?;
        let (cols, rows) = (shape[shape.len() - 1], shape[..shape.len() - 1].iter().product());
        let unsupported = || Error::TensorType { name: name.to_owned(), kind: tensor.kind.to_string() };
        let format = format_of(tensor).ok_or_else(unsupported)?;
        if !cols.is_multiple_of(format.block_len()) {
            return Err(unsupported());
        }
        let row_bytes = format.row_bytes(cols);
        let start = usize::try_from(tensor.range.start).map_err(|_| unsupported())?;
        Ok(Matrix { format, rows, row_bytes, file_part, start })
    }

    pub fn vector(&self, name: &str, len: usize) -> Result<Vector, Error> {
        self.values(name, &[len])
    }

    /// All values of a float tensor.
    pub fn values(&self, name: &str, shape: &[usize]) -> Result<Vector, Error> {
        let (file_part, tensor) = self.find(name)?;
        Self::shape_is(tensor, shape)?;
        let range = tensor.range.start as usize..tensor.range.end as usize;
        if tensor.kind.to_string() != "F32" || range.start % 4 != 0 {
            return Err(Error::TensorType { name: name.to_owned(), kind: tensor.kind.to_string() });
        }
        Ok(Vector { file_part, range })
    }

    pub fn optional_vector(&self, name: &str, len: usize) -> Result<Option<Vector>, Error> {
        self.tensor(name).map(|_| self.vector(name, len)).transpose()
    }

    pub fn linear(&self, name: &str, rows: usize, cols: usize) -> Result<Linear, Error> {
        let matrix = self.matrix(&format!("{name}.weight"), rows, cols)?;
        Ok(Linear { matrix, bias: self.optional_vector(&format!("{name}.bias"), rows)? })
    }

    /// `count` projections of the same shape, the rows of one behind those of the other.
    pub fn linears(&self, name: &str, count: usize, rows: usize, cols: usize) -> Result<Linear, Error> {
        let matrix = self.matrix_of(&format!("{name}.weight"), &[count, rows, cols])?;
        let bias = format!("{name}.bias");
        let bias = self.tensor(&bias).map(|_| self.values(&bias, &[count, rows]));
        Ok(Linear { matrix, bias: bias.transpose()? })
    }

    pub fn optional_matrix(&self, name: &str, rows: usize, cols: usize) -> Result<Option<Matrix>, Error> {
        self.tensor(name).map(|_| self.matrix(name, rows, cols)).transpose()
    }

    pub fn optional_linear(&self, name: &str, rows: usize, cols: usize) -> Result<Option<Linear>, Error> {
        self.tensor(&format!("{name}.weight")).map(|_| self.linear(name, rows, cols)).transpose()
    }

    pub fn norm(&self, name: &str, len: usize) -> Result<Norm, Error> {
        let weight = self.vector(&format!("{name}.weight"), len)?;
        Ok(Norm { weight, bias: self.optional_vector(&format!("{name}.bias"), len)? })
    }

    /// A norm of queries or keys, of the kind that its shape shows.
    pub fn optional_head_norm(&self, name: &str, heads: usize, head_dim: usize) -> Result<Option<HeadNorm>, Error> {
        let weight = format!("{name}.weight");
        let Some(tensor) = self.tensor(&weight) else { return Ok(None) };
        let wide = |n: usize| tensor.shape.first() == Some(&(n as u64));
        Ok(Some(if wide(heads * head_dim) && heads > 1 {
            HeadNorm::Whole(self.norm(name, heads * head_dim)?)
        } else if tensor.shape.len() == 1 || heads == 1 {
            HeadNorm::Shared(self.norm(name, head_dim)?)
        } else {
            let all = self.values(&weight, &[heads, head_dim])?;
            let part = |head| all.part(head * head_dim..(head + 1) * head_dim);
            HeadNorm::Each((0..heads).map(|head| Norm { weight: part(head), bias: None }).collect())
        }))
    }
}

/// The kernels' name for a tensor's type; none where there are no kernels for it.
fn format_of(tensor: &Tensor) -> Option<Format> {
    let name = tensor.kind.to_string();
    Format::ALL.into_iter().find(|format| format!("{format:?}") == name)
}
