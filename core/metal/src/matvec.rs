//! Rows times one token or a few (`matvec.metal`), and what matrix products share.

use crate::dispatch::{Binding, Buffer, Dispatch, Kernel};
use crate::matmat;
use crate::model::Matrix;

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

/// Matrices of one format times the tokens of a buffer.
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
    /// Whether the output is the residual stream that the product is added to.
    pub adds: bool,
}

impl Product<'_> {
    /// The dispatch: for few tokens or many.
    ///
    /// # Panics
    /// If there are no or more than three matrices, or they differ in format or width.
    pub fn dispatch(&self) -> Dispatch {
        let first = self.matrices[0];
        assert!(self.matrices.len() <= 3, "three matrices at most");
        assert!(self.matrices.iter().all(|m| (m.format, m.cols) == (first.format, first.cols)), "matrices of one kind");
        let weights = |i: usize| {
            self.matrices.get(i).map_or(Binding::Unused, |matrix| Binding::Memory(Buffer::Weights, matrix.offset))
        };
        let residual = if self.adds { Binding::Memory(self.output.0, self.output.1) } else { Binding::Unused };
        let mut bindings = vec![weights(0), weights(1), weights(2)];
        bindings.extend([self.input(), self.norm(), residual, self.output(), self.constants(self.adds)]);
        let rows: u32 = self.matrices.iter().map(|m| m.rows).sum();
        // A simdgroup's 4 rows are of one matrix.
        let tiles: u32 = self.matrices.iter().map(|m| m.rows.div_ceil(4)).sum();
        let mat_tiles: u32 = self.matrices.iter().map(|m| m.rows.div_ceil(matmat::ROWS)).sum();
        self.build(["matvec", "matvec4", "matmat"], bindings, [tiles.div_ceil(4), mat_tiles], rows)
    }

    /// `silu(gate x) * (up x)`, gate and up being the two matrices.
    ///
    /// # Panics
    /// If there are not two matrices of one format and shape.
    pub fn gate_up(&self) -> Dispatch {
        let [gate, up] = self.matrices else { panic!("a gate and an up") };
        assert!((gate.format, gate.rows, gate.cols) == (up.format, up.rows, up.cols), "gate and up are of one kind");
        let weights = |m: &Matrix| Binding::Memory(Buffer::Weights, m.offset);
        let bindings =
            vec![weights(gate), weights(up), self.input(), self.norm(), self.output(), self.constants(false)];
        let tiles = [gate.rows.div_ceil(ROWS / 2), gate.rows.div_ceil(matmat::ROWS / 2)];
        self.build(["gate_up", "gate_up4", "gate_up_mat"], bindings, tiles, gate.rows)
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

    fn constants(&self, adds: bool) -> Binding {
        let first = self.matrices[0];
        let rows = |i: usize| self.matrices.get(i).map_or(0, |m| m.rows);
        Binding::Constants(vec![
            first.cols,
            self.tokens,
            first.format.row_bytes(first.cols),
            rows(0),
            rows(1),
            rows(2),
            self.stride,
            first.cols,
            u32::from(self.norm.is_some()),
            u32::from(adds),
            self.norm.map_or(0.0, |norm| norm.eps).to_bits(),
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
        let walks = self.tokens.div_ceil(tokens);
        let weights: u64 = self.matrices.iter().map(Matrix::bytes).sum();
        let norm = if self.norm.is_some() { first.cols } else { 0 };
        let outputs = u64::from(rows) * if self.adds { 2 } else { 1 };
        let values = u64::from(self.tokens) * (u64::from(first.cols) + outputs) + u64::from(norm);
        Dispatch {
            kernel: Kernel { stem, format: Some(first.format) },
            bindings,
            grid: [groups, walks, 1],
            threads: THREADS,
            threadgroup_bytes,
            bytes: weights * u64::from(walks) + 4 * values,
        }
    }
}
