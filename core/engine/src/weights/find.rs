//! Finds tensors by name, with the checks that every one gets.

use sprat_gguf::{Contents, Tensor};
use sprat_kernels::Format;

use super::tensor::{Linear, Matrix, Vector};
use crate::error::Error;

/// Lookup with the checks that every tensor gets.
pub struct Tensors<'a> {
    pub contents: &'a Contents,
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

    pub fn matrix(&self, name: &str, rows: usize, cols: usize) -> Result<Matrix, Error> {
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

    pub fn vector(&self, name: &str, len: usize) -> Result<Vector, Error> {
        let tensor = self.find(name)?;
        Self::shape_is(tensor, &[len])?;
        let range = tensor.range.start as usize..tensor.range.end as usize;
        if tensor.kind.to_string() != "F32" || range.start % 4 != 0 {
            return Err(Error::TensorType { name: name.to_owned(), kind: tensor.kind.to_string() });
        }
        Ok(Vector(range))
    }

    pub fn optional_vector(&self, name: &str, len: usize) -> Result<Option<Vector>, Error> {
        self.contents.tensor(name).map(|_| self.vector(name, len)).transpose()
    }

    pub fn linear(&self, name: &str, rows: usize, cols: usize) -> Result<Linear, Error> {
        let matrix = self.matrix(&format!("{name}.weight"), rows, cols)?;
        Ok(Linear { matrix, bias: self.optional_vector(&format!("{name}.bias"), rows)? })
    }

    pub fn optional_linear(&self, name: &str, rows: usize, cols: usize) -> Result<Option<Linear>, Error> {
        self.contents.tensor(&format!("{name}.weight")).map(|_| self.linear(name, rows, cols)).transpose()
    }
}

/// The kernels' name for a tensor's type; none where there are no kernels for it.
fn format_of(tensor: &Tensor) -> Option<Format> {
    let name = tensor.kind.to_string();
    Format::ALL.into_iter().find(|format| format!("{format:?}") == name)
}
