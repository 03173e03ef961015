//! A model to be quantized: its metadata and tensors, and their bytes on demand.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use sprat_gguf::{Contents, MAGIC, Tensor};

use crate::error::Error;
use crate::safetensors;

/// How much of a GGUF file is read at first; vocabularies make headers of some megabytes.
const FIRST_BYTES: u64 = 1 << 20;

/// Metadata: the table of contents of a GGUF file and the bytes that hold it.
pub struct Metadata {
    /// What is in the file.
    pub contents: Contents,
    /// Its first bytes, the whole header among them.
    pub header: Vec<u8>,
}

/// A model's file, open.
pub struct Source {
    path: PathBuf,
    file: File,
    /// Where keys and vocabulary come from.
    pub metadata: Metadata,
    /// The tensors, in the order in which they are written.
    pub tensors: Vec<Tensor>,
}

impl Source {
    /// Opens a GGUF or safetensors file. `metadata`: a GGUF file whose metadata count in place of its own.
    pub fn open(path: &Path, metadata: Option<&Path>) -> Result<Self, Error> {
        let failed = |source| Error::Read { path: path.to_owned(), source };
        let (file, file_bytes) = open(path)?;
        let other =
            metadata.map(|path| open(path).and_then(|(file, bytes)| read_metadata(path, &file, bytes))).transpose()?;
        let mut prefix = [0; safetensors::PREFIX_BYTES as usize];
        // What is shorter than either format's header is left to GGUF's parser, which says so.
        let is_gguf = file_bytes < prefix.len() as u64 || {
            (&file).read_exact(&mut prefix).map_err(failed)?;
            prefix.starts_with(&MAGIC)
        };
        let (tensors, metadata) = if is_gguf {
            let own = read_metadata(path, &file, file_bytes)?;
            (own.contents.tensors.clone(), other.unwrap_or(own))
        } else {
            let fault = |source| Error::Safetensors { path: path.to_owned(), source };
            let mut header = vec![0; safetensors::header_bytes(prefix, file_bytes).map_err(fault)? as usize];
            (&file).read_exact(&mut header).map_err(failed)?;
            let tensors = safetensors::tensors(&header, file_bytes).map_err(fault)?;
            (tensors, other.ok_or_else(|| Error::NoMetadata { path: path.to_owned() })?)
        };
        if !tensors.iter().any(|tensor| tensor.name == "token_embd.weight") {
            return Err(Error::Names { path: path.to_owned() });
        }
        Ok(Self { path: path.to_owned(), file, metadata, tensors })
    }

    /// Fills `bytes` from `offset` of the file on.
    pub fn read(&self, offset: u64, bytes: &mut [u8]) -> Result<(), Error> {
        read_at(&self.file, offset, bytes).map_err(|source| Error::Read { path: self.path.clone(), source })
    }
}

fn open(path: &Path) -> Result<(File, u64), Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    if !about.is_file() {
        return Err(failed(io::Error::other("not a regular file")));
    }
    Ok((file, about.len()))
}

fn read_at(mut file: &File, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(bytes)
}

/// Reads as much of a GGUF file as its header needs.
fn read_metadata(path: &Path, file: &File, file_bytes: u64) -> Result<Metadata, Error> {
    let mut header = Vec::new();
    let mut wanted = FIRST_BYTES.min(file_bytes);
    loop {
        let had = header.len();
        header.resize(wanted as usize, 0);
        let read = read_at(file, had as u64, &mut header[had..]);
        read.map_err(|source| Error::Read { path: path.to_owned(), source })?;
        match Contents::parse(&header, file_bytes) {
            Err(sprat_gguf::Error::Truncated { needed, .. }) if wanted < file_bytes && needed <= file_bytes => {
                wanted = needed.max(wanted.saturating_mul(2)).min(file_bytes);
            }
            Err(source) => return Err(Error::Gguf { path: path.to_owned(), source }),
            Ok(contents) => {
                let parts = contents.u64("split.count").ok().flatten().unwrap_or(1);
                if parts > 1 {
                    return Err(Error::Split { path: path.to_owned(), parts });
                }
                return Ok(Metadata { contents, header });
            }
        }
    }
}
