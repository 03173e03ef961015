//! The target of this name for `cargo fuzz run open`.
#![allow(unexpected_cfgs, reason = "cargo-fuzz sets it, and cargo does not know it")]
#![cfg_attr(fuzzing, no_main)]

sprat_fuzz::guided!("open");
