//! `sprat inspect`: what is in a model file, whether Sprat runs it, and what memory it would need.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use sprat::{Contents, Error, KvFormat, MappedFile, Model};

use crate::args::Args;
use crate::failure::{Failure, print};

/// Context lengths whose KV cache is shown.
const CONTEXTS: [usize; 3] = [1024, 4096, 8192];

/// Prints metadata, tensors and memory of `--model`.
pub fn inspect(args: &Args) -> Result<(), Failure> {
    let path = args.model_path()?;
    let file = MappedFile::open(path.into())?;
    let parse = |bytes: &[u8]| Contents::parse(bytes, bytes.len() as u64);
    let parts = file.parts().map(parse).collect::<Result<Vec<_>, _>>().map_err(Error::from)?;
    let model = Model::open_with(path, &args.open_options()?);
    let probe = Model::probe(path).and_then(|probe| Ok((probe.bytes_per_token, probe.predicted_tokens_per_s()?)));
    let mut out = String::new();
    describe(&mut out, &parts, file.len_bytes(), &model).expect("a string takes all");
    if let Ok((bytes, tokens_per_s)) = probe {
        let (mb, gb_per_s) = (bytes as f64 / 1e6, bytes as f64 * tokens_per_s / 1e9);
        writeln!(
            out,
            "speed: at most {tokens_per_s:.0} tokens/s here: a token reads {mb:.1} MB, memory gives {gb_per_s:.1} GB/s"
        )
        .expect("a string takes all");
    }
    print(&out)
}

fn describe(out: &mut String, parts: &[Contents], bytes: usize, model: &Result<Model, Error>) -> fmt::Result {
    let Contents { version, alignment, metadata, .. } = &parts[0];
    let number = if parts.len() > 1 { format!(" in {} parts", parts.len()) } else { String::new() };
    writeln!(out, "GGUF version {version}, {bytes} bytes{number}, alignment {alignment}")?;
    writeln!(out, "\nmetadata")?;
    for (key, value) in metadata {
        writeln!(out, "  {key} = {value}")?;
    }
    writeln!(out, "\ntensors")?;
    let mut formats = BTreeMap::<String, (usize, u64)>::new();
    for tensor in parts.iter().flat_map(|part| &part.tensors) {
        let (count, bytes) = formats.entry(tensor.kind.to_string()).or_default();
        *count += 1;
        *bytes += tensor.range.end - tensor.range.start;
        let shape = tensor.shape.iter().map(u64::to_string).collect::<Vec<_>>().join(" x ");
        writeln!(out, "  {:40} {:8} {shape}", tensor.name, tensor.kind.to_string())?;
    }
    writeln!(out, "\nformats")?;
    for (format, (count, bytes)) in formats {
        let note = if sprat::formats().any(|known| known == format) { "" } else { "  not supported" };
        writeln!(out, "  {format:8} {count:5} tensors {:10.1} MB{note}", bytes as f64 / 1e6)?;
    }
    match model {
        Ok(model) => {
            writeln!(out, "\nsupported: yes, family {}, chat template {}", model.info().family, model.info().template)?;
            for name in model.unused_tensors() {
                writeln!(out, "  but tensor {name} is not used")?;
            }
            match &model.info().gpu {
                Ok(()) => writeln!(out, "GPU: yes")?,
                Err(fault) => writeln!(out, "GPU: no, {fault}")?,
            }
            writeln!(out, "memory: {:.1} MB of file pages, and for the KV cache", bytes as f64 / 1e6)?;
            for positions in CONTEXTS {
                let bytes = positions * model.kv_bytes_per_position(KvFormat::F16);
                writeln!(out, "  {positions:6} positions {:10.1} MB", bytes as f64 / 1e6)?;
            }
        }
        Err(error) => writeln!(out, "\nsupported: no: {error}")?,
    }
    Ok(())
}
