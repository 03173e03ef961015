//! CPU maths on quantized blocks: block formats, activations, and kernels chosen for the CPU at run time.
//!
//! [`Isa::detect`] gives the best instruction set; every kernel is a method on it. All sets give the same bits.

mod activations;
mod arch;
mod attention;
mod block;
mod choice;
mod float;
mod format;
mod grids;
mod isa;
pub mod math;
mod matmul;
mod scratch;

pub use activations::{ActivationKind, Activations};
pub use attention::{Attend, KvFormat, MAX_HEAD_DIM, PAGE_LEN, State};
pub use float::{Activation, DeltaToken, Pairing, SpaceToken};
pub use format::Format;
pub use isa::Isa;
pub use scratch::{MAX_SCRATCH_BYTES, Scratch};
