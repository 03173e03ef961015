//! Maps a model file read-only, from a path or from a part of an open descriptor.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use memmap2::{Mmap, MmapOptions};

use crate::error::Error;

/// Where a model's bytes are: a path, or a part of an open descriptor (an Android asset has no path of its own).
#[derive(Debug)]
pub enum Source {
    /// A file by its path.
    Path(PathBuf),
    /// `len_bytes` bytes from `offset_bytes` of an open file.
    Descriptor {
        /// The open file; kept for as long as the model.
        descriptor: OwnedFd,
        /// Where the model begins, any multiple of 4.
        offset_bytes: u64,
        /// How long it is.
        len_bytes: u64,
    },
}

impl<P: Into<PathBuf>> From<P> for Source {
    fn from(path: P) -> Self {
        Self::Path(path.into())
    }
}

/// A model file in memory: clean pages of the file system, shared by everything that reads the model.
#[derive(Debug)]
pub struct MappedFile {
    map: Mmap,
}

impl MappedFile {
    /// Maps `source` read-only.
    pub fn open(source: Source) -> Result<Self, Error> {
        match source {
            Source::Path(path) => {
                let failed = |source| Error::Open { path: path.clone(), source };
                let file = File::open(&path).map_err(failed)?;
                let meta = file.metadata().map_err(failed)?;
                if !meta.is_file() {
                    return Err(failed(std::io::Error::other("not a regular file")));
                }
                Self::map(&file, 0, meta.len()).map_err(failed)
            }
            Source::Descriptor { descriptor, offset_bytes, len_bytes } => {
                let failed = |source| Error::Open { path: PathBuf::from("(descriptor)"), source };
                let file = File::from(descriptor);
                let size = file.metadata().map_err(failed)?.len();
                match offset_bytes.checked_add(len_bytes) {
                    Some(end) if end <= size => {}
                    _ => return Err(failed(std::io::Error::other("the range lies outside the file"))),
                }
                // The float tensors are read in place as f32, which needs this much.
                if offset_bytes % 4 != 0 {
                    return Err(failed(std::io::Error::other("the offset is not a multiple of 4")));
                }
                Self::map(&file, offset_bytes, len_bytes).map_err(failed)
            }
        }
    }

    fn map(file: &File, offset: u64, len: u64) -> std::io::Result<Self> {
        let len = usize::try_from(len).map_err(std::io::Error::other)?;
        if len == 0 {
            return Err(std::io::Error::other("the file is empty"));
        }
        // SAFETY: the mapping is read-only and private; SECURITY.md asks apps not to write into a model file in use, and
        // every read goes through plain integers and floats, for which any byte is a valid value.
        let map = unsafe { MmapOptions::new().offset(offset).len(len).map(file)? };
        Ok(Self { map })
    }

    /// The model's bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// How many of the mapped bytes are in memory now, by the system's own word.
    pub fn resident_bytes(&self) -> usize {
        resident::of(&self.map)
    }
}

impl AsRef<[u8]> for MappedFile {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

mod resident {
    /// From `/proc/self/smaps`: the resident part of the mapping that starts where `bytes` does.
    pub fn of(bytes: &[u8]) -> usize {
        let page_start = bytes.as_ptr().addr() & !4095;
        let Ok(smaps) = std::fs::read_to_string("/proc/self/smaps") else { return 0 };
        let mut inside = false;
        for line in smaps.lines() {
            if let Some((start, _)) = line.split_once('-')
                && let Ok(start) = usize::from_str_radix(start, 16)
            {
                inside = start == page_start;
            } else if inside && let Some(rest) = line.strip_prefix("Rss:") {
                let kib = rest.trim().trim_end_matches(" kB").parse::<usize>().unwrap_or(0);
                return kib * 1024;
            }
        }
        0
    }
}

/// Bytes of the file as the f32 values they are. Panics unless they are whole, aligned values: the loader checks both.
pub fn f32s(bytes: &[u8]) -> &[f32] {
    // SAFETY: every pattern of 32 bits is a valid f32, and `align_to` itself finds the aligned middle.
    let (before, values, after) = unsafe { bytes.align_to::<f32>() };
    assert!(before.is_empty() && after.is_empty(), "f32 values are whole and aligned");
    values
}
