//! Baseline aarch64: every 64-bit Arm CPU has these instructions. The folders beside this one add a better dot product.

pub(crate) mod attention;
pub(crate) mod blocks256;
pub(crate) mod blocks32;
pub(crate) mod dense;
pub(crate) mod dot;
pub(crate) mod float;
pub(crate) mod grids256;
pub(crate) mod intrinsics;
pub(crate) mod load;
pub(crate) mod matmul;
pub(crate) mod one_token;
pub(crate) mod panel;
pub(crate) mod quantize;
pub(crate) mod tile;

pub(crate) use matmul::MATMUL;
