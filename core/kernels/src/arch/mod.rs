//! One folder per instruction set, the same file names in each; `isa.rs` chooses among them at run time.

pub(crate) mod scalar;
