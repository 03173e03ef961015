//! `sprat inspect`: what is in a model file, whether Sprat runs it, and what memory it would need.

use std::collections::BTreeMap;

use sprat::{Contents, MappedFile, Model};

use crate::args::Args;
use crate::failure::Failure;

/// Context lengths whose KV cache is shown.
const CONTEXTS: [usize; 3] = [1024, 4096, 8192];

/// Prints metadata, tensors and memory of `--model`.
pub fn inspect(args: &Args) -> Result<(), Failure> {
    let path = args.model_path()?;
    let file = MappedFile::open(path.into())?;
    let contents = Contents::parse(file.bytes(), file.bytes().len() as u64)?;
    println!("GGUF version {}, {} bytes, alignment {}", contents.version, file.bytes().len(), contents.alignment);
    println!("\nmetadata");
    for (key, value) in &contents.metadata {
        println!("  {key} = {value}");
    }
    println!("\ntensors");
    let mut formats = BTreeMap::<String, (usize, u64)>::new();
    for tensor in &contents.tensors {
        let (count, bytes) = formats.entry(tensor.kind.to_string()).or_default();
        *count += 1;
        *bytes += tensor.range.end - tensor.range.start;
        let shape = tensor.shape.iter().map(u64::to_string).collect::<Vec<_>>().join(" x ");
        println!("  {:40} {:8} {shape}", tensor.name, tensor.kind.to_string());
    }
    println!("\nformats");
    for (format, (count, bytes)) in formats {
        println!("  {format:8} {count:5} tensors {:10.1} MB", bytes as f64 / 1e6);
    }
    match Model::open(path) {
        Ok(model) => {
            println!("\nsupported: yes, family {}, chat template {}", model.info().family, model.info().template);
            println!("memory: {:.1} MB of file pages, and for the KV cache", file.bytes().len() as f64 / 1e6);
            for positions in CONTEXTS {
                let bytes = positions * model.kv_bytes_per_position();
                println!("  {positions:6} positions {:10.1} MB", bytes as f64 / 1e6);
            }
        }
        Err(error) => println!("\nsupported: no: {error}"),
    }
    Ok(())
}
