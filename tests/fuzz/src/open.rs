//! A header before three megabytes of data, opened as a model: refused, or it runs.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use sprat::{Context, ContextOptions, Error, Model, OpenOptions, Probe, SpecialTokens};
use sprat_tests::small::Random;

use crate::allocations::bounded;
use crate::models;

/// The largest of these small files has somewhat less.
const FILE_BYTES: usize = 3 << 20;

/// Longer headers are cut off.
const MAX_HEADER_BYTES: usize = 64 << 10;

/// Of most kinds of arithmetic that there are.
const FAMILIES: &[&str] =
    &["llama", "gemma2", "gemma3", "gemma4", "phi2", "phi3", "olmo2", "gpt-oss", "qwen35", "granitehybrid", "gpt2"];

pub fn seeds() -> Vec<Vec<u8>> {
    FAMILIES.iter().map(|family| models::header(family)).collect()
}

/// A file of random bytes, before which headers are written.
fn file() -> &'static File {
    static FILE: OnceLock<File> = OnceLock::new();
    FILE.get_or_init(|| {
        let path = models::scratch("model.gguf");
        let mut random = Random(7);
        let bytes: Vec<u8> = (0..FILE_BYTES / 8).flat_map(|_| random.bits().to_le_bytes()).collect();
        std::fs::write(&path, bytes).expect("room for scratch files");
        File::options().read(true).write(true).open(path).expect("just written")
    })
}

/// The model that the header makes of the data, if it is one.
fn open(data: &[u8]) -> Result<Model, Error> {
    let header = &data[..data.len().min(MAX_HEADER_BYTES)];
    file().write_all_at(header, 0).expect("room for scratch files");
    let path = models::scratch("model.gguf");
    let options = OpenOptions { max_anonymous_bytes: Some(63 << 20), ..OpenOptions::default() };
    bounded(4 * FILE_BYTES + (1 << 20), || {
        let _either = Probe::of_header(header, FILE_BYTES as u64).is_ok();
        Model::open_with(path, &options)
    })
}

pub fn run(data: &[u8]) {
    let Ok(model) = open(data) else { return };
    let model = Arc::new(model);
    let tokenizer = model.tokenizer();
    let mut bytes = Vec::new();
    if let Ok(ids) = tokenizer.encode("Hello, <|bos|> w\u{f6}rld 123\n\n", SpecialTokens::Parse, true) {
        tokenizer.decode(&ids, &mut bytes).expect("its own tokens have a text");
    }
    let ids = 0..tokenizer.vocab_size().min(400) as u32;
    ids.for_each(|id| tokenizer.token_bytes(id, &mut bytes).expect("inside the vocabulary"));
    let options = ContextOptions { threads: Some(1), max_positions: Some(8), ..ContextOptions::default() };
    let Ok(mut context) = Context::new(model, &options) else { return };
    // Random weights may give anything but a panic.
    let _either = context.feed(&[1, 2, 3], &AtomicBool::new(false)).is_ok();
}
