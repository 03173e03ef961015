//! The engine's way through a GPU: on a Mac the system's, elsewhere the emulator that runs the shaders as C++. Needs clang
//! there.

#[cfg(not(target_vendor = "apple"))]
#[path = "../../../core/metal/tests/emulator/compile.rs"]
mod compile;
#[cfg(not(target_vendor = "apple"))]
#[allow(dead_code, reason = "the shaders' own tests use the rest")]
#[path = "../../../core/metal/tests/emulator/emulator.rs"]
mod emulator;

mod ahead;
#[cfg(not(target_vendor = "apple"))]
mod emulated;
mod families;
mod faults;
mod logits;
mod memory;
mod moves;
mod players;
mod sessions;
