//! What can be said of a model before it is opened, or even downloaded: from its header alone.

use std::sync::Arc;

use sprat_gguf::Contents;
use sprat_kernels::KvFormat;

use super::Model;
use super::open::parts;
use crate::backend::cpu::memory_bytes_per_s;
use crate::chat::ChatTemplate;
use crate::config::Config;
use crate::error::Error;
use crate::file::{MappedFile, Source};
use crate::tokenizer::Tokenizer;
use crate::weights::Weights;

/// What a file's header promises.
#[derive(Clone, Debug)]
pub struct Probe {
    /// `general.name`, or empty.
    pub name: String,
    /// `general.architecture`.
    pub family: String,
    /// Size of the whole file.
    pub file_bytes: u64,
    /// Size of the header, which is all that was looked at.
    pub header_bytes: u64,
    /// Positions the model was made for.
    pub context_length: usize,
    /// KV cache for each position, stored as f16.
    pub kv_bytes_per_position: usize,
    /// Weights that one token reads: what limits the speed of generation.
    pub bytes_per_token: usize,
}

impl Probe {
    /// From the beginning of a file of `file_bytes` that holds the whole header.
    ///
    /// # Errors
    /// Why [`Model::open`] would not take the file, or [`Error::Gguf`] where the header is not all there.
    pub fn of_header(header: &[u8], file_bytes: u64) -> Result<Self, Error> {
        Self::of(&[Contents::parse(header, file_bytes)?], header, file_bytes)
    }

    fn of(parts: &[Contents], header: &[u8], file_bytes: u64) -> Result<Self, Error> {
        let contents = &parts[0];
        let config = Config::read(contents, header)?;
        let weights = Weights::load(parts, &config)?;
        let header = &header[..header.len().min(usize::try_from(contents.data_offset).unwrap_or(usize::MAX))];
        Tokenizer::from_gguf(contents, Arc::new(header.to_vec()))?;
        if let Some(template) = contents.str("tokenizer.chat_template")? {
            ChatTemplate::parse(template)?;
        }
        Ok(Self {
            name: contents.str("general.name")?.unwrap_or_default().to_owned(),
            family: config.spec.name.to_owned(),
            file_bytes,
            header_bytes: contents.data_offset,
            context_length: config.context_length,
            kv_bytes_per_position: config.kv_bytes_per_position(KvFormat::F16),
            bytes_per_token: weights.bytes_per_token(&config),
        })
    }

    /// KV cache of a session of `positions`, stored as f16.
    pub fn kv_bytes(&self, positions: usize) -> u64 {
        positions as u64 * self.kv_bytes_per_position as u64
    }

    /// Tokens per second at most on a machine that reads `bytes_per_s` from memory: every token reads the weights once.
    pub fn max_tokens_per_s(&self, bytes_per_s: f64) -> f64 {
        bytes_per_s / self.bytes_per_token as f64
    }

    /// Tokens per second that this machine's memory allows at most, by a measurement of its own that the first call in a
    /// process makes: some 50 ms and 64 MB, on the cores that a context would use. Real replies are slower: the cache is
    /// read too, and the arithmetic may not keep up. A model that fits the CPU's caches may be faster.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn predicted_tokens_per_s(&self) -> Result<f64, Error> {
        Ok(self.max_tokens_per_s(memory_bytes_per_s()?))
    }
}

impl Model {
    /// Looks at a file's header, without reading or mapping the weights in.
    ///
    /// # Errors
    /// As [`Probe::of_header`], and what opening the file may fail with.
    pub fn probe(source: impl Into<Source>) -> Result<Probe, Error> {
        let file = MappedFile::open(source.into())?;
        Probe::of(&parts(&file)?, file.bytes(), file.len_bytes() as u64)
    }
}
