//! `sprat inspect`: what is in a model file, whether Sprat runs it, and what memory it would need.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use sprat::{Contents, Error, MappedFile, Model};

use crate::args::Args;
use crate::failure::{Failure, print};

/// Context lengths whose KV cache is shown.
const CONTEXTS: [usize; 3] = [1024, 4096, 8192];

/// Prints metadata, tensors and memory of `--model`.
pub fn inspect(args: &Args) -> Result<(), Failure> {
    let path = args.model_path()?;
    let file = MappedFile::open(path.into())?;
    let contents = Contents::parse(file.bytes(), file.bytes().len() as u64)?;
    let mut out = String::new();
    describe(&mut out, &contents, file.bytes().len(), &Model::open(path)).expect("a string takes all");
    print(&out)
}

fn describe(out: &mut String, contents: &Contents, bytes: usize, model: &Result<Model, Error>) -> fmt::Result {
    writeln!(out, "GGUF version {}, {} bytes, alignment {}", contents.version, bytes, contents.alignment)?;
    writeln!(out, "\nmetadata")?;
    for (key, value) in &contents.metadata {
        writeln!(out, "  {key} = {value}")?;
    }
    writeln!(out, "\ntensors")?;
    let mut formats = BTreeMap::<String, (usize, u64)>::new();
    for tensor in &contents.tensors {
        let (count, bytes) = formats.entry(tensor.kind.to_string()).or_default();
        *count += 1;
        *bytes += tensor.range.end - tensor.range.start;
        let shape = tensor.shape.iter().map(u64::to_string).collect::<Vec<_>>().join(" x ");
        writeln!(out, "  {:40} {:8} {shape}", tensor.name, tensor.kind.to_string())?;
    }
    writeln!(out, "\nformats")?;
    for (format, (count, bytes)) in formats {
        writeln!(out, "  {format:8} {count:5} tensors {:10.1} MB", bytes as f64 / 1e6)?;
    }
    match model {
        Ok(model) => {
            writeln!(out, "\nsupported: yes, family {}, chat template {}", model.info().family, model.info().template)?;
            writeln!(out, "memory: {:.1} MB of file pages, and for the KV cache", bytes as f64 / 1e6)?;
            for positions in CONTEXTS {
                let bytes = positions * model.kv_bytes_per_position();
                writeln!(out, "  {positions:6} positions {:10.1} MB", bytes as f64 / 1e6)?;
            }
        }
        Err(error) => writeln!(out, "\nsupported: no: {error}")?,
    }
    Ok(())
}
