//! Saving a session and taking it up again.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sprat_kernels::KvFormat;

use super::Session;
use super::head::fits;
use super::options::SessionOptions;
use super::saved::{Header, MadeFor, SavedSession, head};
use super::state::Snapshot;
use crate::error::{Error, SavedFault};
use crate::file::Checksum;
use crate::model::{KvCache, Model, SavedPages, SavedShape};

impl Session {
    /// Writes the session to a file: transcript, tools, random numbers, and the cache as it is. The file is there whole or,
    /// if anything goes wrong, power included, as it was before. Turns may go on meanwhile; what is written is the state
    /// at the call.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Closed`]; [`Error::Save`] with what the system said, a full disk included.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        self.write(path.as_ref(), None)
    }

    /// As [`save`](Self::save), with keys and values stored as `format`: from half precision to [`KvFormat::Q8_0`] 53 % of
    /// the cache's bytes. Where the session stores them otherwise the file is marked ([`SavedSession::is_lossy`]), and
    /// so is the session that goes on from it ([`is_approximate`](Self::is_approximate)): its replies are near what
    /// would have come, not the same bits.
    ///
    /// # Errors
    /// As `save`, and [`Error::KvFormat`] where the model's heads cannot be stored so.
    pub fn save_as(&self, path: impl AsRef<Path>, format: KvFormat) -> Result<(), Error> {
        KvCache::check_format(format, &self.inner.model.config.layers)?;
        self.write(path.as_ref(), Some(format))
    }

    fn write(&self, path: &Path, format: Option<KvFormat>) -> Result<(), Error> {
        let state = self.inner.idle()?;
        let engine = state.engine.as_ref().ok_or(Error::Closed)?;
        let model = &self.inner.model;
        model.file.check()?;
        let (conversation, Snapshot { mut cache, mut fed }) = (state.conversation.clone(), engine.snapshot()?);
        if cache.is_lost() {
            // Such a session reads its transcript anew.
            cache.rewind(0);
            fed.clear();
        }
        let made_for = MadeFor { positions: engine.context.max_positions(), format: engine.context.kv_format() };
        drop(state);
        let shape = SavedShape::of(&cache, format);
        let head = head(&conversation, &fed, made_for, &shape);
        if !fits(&head) {
            // A file that could not be read again.
            let source = io::Error::new(io::ErrorKind::FileTooLarge, "too many messages");
            return Err(Error::Save { path: path.to_owned(), source });
        }
        let pages = SavedPages::new(&model.config, shape);
        let write = |file: &mut File| {
            let cache_start = Header::cache_start(head.len());
            // The header is written last: until then the file is none.
            file.seek(SeekFrom::Start(Header::BYTES))?;
            file.write_all(&head)?;
            file.seek(SeekFrom::Start(cache_start as u64))?;
            let mut sum = Checksum::default();
            pages.each(&cache, |bytes| {
                sum.update(bytes);
                file.write_all(bytes)
            })?;
            if cache.was_lost() {
                return Err(io::Error::other("the file that the session was restored from is gone"));
            }
            let file_bytes = (cache_start + pages.len_bytes()) as u64;
            file.set_len(file_bytes)?;
            let header = Header {
                fingerprint: model.fingerprint(),
                head_bytes: head.len() as u64,
                cache_start: cache_start as u64,
                file_bytes,
                head_sum: Checksum::of(&head),
                cache_sum: sum.value(),
            };
            file.seek(SeekFrom::Start(0))?;
            file.write_all(&header.to_bytes())
        };
        replace(path, write).map_err(|source| Error::Save { path: path.to_owned(), source })
    }

    /// Takes a saved session up again. Its cache is mapped, not read into memory of its own: pages are copied before they are
    /// written to. Should the file be shortened meanwhile, the cache is lost and nothing else: a turn that notices in its middle
    /// fails with [`Error::CacheLost`], and the next one reads the transcript anew. What the file says of messages and tools replaces what the options say.
    ///
    /// # Errors
    /// [`Error::Open`]; [`Error::Saved`] where the file is damaged or of another model: [`SavedSession::open`] may still
    /// read its transcript, for [`Session::set_transcript`].
    pub fn restore(model: &Arc<Model>, path: impl AsRef<Path>, options: SessionOptions) -> Result<Self, Error> {
        let saved = SavedSession::open(path)?;
        let session = Self::new(model, options)?;
        session.take_up(saved)?;
        Ok(session)
    }

    fn take_up(&self, saved: SavedSession) -> Result<(), Error> {
        let fault = |path: &Path, fault| Error::Saved { path: path.to_owned(), fault };
        if !saved.is_of(&self.inner.model) {
            return Err(fault(&saved.path, SavedFault::OtherModel));
        }
        let model = &self.inner.model;
        let damaged = || fault(&saved.path, SavedFault::Damaged { part: "cache" });
        if !saved.shape.fits(&model.config) {
            return Err(damaged());
        }
        let pages = SavedPages::new(&model.config, saved.shape.clone());
        if saved.file.bytes().len() - saved.cache_start != pages.len_bytes() {
            return Err(damaged());
        }
        saved.check_cache().map_err(|found| fault(&saved.path, found))?;
        let SavedSession { path, file, cache_start, conversation, tokens, made_for, .. } = saved;
        let mut state = self.inner.idle()?;
        let mut engine = state.engine.take().ok_or(Error::Closed)?;
        // A context that the cache does not fit, or that stores it otherwise, reads the transcript anew. Some files rotate
        // keys by how long the context is.
        let limit = engine.context.max_positions();
        let rotates_alike = model.weights.rotate_alike(&model.config, limit, made_for.positions);
        if tokens.len() <= limit && rotates_alike && made_for.format == engine.context.kv_format() {
            let restored = pages.restore(&engine.context.snapshot(), file, cache_start);
            let restored = restored.ok_or_else(|| fault(&path, SavedFault::Damaged { part: "cache" }))?;
            engine.restore(Snapshot { cache: restored, fed: tokens });
        }
        state.conversation = conversation;
        state.put_back(engine);
        Ok(())
    }
}

/// Writes a file beside `path`, makes sure that it is on the disk, and puts it in the place of `path`.
fn replace(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
    remove_leftovers(folder, name);
    let part = Part::new(folder, name);
    let mut file = File::create_new(&part.0)?;
    write(&mut file)?;
    file.sync_all()?;
    fs::rename(&part.0, path)?;
    part.has_become_the_file();
    // The rename itself is on the disk when the folder is.
    File::open(folder)?.sync_all()
}

/// A file that is not finished; removed unless it was renamed. Empty once it was.
struct Part(PathBuf);

const PART: &str = ".sprat-part";

impl Part {
    fn new(folder: &Path, name: &std::ffi::OsStr) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!(".{}.{}-{number}{PART}", name.to_string_lossy(), std::process::id());
        Self(folder.join(name))
    }

    fn has_become_the_file(mut self) {
        self.0 = PathBuf::new();
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            // It may never have been made.
            let _gone = fs::remove_file(&self.0);
        }
    }
}

/// Removes what a process that was killed while saving to the same name has left.
fn remove_leftovers(folder: &Path, name: &std::ffi::OsStr) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let (begin, own) = (format!(".{}.", name.to_string_lossy()), format!("{}-", std::process::id()));
    for entry in entries.flatten() {
        let found = entry.file_name();
        let number = found.to_str().and_then(|found| found.strip_prefix(&begin)?.strip_suffix(PART));
        if number.is_some_and(|number| !number.starts_with(&own)) {
            // Whoever cannot remove it leaves it to the next save.
            let _gone = fs::remove_file(entry.path());
        }
    }
}
