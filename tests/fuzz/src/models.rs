//! The small models that targets work with.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use sprat::Model;
use sprat_gguf::{Contents, TensorKind};
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

/// Where folders of scratch files are: in memory, where the system has such a place.
fn parent() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}

const PREFIX: &str = "sprat-fuzz-";

/// The folder of scratch files.
fn folder() -> PathBuf {
    parent().join(format!("{PREFIX}{}", std::process::id()))
}

/// Removes what processes have written that libFuzzer ended, where the system lists processes.
pub fn clean_up_after_others() {
    let processes = Path::new("/proc");
    if !processes.join("self").exists() {
        return;
    }
    for entry in fs::read_dir(parent()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        if process.is_some_and(|process| !processes.join(process).exists()) {
            // Another may be removing it too.
            let _gone = fs::remove_dir_all(entry.path());
        }
    }
}

/// Where a target keeps the one file that it writes over and over.
pub fn scratch(name: &str) -> PathBuf {
    let folder = folder();
    fs::create_dir_all(&folder).expect("a folder for scratch files");
    folder.join(name)
}

/// Removes what the targets of this process have written.
pub fn clean_up() {
    // Where nothing was written, there is nothing to remove.
    let _absent = fs::remove_dir_all(folder());
}
