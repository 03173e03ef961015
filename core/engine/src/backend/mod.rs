//! Where the stages of a forward pass are computed.

pub mod cpu;
