//! A model: a mapped file whose metadata and tensors have been checked, ready for any number of sequences.

mod context;
mod fingerprint;
#[cfg(feature = "metal")]
mod gpu;
mod open;
mod probe;
mod running;
mod transformer;

use std::sync::{Arc, OnceLock};

use sprat_gguf::Contents;
use sprat_kernels::KvFormat;

pub use context::{Computed, Context, ContextOptions};
pub use open::{OpenOptions, TemplateChoice};
pub use probe::Probe;
pub(crate) use running::{Guard, Running};

use crate::backend::cpu::{Home, PageWatch, Trial};
pub(crate) use crate::backend::cpu::{KvCache, SavedPages, SavedShape};
#[cfg(feature = "metal")]
use crate::backend::gpu::Gpu;
use crate::chat::ChatTemplate;
use crate::config::Config;
use crate::error::{Error, GpuFault};
use crate::file::MappedFile;
use crate::tokenizer::Tokenizer;
use crate::weights::Weights;

/// An opened model.
pub struct Model {
    pub(crate) file: Arc<MappedFile>,
    pub(crate) parts: Vec<Contents>,
    pub(crate) config: Config,
    pub(crate) weights: Weights,
    watch: PageWatch,
    trial: Trial,
    pub(crate) home: Home,
    #[cfg(feature = "metal")]
    gpu: Option<Gpu>,
    pub(crate) running: Arc<Running>,
    fingerprint: OnceLock<u64>,
    tokenizer: Tokenizer,
    template: Option<Arc<ChatTemplate>>,
    info: Info,
}

/// What a model says of itself.
#[derive(Clone, Debug)]
pub struct Info {
    /// `general.name`, or empty.
    pub name: String,
    /// Its family: `general.architecture`.
    pub family: &'static str,
    /// Where its chat template comes from: the app, the file, a built-in one by name, or nowhere.
    pub template: String,
    /// Whether a GPU computes for it beside the CPU, and if not, why.
    pub gpu: Result<(), GpuFault>,
}

impl Model {
    /// Its vocabulary.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Its chat template: the one chosen when it was opened, the file's own, or the built-in one for its kind.
    pub fn template(&self) -> Result<Arc<ChatTemplate>, Error> {
        self.template.clone().ok_or(Error::NoTemplate)
    }

    /// What it says of itself.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// The table of contents of each part of its file; the first holds the metadata.
    pub fn parts(&self) -> &[Contents] {
        &self.parts
    }

    /// Names of the file's tensors that its family has no use for.
    pub fn unused_tensors(&self) -> &[String] {
        &self.weights.unused
    }

    /// Its dimensions.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Size of the mapped file, or of all files of a split model, in bytes.
    pub fn file_bytes(&self) -> usize {
        self.file.len_bytes()
    }

    /// Bytes of weights that one token reads.
    pub fn bytes_per_token(&self) -> usize {
        self.weights.bytes_per_token(&self.config)
    }

    /// Bytes of the KV cache for each position.
    pub fn kv_bytes_per_position(&self, format: KvFormat) -> usize {
        self.config.kv_bytes_per_position(format)
    }

    /// Anonymous bytes that its sequences have allocated now: KV caches and buffers.
    pub fn anonymous_bytes(&self) -> usize {
        self.home.ledger.used()
    }

    /// Stops the turns that run on it and lets no other begin; returns when they have ended, within one piece of work
    /// each. Its memory goes when the last handle of it and its sessions is dropped.
    pub fn close(&self) {
        self.running.close();
    }

    /// Asks the system to drop the mapped file from this process's memory. It comes back as it is read.
    pub fn release_pages(&self) {
        self.file.release();
    }

    /// Tells files apart: the same for the same file, another for any other, fine-tuned ones included.
    pub(crate) fn fingerprint(&self) -> u64 {
        *self.fingerprint.get_or_init(|| fingerprint::of(&self.parts, &self.file))
    }

    /// Resident bytes of the mapped file.
    pub fn resident_bytes(&self) -> usize {
        self.file.resident_bytes()
    }
}
