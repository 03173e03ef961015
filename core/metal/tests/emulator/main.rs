//! The shaders on Linux: compiled as C++ behind a stand-in for Apple's library, run in lockstep under AddressSanitizer and
//! UndefinedBehaviorSanitizer, and compared with plain arithmetic over dequantized weights. Needs clang.

mod broken;
mod compile;
mod emulator;
mod ends;
mod heads;
mod models;
mod products;
mod weights;
mod whole;

// Small model files and the plain forward pass over them. They belong to the integration tests, which build on the engine, and
// this crate may not.
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../../../../tests/src/experts.rs"]
mod experts;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../../../../tests/src/families.rs"]
mod families;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../../../../tests/src/recurrent.rs"]
mod recurrent;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../../../../tests/src/reference.rs"]
mod reference;
#[path = "../../../../tests/src/scratch.rs"]
mod scratch;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../../../../tests/src/small.rs"]
mod small;
#[path = "../../../../tests/src/streams.rs"]
mod streams;
