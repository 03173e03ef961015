//! What a model's header tells before the model is opened, or even downloaded.

use crate::error::FfiError;
use crate::source::Source;

/// What a file's header promises.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Probe {
    /// Its name, or empty.
    pub name: String,
    /// Its family, such as `llama`.
    pub family: String,
    /// Size of the whole file, in bytes.
    pub file_bytes: u64,
    /// Size of the header, which is all that was looked at.
    pub header_bytes: u64,
    /// Tokens it was made for.
    pub context_tokens: u64,
    /// Bytes of KV cache for each token, stored as f16.
    pub kv_bytes_per_token: u64,
    /// Bytes of weights that one token reads.
    pub bytes_per_token: u64,
}

impl From<sprat::Probe> for Probe {
    fn from(probe: sprat::Probe) -> Self {
        Self {
            name: probe.name,
            family: probe.family,
            file_bytes: probe.file_bytes,
            header_bytes: probe.header_bytes,
            context_tokens: probe.context_length as u64,
            kv_bytes_per_token: probe.kv_bytes_per_position as u64,
            bytes_per_token: probe.bytes_per_token as u64,
        }
    }
}

/// Looks at a file's header; the errors are those that opening it would give.
#[uniffi::export]
pub fn probe(source: Source) -> Result<Probe, FfiError> {
    Ok(sprat::Model::probe(sprat::Source::try_from(source)?)?.into())
}

/// The same for the first bytes of a file of `file_bytes`, which hold the whole header.
#[uniffi::export]
pub fn probe_header(header: Vec<u8>, file_bytes: u64) -> Result<Probe, FfiError> {
    Ok(sprat::Probe::of_header(&header, file_bytes)?.into())
}
