//! The reference: every kernel as plain as its formula. All other sets give the same bits.

use crate::activations::Activations;
use crate::format::Format;
use crate::matmul::{MatmulFn, MatmulOps};
use crate::scratch::Scratch;

pub(crate) mod attention;
pub(crate) mod dequantize;
pub(crate) mod float;
pub(crate) mod matmul;
pub(crate) mod quantize;

/// The scalar matmul table.
pub(crate) const MATMUL: MatmulOps =
    MatmulOps { quantize_q8_32: quantize::q8_32, quantize_q8_256: quantize::q8_256, matmul: MATMULS };

/// The scalar matmul of every format; sets that lack a format start from it.
pub(crate) const MATMULS: [MatmulFn; Format::COUNT] = [
    of::<{ Format::F32 as usize }>,
    of::<{ Format::F16 as usize }>,
    of::<{ Format::BF16 as usize }>,
    of::<{ Format::Q4_0 as usize }>,
    of::<{ Format::Q4_1 as usize }>,
    of::<{ Format::Q5_0 as usize }>,
    of::<{ Format::Q5_1 as usize }>,
    of::<{ Format::Q8_0 as usize }>,
    of::<{ Format::Q2_K as usize }>,
    of::<{ Format::Q3_K as usize }>,
    of::<{ Format::Q4_K as usize }>,
    of::<{ Format::Q5_K as usize }>,
    of::<{ Format::Q6_K as usize }>,
    of::<{ Format::IQ4_NL as usize }>,
    of::<{ Format::IQ4_XS as usize }>,
    of::<{ Format::MXFP4 as usize }>,
    of::<{ Format::IQ1_S as usize }>,
    of::<{ Format::IQ1_M as usize }>,
    of::<{ Format::IQ2_XXS as usize }>,
    of::<{ Format::IQ2_XS as usize }>,
    of::<{ Format::IQ2_S as usize }>,
    of::<{ Format::IQ3_XXS as usize }>,
    of::<{ Format::IQ3_S as usize }>,
];

/// The table's entry for one format.
fn of<const FORMAT: usize>(w: &[u8], x: &Activations<'_>, out: &mut [f32], _scratch: &mut Scratch) {
    matmul::matmul(Format::ALL[FORMAT], w, x, out);
}
