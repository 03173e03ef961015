//! The table of contents of any bytes: an error, or one that lies inside them.

use sprat_gguf::{Contents, Value};

use crate::allocations::bounded;
use crate::models;

pub fn seeds() -> Vec<Vec<u8>> {
    let file = |name| std::fs::read(format!("{}/../../core/gguf/tests/data/{name}.gguf", env!("CARGO_MANIFEST_DIR")));
    let files = ["kinds", "python"].map(|name| file(name).expect("in the repository"));
    files.into_iter().chain([models::header("llama")]).collect()
}

pub fn run(data: &[u8]) {
    bounded(4 * data.len() + (1 << 20), || check(data));
}

fn check(data: &[u8]) {
    let Ok(contents) = Contents::parse(data, data.len() as u64) else { return };
    for (key, value) in &contents.metadata {
        let Value::Array(array) = value else { continue };
        assert!(array.range.end <= data.len(), "array {key} lies outside the file");
        let elements = array.strings(data).count() + array.bools(data).count() + array.f64s(data).count();
        assert!(elements == 0 || elements == array.len, "array {key} has another length");
    }
    for tensor in &contents.tensors {
        assert!(contents.data_offset <= tensor.range.start && tensor.range.end <= data.len() as u64);
        assert!(tensor.range.start.is_multiple_of(contents.alignment) && !tensor.range.is_empty());
        assert_eq!(contents.tensor(&tensor.name), Some(tensor));
    }
}
