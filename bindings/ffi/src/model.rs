//! A model file that is open.

use std::sync::{Arc, PoisonError, RwLock};

use sprat::SpecialTokens;

use crate::error::FfiError;
use crate::logging;
use crate::options::{KvFormat, SessionOptions};
use crate::session::Session;
use crate::source::{OpenOptions, Source};

/// What a model says of itself.
#[derive(Clone, Debug, PartialEq, uniffi::Record)]
pub struct ModelInfo {
    /// Its name, or empty.
    pub name: String,
    /// Its family, such as `llama`.
    pub family: String,
    /// Where its chat template comes from.
    pub template: String,
    /// Tokens it was made for.
    pub context_tokens: u64,
    /// Size of the mapped file, in bytes.
    pub file_bytes: u64,
    /// Bytes of weights that one token reads.
    pub bytes_per_token: u64,
    /// Bytes of KV cache for each token of the context, stored as f16.
    pub kv_bytes_per_token: u64,
    /// Files that it consists of.
    pub parts: u32,
    /// Names of the file's tensors that its family has no use for: a sign of a file that is not what it says.
    pub unused_tensors: Vec<String>,
    /// Why no GPU computes for it; none where one does.
    pub gpu_fault: Option<String>,
}

impl From<&sprat::Model> for ModelInfo {
    fn from(model: &sprat::Model) -> Self {
        let info = model.info().clone();
        Self {
            name: info.name,
            family: info.family.into(),
            template: info.template,
            context_tokens: model.config().context_length as u64,
            file_bytes: model.file_bytes() as u64,
            bytes_per_token: model.bytes_per_token() as u64,
            kv_bytes_per_token: model.kv_bytes_per_position(sprat::KvFormat::default()) as u64,
            parts: model.parts().len() as u32,
            unused_tensors: model.unused_tensors().to_vec(),
            gpu_fault: info.gpu.err().map(|fault| fault.to_string()),
        }
    }
}

/// An open model; sessions keep what they need of it, so it may be closed before them.
#[derive(uniffi::Object)]
pub struct Model(RwLock<Option<Arc<sprat::Model>>>);

impl Model {
    /// The engine's model, while this is open.
    pub(crate) fn inner(&self) -> Result<Arc<sprat::Model>, FfiError> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or(FfiError::Closed)
    }
}

#[uniffi::export]
impl Model {
    /// Maps what is at `source` and checks it.
    #[uniffi::constructor]
    pub fn open(source: Source, options: OpenOptions) -> Result<Arc<Self>, FfiError> {
        logging::install();
        provoked(&source);
        let model = sprat::Model::open_with(sprat::Source::try_from(source)?, &options.into())?;
        Ok(Arc::new(Self(RwLock::new(Some(Arc::new(model))))))
    }

    /// What it says of itself.
    pub fn info(&self) -> Result<ModelInfo, FfiError> {
        Ok(ModelInfo::from(&*self.inner()?))
    }

    /// A new, empty conversation. A method of the model and not a constructor: the generated code guards the object of a
    /// call against being freed meanwhile, but not its arguments.
    pub fn session(&self, options: SessionOptions) -> Result<Arc<Session>, FfiError> {
        Ok(Session::new(sprat::Session::new(&self.inner()?, options.try_into()?)?))
    }

    /// A session that was saved with this model. Its messages and tools replace those of the options.
    pub fn restore(&self, path: String, options: SessionOptions) -> Result<Arc<Session>, FfiError> {
        Ok(Session::new(sprat::Session::restore(&self.inner()?, path, options.try_into()?)?))
    }

    /// Whether `restore` would take the session that was saved there: it was written with this very model.
    pub fn can_restore(&self, path: String) -> Result<bool, FfiError> {
        Ok(sprat::SavedSession::open(path)?.is_of(&*self.inner()?))
    }

    /// Bytes of KV cache for each token of the context, stored in this format.
    pub fn kv_bytes_per_token(&self, format: KvFormat) -> Result<u64, FfiError> {
        Ok(self.inner()?.kv_bytes_per_position(format.into()) as u64)
    }

    /// How many tokens `text` is, by itself.
    pub fn count_tokens(&self, text: String) -> Result<u64, FfiError> {
        let count = self.inner()?.tokenizer().count(&text, SpecialTokens::AsText, false);
        Ok(count.map_err(sprat::Error::from)? as u64)
    }

    /// Bytes of the mapped file that are in memory, at most.
    pub fn resident_bytes(&self) -> Result<u64, FfiError> {
        Ok(self.inner()?.resident_bytes() as u64)
    }

    /// Bytes that all its sessions have allocated together.
    pub fn allocated_bytes(&self) -> Result<u64, FfiError> {
        Ok(self.inner()?.anonymous_bytes() as u64)
    }

    /// Asks the system to drop the file's pages from memory; they are read anew as they are needed.
    pub fn release_pages(&self) -> Result<(), FfiError> {
        self.inner()?.release_pages();
        Ok(())
    }

    /// Closes it, and with it all its sessions: turns that run are stopped and waited for, no other begins.
    pub fn unload(&self) -> Result<(), FfiError> {
        if let Ok(model) = self.inner() {
            model.close();
        }
        self.close()
    }

    /// Lets go of the file; what is asked of the model after that is an error. Sessions go on.
    pub fn close(&self) -> Result<(), FfiError> {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }
}

/// In builds for tests, a file name that is not opened but panics: so that Kotlin and Swift can test what a panic becomes. Builds
/// that are shipped have no such name.
#[cfg(debug_assertions)]
fn provoked(source: &Source) {
    let told = matches!(source, Source::Path { path } if path.ends_with("sprat-ffi:panic"));
    assert!(!told, "provoked by a test");
}

#[cfg(not(debug_assertions))]
fn provoked(_: &Source) {}
