//! CPU maths on quantized blocks: block formats, activations, and kernels chosen for the CPU at run time.
//!
//! [`Isa::detect`] gives the best instruction set; every kernel is a method on it. All sets give the same bits.

mod activations;
mod arch;
mod block;
mod format;
mod isa;
mod matmul;
mod scratch;

pub use activations::{ActivationKind, Activations};
pub use format::Format;
pub use isa::Isa;
pub use scratch::{MAX_SCRATCH_BYTES, Scratch};
