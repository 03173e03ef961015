//! Writes a model's quantized copy, a few rows at a time: memory does not grow with the model.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::thread;

use sprat_gguf::{Tensor, TensorKind, Writer};
use sprat_kernels::{Format, Isa};

use crate::blocks::{self, MAX_WEIGHT};
use crate::error::Error;
use crate::mixture::{self, Facts, Mixture};
use crate::source::Source;

/// Values that one thread converts at once: enough to outweigh starting it, some megabytes in all.
const PIECE_VALUES: usize = 1 << 18;

/// Bytes copied at once.
const COPY_BYTES: u64 = 1 << 20;

/// The version of the block formats that llama.cpp calls current (`GGML_QNT_VERSION`).
const QUANTIZATION_VERSION: u32 = 2;

/// What was written.
#[derive(Debug)]
pub struct Summary {
    /// Bytes of the file.
    pub file_bytes: u64,
    /// How many tensors have which type, in order of appearance.
    pub kinds: Vec<(TensorKind, usize)>,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<String> = self.kinds.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
        write!(f, "{:.1} MB, tensors: {}", self.file_bytes as f64 / 1e6, kinds.join(", "))
    }
}

/// Writes `source` as `mixture` to `path`. The file appears there when it is whole, so it may even be the source's.
pub fn convert(source: &Source, mixture: Mixture, path: &Path, verbose: bool) -> Result<Summary, Error> {
    let kinds = kinds(source, mixture)?;
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let failed = |source| Error::Write { path: path.to_owned(), source };
    let file = File::create(&part).map_err(failed)?;
    let written = write(source, mixture, &kinds, verbose, file).and_then(|file| {
        fs::rename(&part, path)?;
        Ok(file.metadata()?.len())
    });
    let file_bytes = written.map_err(|error| {
        // What went wrong is worth more than what goes wrong here.
        let _ = fs::remove_file(&part);
        error.downcast::<Error>().unwrap_or_else(failed)
    })?;
    let mut summary = Summary { file_bytes, kinds: Vec::new() };
    for kind in kinds {
        match summary.kinds.iter_mut().find(|(k, _)| *k == kind) {
            Some((_, n)) => *n += 1,
            None => summary.kinds.push((kind, 1)),
        }
    }
    Ok(summary)
}

/// The type of each tensor, all of them convertible.
fn kinds(source: &Source, mixture: Mixture) -> Result<Vec<TensorKind>, Error> {
    let contents = &source.metadata.contents;
    let number = |key: &str| -> Result<Option<u64>, Error> {
        contents.u64(key).map_err(|fault| Error::Metadata { source: fault })
    };
    let architecture = contents.str("general.architecture").map_err(|fault| Error::Metadata { source: fault })?;
    let architecture = architecture.ok_or_else(|| Error::MissingKey { key: "general.architecture".to_owned() })?;
    let key = format!("{architecture}.block_count");
    let facts = Facts {
        architecture,
        n_layers: number(&key)?.ok_or(Error::MissingKey { key })?,
        n_experts: number(&format!("{architecture}.expert_count"))?.unwrap_or(0),
    };
    let kinds = mixture::kinds(mixture, &facts, &source.tensors);
    for (tensor, &kind) in source.tensors.iter().zip(&kinds) {
        if kind != tensor.kind && format(tensor.kind).is_none() {
            return Err(Error::Unreadable { name: tensor.name.clone(), kind: tensor.kind });
        }
    }
    Ok(kinds)
}

/// Faults of ours travel inside the I/O error, as the writer knows no others.
fn write(source: &Source, mixture: Mixture, kinds: &[TensorKind], verbose: bool, file: File) -> io::Result<File> {
    let mut writer = Writer::like(&source.metadata.contents, &source.metadata.header);
    writer.u32("general.file_type", mixture.file_type());
    writer.u32("general.quantization_version", QUANTIZATION_VERSION);
    for (i, (tensor, &kind)) in source.tensors.iter().zip(kinds).enumerate() {
        writer.tensor_with(&tensor.name, &tensor.shape, kind, move |out| {
            if verbose {
                let Tensor { name, shape, kind: from, .. } = tensor;
                eprintln!("[{}/{}] {name} {shape:?} {from} -> {kind}", i + 1, source.tensors.len());
            }
            if kind == tensor.kind { copy(source, tensor, out) } else { requantize(source, tensor, kind, out) }
        });
    }
    let mut out = BufWriter::new(file);
    writer.write(&mut out)?;
    out.into_inner().map_err(|error| error.into_error())
}

fn copy(source: &Source, tensor: &Tensor, out: &mut dyn Write) -> io::Result<()> {
    let mut bytes = Vec::new();
    for start in tensor.range.clone().step_by(COPY_BYTES as usize) {
        bytes.resize((tensor.range.end - start).min(COPY_BYTES) as usize, 0);
        source.read(start, &mut bytes).map_err(io::Error::other)?;
        out.write_all(&bytes)?;
    }
    Ok(())
}

fn requantize(source: &Source, tensor: &Tensor, kind: TensorKind, out: &mut dyn Write) -> io::Result<()> {
    let width = tensor.shape[0] as usize;
    let rows: u64 = tensor.shape[1..].iter().product();
    let row_bytes = (tensor.range.end - tensor.range.start) / rows;
    let piece_rows = (PIECE_VALUES / width).max(1) as u64;
    let n_threads = thread::available_parallelism().map_or(1, usize::from) as u64;
    let pieces: Vec<Range<u64>> =
        (0..rows).step_by(piece_rows as usize).map(|row| row..(row + piece_rows).min(rows)).collect();
    for group in pieces.chunks(n_threads as usize) {
        let converted: Vec<Result<Vec<u8>, Error>> = thread::scope(|scope| {
            let start = |piece: &Range<u64>| {
                let mut bytes = vec![0; ((piece.end - piece.start) * row_bytes) as usize];
                let read = source.read(tensor.range.start + piece.start * row_bytes, &mut bytes);
                let first = piece.start * width as u64;
                scope.spawn(move || read.and_then(|()| convert_rows(tensor, kind, &bytes, first)))
            };
            let threads: Vec<_> = group.iter().map(start).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        for bytes in converted {
            out.write_all(&bytes.map_err(io::Error::other)?)?;
        }
    }
    Ok(())
}

/// Some rows of a tensor, the first value of which is its `first`th, in blocks of `kind`.
fn convert_rows(tensor: &Tensor, kind: TensorKind, bytes: &[u8], first: u64) -> Result<Vec<u8>, Error> {
    let from = format(tensor.kind).expect("`kinds` saw to it");
    let width = tensor.shape[0] as usize;
    let row_bytes = from.row_bytes(width);
    let mut values = vec![0.0; bytes.len() / row_bytes * width];
    for (row, values) in bytes.chunks_exact(row_bytes).zip(values.chunks_exact_mut(width)) {
        Isa::detect().dequantize(from, row, values);
    }
    if let Some(i) = values.iter().position(|value| value.is_nan() || value.abs() > MAX_WEIGHT) {
        return Err(Error::Value { name: tensor.name.clone(), index: first + i as u64, value: values[i] });
    }
    blocks::quantize(kind, &values).map_err(|source| Error::Quantizer { name: tensor.name.clone(), source })
}

/// The kernels' name of a type; none for those that they cannot read.
fn format(kind: TensorKind) -> Option<Format> {
    Format::ALL.into_iter().find(|format| TensorKind::from_name(&format!("{format:?}")) == Some(kind))
}

#[cfg(test)]
mod tests;
