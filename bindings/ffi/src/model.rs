//! A model file that is open.

use std::os::fd::BorrowedFd;
use std::sync::{Arc, PoisonError, RwLock};

use sprat::{Source, SpecialTokens};

use crate::error::FfiError;
use crate::logging;
use crate::options::SessionOptions;
use crate::session::Session;

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
    /// Bytes of KV cache for each token of the context.
    pub kv_bytes_per_token: u64,
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
        }
    }
}

/// An open model; sessions keep what they need of it, so it may be closed before them.
#[derive(uniffi::Object)]
pub struct Model(RwLock<Option<Arc<sprat::Model>>>);

impl Model {
    fn from_source(source: Source) -> Result<Arc<Self>, FfiError> {
        logging::install();
        Ok(Arc::new(Self(RwLock::new(Some(Arc::new(sprat::Model::open(source)?))))))
    }

    /// The engine's model, while this is open.
    pub(crate) fn inner(&self) -> Result<Arc<sprat::Model>, FfiError> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or(FfiError::Closed)
    }
}

#[uniffi::export]
impl Model {
    /// Maps the file at `path`.
    #[uniffi::constructor]
    pub fn open(path: String) -> Result<Arc<Self>, FfiError> {
        Self::from_source(Source::Path(path.into()))
    }

    /// Maps `len_bytes` bytes from `offset_bytes` of an open file. The descriptor stays the caller's, who may close it
    /// afterwards.
    #[uniffi::constructor]
    pub fn open_descriptor(descriptor: i32, offset_bytes: u64, len_bytes: u64) -> Result<Arc<Self>, FfiError> {
        let failed = |reason: String| FfiError::CannotOpen { reason };
        if descriptor < 0 {
            return Err(failed(format!("{descriptor} is no file descriptor")));
        }
        // SAFETY: not -1, and only borrowed for the duplication, which the system refuses if it is not open.
        let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
        let descriptor = borrowed.try_clone_to_owned().map_err(|error| failed(error.to_string()))?;
        Self::from_source(Source::Descriptor { descriptor, offset_bytes, len_bytes })
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

    /// How many tokens `text` is, by itself.
    pub fn count_tokens(&self, text: String) -> Result<u64, FfiError> {
        let count = self.inner()?.tokenizer().count(&text, SpecialTokens::AsText, false);
        Ok(count.map_err(sprat::Error::from)? as u64)
    }

    /// Lets go of the file; what is asked of the model after that is an error. Sessions go on.
    pub fn close(&self) -> Result<(), FfiError> {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }
}
