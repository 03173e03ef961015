//! Maps a model read-only, from a path or from a part of an open descriptor; a split model from several.

mod checksum;
mod guard;
mod process;

use std::fs::File;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use memmap2::{Advice, Mmap, MmapOptions, MmapRaw, UncheckedAdvice};

pub use checksum::Checksum;
pub use guard::guard_mapped_files;
pub use process::{ProcessBytes, process_anonymous_bytes};

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
    /// The parts of a split model, in their order. Not needed for paths: that of any part finds the others beside it.
    Parts(Vec<Source>),
}

impl<P: Into<PathBuf>> From<P> for Source {
    fn from(path: P) -> Self {
        Self::Path(path.into())
    }
}

/// Most parts of a split model: far above any in use.
const MAX_PARTS: usize = 999;

/// A model in memory: clean pages of the file system, shared by everything that reads the model.
#[derive(Debug)]
pub struct MappedFile {
    parts: Vec<Part>, // at least one
    /// Set for good once bytes that were mapped are gone.
    lost: Arc<AtomicBool>,
}

/// One mapped file. It stays open, to be asked how long it is.
#[derive(Debug)]
struct Part {
    _watched: guard::Watched, // before the mapping, so that it goes first
    map: Mmap,
    file: File,
    /// Where the mapping ends in the file.
    end: u64,
}

impl MappedFile {
    /// Maps `source` read-only.
    pub fn open(source: Source) -> Result<Self, Error> {
        let lost = Arc::default();
        let open_part = |source| Self::open_part(source, &lost);
        let parts = match source {
            Source::Path(path) => {
                let paths = siblings(&path).unwrap_or_else(|| vec![path]);
                paths.into_iter().map(|path| open_part(Source::Path(path))).collect::<Result<Vec<_>, _>>()?
            }
            Source::Parts(parts) => {
                if parts.is_empty() || parts.len() > MAX_PARTS {
                    return Err(Error::Split { part: 0, reason: "the number of parts is not in 1..=999" });
                }
                parts.into_iter().map(open_part).collect::<Result<Vec<_>, _>>()?
            }
            source @ Source::Descriptor { .. } => vec![open_part(source)?],
        };
        Ok(Self { parts, lost })
    }

    fn open_part(source: Source, lost: &Arc<AtomicBool>) -> Result<Part, Error> {
        match source {
            Source::Path(path) => {
                let failed = |source| Error::Open { path: path.clone(), source };
                let file = File::open(&path).map_err(failed)?;
                let meta = file.metadata().map_err(failed)?;
                if !meta.is_file() {
                    return Err(failed(std::io::Error::other("not a regular file")));
                }
                Self::map(file, 0, meta.len(), lost).map_err(failed)
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
                Self::map(file, offset_bytes, len_bytes, lost).map_err(failed)
            }
            Source::Parts(_) => Err(Error::Split { part: 0, reason: "a part has parts of its own" }),
        }
    }

    fn map(file: File, offset: u64, len: u64, lost: &Arc<AtomicBool>) -> std::io::Result<Part> {
        let end = offset.saturating_add(len);
        let len = usize::try_from(len).map_err(std::io::Error::other)?;
        if len == 0 {
            return Err(std::io::Error::other("the file is empty"));
        }
        // SAFETY: the mapping is read-only and private; SECURITY.md asks apps not to write into a model file in use, and
        // every read goes through plain integers and floats, for which any byte is a valid value.
        let map = unsafe { MmapOptions::new().offset(offset).len(len).map(&file) }?;
        Ok(Part { _watched: guard::Watched::new(&map, lost), map, file, end })
    }

    /// Whether every byte that was mapped is still in its file, as far as the system tells. Once it was not, never again: what
    /// was read meanwhile is of no use. One call of the system for each part.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.parts.iter().any(|part| is_shorter(&part.file, part.end)) {
            self.lost.store(true, Ordering::Relaxed);
        }
        if self.lost.load(Ordering::Relaxed) { Err(Error::FileLost) } else { Ok(()) }
    }

    /// Set for good once bytes that were mapped are known to be gone.
    pub(crate) fn lost(&self) -> &AtomicBool {
        &self.lost
    }

    /// The bytes of the file, or of the first part, which holds the metadata.
    pub fn bytes(&self) -> &[u8] {
        &self.parts[0].map
    }

    /// The bytes of each part.
    pub fn parts(&self) -> impl Iterator<Item = &[u8]> {
        self.parts.iter().map(|part| &part.map[..])
    }

    /// The bytes of one part.
    pub(crate) fn part(&self, index: usize) -> &[u8] {
        &self.parts[index].map
    }

    /// Asks the system to read some bytes of a part soon. It may refuse; then they come when they are needed.
    pub(crate) fn ask_for(&self, part: usize, bytes: Range<usize>) {
        let _ = self.parts[part].map.advise_range(Advice::WillNeed, bytes.start, bytes.len());
    }

    /// Maps the pages of some bytes of a part and waits for those that have to be read. False where the system cannot: Linux
    /// can since 5.14.
    pub(crate) fn map_pages(&self, part: usize, bytes: Range<usize>) -> bool {
        /// `MADV_POPULATE_READ`, madvise(2).
        const POPULATE_READ: libc::c_int = 22;
        let Some(bytes) = self.parts[part].map.get(bytes) else { return false };
        // Advice is for whole pages.
        let within = bytes.as_ptr().addr() % guard::page_bytes();
        let start = bytes.as_ptr().wrapping_sub(within).cast_mut().cast();
        // SAFETY: pages of the mapping, which starts at the beginning of one; they are read-only and what they show is unchanged.
        unsafe { libc::madvise(start, bytes.len() + within, POPULATE_READ) == 0 }
    }

    /// Bytes of all parts.
    pub fn len_bytes(&self) -> usize {
        self.parts().map(<[u8]>::len).sum()
    }

    /// Asks the system to drop the pages from this process's memory. They come back from the file as they are read.
    pub fn release(&self) {
        for part in &self.parts {
            // SAFETY: the mapping is read-only and of a file: what is read after it is the file again.
            let advised = unsafe { part.map.unchecked_advise(UncheckedAdvice::DontNeed) };
            // Advice may be refused; then the pages stay, which is no fault.
            if let Err(error) = advised {
                log::debug!("pages of the model file stay: {error}");
            }
        }
    }

    /// How many of the mapped bytes are in memory now, by the system's own word. Looks at every page: tens of milliseconds
    /// for large models.
    pub fn resident_bytes(&self) -> usize {
        self.parts().map(resident::of).sum()
    }
}

impl AsRef<[u8]> for MappedFile {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

/// The paths of all parts of a split model, of the names that llama.cpp gives them: `NAME-00002-of-00003.gguf`.
fn siblings(path: &Path) -> Option<Vec<PathBuf>> {
    let stem = path.file_name()?.to_str()?.strip_suffix(".gguf")?;
    let (start, count) = stem.rsplit_once("-of-")?;
    let (name, number) = start.rsplit_once('-')?;
    let parse = |digits: &str| {
        let plain = digits.len() == 5 && digits.bytes().all(|b| b.is_ascii_digit());
        digits.parse::<usize>().ok().filter(|n| plain && (1..=MAX_PARTS).contains(n))
    };
    let (number, count) = (parse(number)?, parse(count)?);
    (number <= count)
        .then(|| (1..=count).map(|n| path.with_file_name(format!("{name}-{n:05}-of-{count:05}.gguf"))).collect())
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

/// Whether a file ends before `end`, or does not say.
fn is_shorter(file: &File, end: u64) -> bool {
    file.metadata().map_or(true, |meta| meta.len() < end)
}

/// A saved session, mapped read-only. Like a model file it stays open and is watched, but what is lost of it is a cache.
#[derive(Debug)]
pub struct SavedFile {
    _watched: guard::Watched, // before the mapping, so that it goes first
    map: Arc<MmapRaw>,
    file: File,
    lost: Arc<AtomicBool>,
}

impl SavedFile {
    /// Maps the whole file.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Open { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(failed(std::io::Error::other("not a regular file")));
        }
        let map = MmapOptions::new().map_raw_read_only(&file).map_err(failed)?;
        let lost = Arc::default();
        // SAFETY: readable bytes of this mapping, which any pattern of bits may stand in.
        let bytes = unsafe { std::slice::from_raw_parts(map.as_ptr(), map.len()) };
        Ok(Self { _watched: guard::Watched::new(bytes, &lost), map: Arc::new(map), file, lost })
    }

    /// All of it.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: readable, as long, and nobody writes it: not through this mapping, which is read-only, and SECURITY.md asks
        // apps not to write into the file, as for a model file. A session is replaced by renaming, never written in place.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr(), self.map.len()) }
    }

    /// The mapping. It is watched only while the file lives.
    pub(crate) fn map(&self) -> &Arc<MmapRaw> {
        &self.map
    }

    /// Asks the system whether every byte that was mapped is still there; for good once one was not.
    pub(crate) fn is_lost(&self) -> bool {
        if is_shorter(&self.file, self.map.len() as u64) {
            self.lost.store(true, Ordering::Relaxed);
        }
        self.was_lost()
    }

    /// Whether bytes that were mapped are known to be gone.
    pub(crate) fn was_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }
}

/// Bytes of the file as the f32 values they are. Panics unless they are whole, aligned values: the loader checks both.
pub fn f32s(bytes: &[u8]) -> &[f32] {
    // SAFETY: every pattern of 32 bits is a valid f32, and `align_to` itself finds the aligned middle.
    let (before, values, after) = unsafe { bytes.align_to::<f32>() };
    assert!(before.is_empty() && after.is_empty(), "f32 values are whole and aligned");
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_part_of_a_split_model_names_the_others() {
        let paths = ["d/a-00001-of-00002.gguf", "d/a-00002-of-00002.gguf"].map(PathBuf::from);
        for path in &paths {
            assert_eq!(siblings(path).as_deref(), Some(&paths[..]));
        }
        for whole in
            ["d/a.gguf", "d/a-1-of-2.gguf", "d/a-00003-of-00002.gguf", "d/a-00000-of-00002.gguf", "a-00001-of-00002"]
        {
            assert_eq!(siblings(Path::new(whole)), None, "{whole}");
        }
    }
}
