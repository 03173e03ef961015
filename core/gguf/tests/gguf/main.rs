//! The crate from outside: files of another writer, faults, damage, and what our writer makes of it.

mod damage;
mod faults;
mod outside;
mod write;

use sprat_gguf::{Contents, Error};

/// A key of each type, arrays of each type, three tensors; see `data/make.py`.
static PYTHON: &[u8] = include_bytes!("../data/python.gguf");
/// A tensor of each type; see `data/make.py`.
static KINDS: &[u8] = include_bytes!("../data/kinds.gguf");

fn parse(bytes: &[u8]) -> Result<Contents, Error> {
    Contents::parse(bytes, bytes.len() as u64)
}
