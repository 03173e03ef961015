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
