//! aarch64 with the dotprod extension (Armv8.2 and later, most phones since 2018).

pub(crate) mod dot;
pub(crate) mod matmul;

pub(crate) use matmul::MATMUL;
