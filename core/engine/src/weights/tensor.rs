//! Tensors as byte ranges of the mapped file, or of one of its parts.

use std::ops::Range;

use sprat_kernels::Format;

use crate::file::{MappedFile, f32s};

/// A matrix in the file, each row a whole number of blocks.
#[derive(Clone, Debug)]
pub struct Matrix {
    /// Block format.
    pub format: Format,
    /// Outputs.
    pub rows: usize,
    pub(super) row_bytes: usize,
    pub(super) file_part: usize,
    pub(super) start: usize, // in that part of the file
}

impl Matrix {
    /// The bytes of some rows.
    pub fn rows<'a>(&self, file: &'a MappedFile, rows: Range<usize>) -> &'a [u8] {
        &file.part(self.file_part)[self.start + rows.start * self.row_bytes..self.start + rows.end * self.row_bytes]
    }

    /// Bytes of one row.
    pub fn row_bytes(&self) -> usize {
        self.row_bytes
    }

    /// Inputs.
    pub fn cols(&self) -> usize {
        self.row_bytes / self.format.block_bytes() * self.format.block_len()
    }

    /// Which part of the file it is in, and where there.
    pub fn place(&self) -> (usize, Range<usize>) {
        (self.file_part, self.start..self.start + self.rows * self.row_bytes)
    }

    /// Asks the system to read the whole of it soon.
    pub fn ask_for(&self, file: &MappedFile) {
        let (part, bytes) = self.place();
        file.ask_for(part, bytes);
    }

    /// Some rows as a matrix of their own, as in tensors that fuse several projections.
    pub(super) fn part(&self, rows: Range<usize>) -> Self {
        Self { rows: rows.len(), start: self.start + rows.start * self.row_bytes, ..self.clone() }
    }
}

/// A vector of f32 in the file.
#[derive(Clone, Debug)]
pub struct Vector {
    pub(super) file_part: usize,
    pub(super) range: Range<usize>, // in that part of the file
}

impl Vector {
    /// The values.
    pub fn get<'a>(&self, file: &'a MappedFile) -> &'a [f32] {
        f32s(&file.part(self.file_part)[self.range.clone()])
    }

    /// Which part of the file it is in, and where there.
    #[cfg(feature = "metal")]
    pub fn place(&self) -> (usize, Range<usize>) {
        (self.file_part, self.range.clone())
    }

    pub(super) fn part(&self, values: Range<usize>) -> Self {
        let start = self.range.start;
        Self { file_part: self.file_part, range: start + 4 * values.start..start + 4 * values.end }
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
    pub(super) fn part(&self, rows: Range<usize>) -> Self {
        Self { matrix: self.matrix.part(rows.clone()), bias: self.bias.as_ref().map(|b| b.part(rows)) }
    }
}
