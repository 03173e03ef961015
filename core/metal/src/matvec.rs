//! Rows times one token or a few (`matvec.metal`), and what matrix products share.

use crate::dispatch::{Binding, Buffer, Dispatch, Kernel};
use crate::formats::Format;
use crate::matmat;
use crate::model::{Activation, Matrix};

/// Rows that a threadgroup takes: 4 simdgroups with 4 each.
const ROWS: u32 = 16;
/// Threads of a threadgroup.
const THREADS: u32 = 128;

/// An RMS norm in front of a product.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Norm {
    /// Place of its weights in the file, f32 `[k]`.
    pub weights: u64,
    /// Added to the mean square.
    pub eps: f32,
}

/// What becomes of a product: `cap(scale * (product + bias))`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finish {
    /// Place of f32 `[rows]` in the file.
    pub bias: Option<u64>,
    /// Factor.
    pub scale: f32,
    /// Soft cap.
    pub cap: Option<f32>,
}

impl Finish {
    /// Nothing.
    pub const NONE: Self = Self { bias: None, scale: 1.0, cap: None };
}

/// Matrices times the tokens of a buffer: of one format, or two of one and the last of another, the two being among
/// [`Format::PAIRS`].
#[derive(Clone, Debug)]
pub struct Product<'a> {
    /// Up to three; their outputs stand one after the other.
    pub matrices: &'a [Matrix],
    /// Tokens.
    pub tokens: u32,
    /// Input, f32 `[t, k]`, and the byte it begins at.
    pub input: (Buffer, u64),
    /// Of the input.
    pub norm: Option<Norm>,
    /// Output, f32, and the byte it begins at.
    pub output: (Buffer, u64),
    /// Values from one token's output to the next.
    pub stride: u32,
    /// What becomes of the products.
    pub finish: Finish,
    /// Whether the output is the residual stream that the product is added to.
    pub adds: bool,
}

impl Product<'_> {
    /// The dispatch: for few tokens or many.
    ///
    /// # Panics
    /// If there are no or more than three matrices, or they differ in width or in other formats than those.
    pub fn dispatch(&self) -> Dispatch {
        let first = self.matrices[0];
        assert!(self.matrices.len() <= 3, "three matrices at most");
        assert!(self.matrices.iter().all(|m| m.cols == first.cols), "matrices of one width");
        let split = self.matrices.iter().position(|m| m.format != first.format);
        let pair = || split == Some(2) && Format::PAIRS.contains(&(first.format, self.matrices[2].format));
        assert!(split.is_none() || pair(), "matrices of one format, or of a pair");
        let weights = |i: usize| {
            self.matrices.get(i).map_or(Binding::Unused, |matrix| Binding::Memory(Buffer::Weights, matrix.offset))
        };
        let residual = if self.adds { Binding::Memory(self.output.0, self.output.1) } else { Binding::Unused };
        let mut bindings = vec![weights(0), weights(1), weights(2)];
        let bias = self.finish.bias.map_or(Binding::Unused, |at| Binding::Memory(Buffer::Weights, at));
        let constants = self.constants(Activation::default());
        bindings.extend([self.input(), self.norm(), residual, bias, self.output(), constants]);
        let rows: u32 = self.matrices.iter().map(|m| m.rows).sum();
        // A simdgroup's 4 rows are of one matrix.
        let tiles: u32 = self.matrices.iter().map(|m| m.rows.div_ceil(4)).sum();
        let mat_tiles: u32 = self.matrices.iter().map(|m| m.rows.div_ceil(matmat::ROWS)).sum();
        self.build(["matvec", "matvec4", "matmat"], bindings, [tiles.div_ceil(4), mat_tiles], rows)
    }

    /// `f(gate x) * (up x)`, gate and up being the two matrices. `finish` and `adds` are not used.
    ///
    /// # Panics
    /// If there are not two matrices of one format and shape.
    pub fn gate_up(&self, activation: Activation) -> Dispatch {
        let [gate, up] = self.matrices else { panic!("a gate and an up") };
        assert!((gate.format, gate.rows, gate.cols) == (up.format, up.rows, up.cols), "gate and up are of one kind");
        let weights = |m: &Matrix| Binding::Memory(Buffer::Weights, m.offset);
        let plain = Self { finish: Finish::NONE, adds: false, ..self.clone() };
        let constants = plain.constants(activation);
        let bindings = vec![weights(gate), weights(up), self.input(), self.norm(), self.output(), constants];
        let tiles = [gate.rows.div_ceil(ROWS / 2), gate.rows.div_ceil(matmat::ROWS / 2)];
        plain.build(["gate_up", "gate_up4", "gate_up_mat"], bindings, tiles, gate.rows)
    }

    /// The format of the last matrix, where it differs.
    fn last(&self) -> Option<Format> {
        let format = self.matrices.last().map(|matrix| matrix.format);
        format.filter(|format| *format != self.matrices[0].format)
    }

    fn input(&self) -> Binding {
        Binding::Memory(self.input.0, self.input.1)
    }

    fn output(&self) -> Binding {
        Binding::Memory(self.output.0, self.output.1)
    }

    fn norm(&self) -> Binding {
        self.norm.map_or(Binding::Unused, |norm| Binding::Memory(Buffer::Weights, norm.weights))
    }

    fn constants(&self, activation: Activation) -> Binding {
        let first = self.matrices[0];
        let rows = |i: usize| self.matrices.get(i).map_or(0, |m| m.rows);
        Binding::Constants(vec![
            first.cols,
            self.tokens,
            first.format.row_bytes(first.cols),
            self.last().map_or(0, |format| format.row_bytes(first.cols)),
            rows(0),
            rows(1),
            rows(2),
            self.stride,
            first.cols,
            u32::from(self.norm.is_some()),
            u32::from(self.adds),
            self.norm.map_or(0.0, |norm| norm.eps).to_bits(),
            u32::from(self.finish.bias.is_some()),
            self.finish.scale.to_bits(),
            self.finish.cap.unwrap_or(0.0).to_bits(),
            u32::from(activation == Activation::GeluTanh),
        ])
    }

    /// `stems` for one token, up to 4, many; `groups` of few and of many; `rows` of one token's output.
    fn build(&self, stems: [&'static str; 3], bindings: Vec<Binding>, groups: [u32; 2], rows: u32) -> Dispatch {
        let (stem, tokens, groups, threadgroup_bytes) = match self.tokens {
            1 => (stems[0], 1, groups[0], None),
            t if t < matmat::FEWEST_TOKENS => (stems[1], 4, groups[0], None),
            _ => (stems[2], matmat::TOKENS, groups[1], Some(matmat::THREADGROUP_BYTES)),
        };
        let first = self.matrices[0];
        let values_of = |m: &Matrix| u64::from(m.rows) * u64::from(m.cols);
        let walks = self.tokens.div_ceil(tokens);
        let weights: u64 = self.matrices.iter().map(Matrix::bytes).sum();
        let norm = if self.norm.is_some() { first.cols } else { 0 };
        let outputs = u64::from(rows) * if self.adds { 2 } else { 1 };
        let values = u64::from(self.tokens) * (u64::from(first.cols) + outputs) + u64::from(norm);
        Dispatch {
            kernel: Kernel { stem, format: Some(first.format), last: self.last() },
            bindings,
            grid: [groups, walks, 1],
            threads: THREADS,
            threadgroup_bytes,
            bytes: weights * u64::from(walks) + 4 * values,
            operations: 2 * u64::from(self.tokens) * self.matrices.iter().map(values_of).sum::<u64>(),
        }
    }
}
