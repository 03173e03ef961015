//! aarch64 with the i8mm extension (Armv8.6 and later): one token as with dotprod, several with matrix products.

pub(crate) mod dot;
pub(crate) mod matmul;

pub(crate) use matmul::MATMUL;
