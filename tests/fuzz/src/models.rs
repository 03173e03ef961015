//! The small models that targets work with.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use sprat::Model;
use sprat_gguf::{Contents, TensorKind};
use sprat_tests::scratch;
use sprat_tests::small::Small;

/// A model of one layer in the smallest format.
pub fn small(family: &str) -> Small {
    let small = Small::new(family, TensorKind::Q4_0);
    Small { layers: if small.family.layers == 2 { 1 } else { small.layers }, ..small }
}

/// The path of the model that sessions speak with.
pub fn path() -> PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    let write = || {
        let path = scratch("small.gguf");
        fs::write(&path, small("llama").bytes()).expect("room for scratch files");
        path
    };
    PATH.get_or_init(write).clone()
}

/// The model that sessions speak with.
pub fn model() -> Arc<Model> {
    static MODEL: OnceLock<Arc<Model>> = OnceLock::new();
    MODEL.get_or_init(|| Arc::new(Model::open(path()).expect("a good file"))).clone()
}

/// The header of a small file, without the tensors' data.
pub fn header(family: &str) -> Vec<u8> {
    let mut bytes = small(family).bytes();
    let start = Contents::parse(&bytes, bytes.len() as u64).expect("a good file").data_offset;
    bytes.truncate(start as usize);
    bytes
}

/// Where folders of scratch files are made: in memory, where the system has such a place.
fn parent() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}

/// Where a target keeps the one file that it writes over and over.
pub fn scratch(name: &str) -> PathBuf {
    scratch::folder(&parent()).join(name)
}
