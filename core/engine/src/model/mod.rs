//! A model: a mapped file whose metadata and tensors have been checked, ready for any number of sequences.

mod context;
mod transformer;

use std::sync::Arc;

use sprat_gguf::Contents;

pub use context::{Context, ContextOptions};

pub(crate) use crate::backend::cpu::KvCache;
use crate::chat::ChatTemplate;
use crate::config::Config;
use crate::error::Error;
use crate::file::{MappedFile, Source};
use crate::tokenizer::Tokenizer;
use crate::weights::Weights;

/// An opened model.
pub struct Model {
    pub(crate) file: Arc<MappedFile>,
    pub(crate) contents: Contents,
    pub(crate) config: Config,
    pub(crate) weights: Weights,
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
    /// Where its chat template comes from: the file, a built-in one by name, or nowhere.
    pub template: String,
}

impl Model {
    /// Maps `source` and checks that everything a forward pass needs is there and fits together.
    pub fn open(source: impl Into<Source>) -> Result<Self, Error> {
        let file = Arc::new(MappedFile::open(source.into())?);
        let contents = Contents::parse(file.bytes(), file.bytes().len() as u64)?;
        let config = Config::read(&contents)?;
        let weights = Weights::load(&contents, &config)?;
        let tokenizer = Tokenizer::from_gguf(&contents, file.clone())?;
        let name = contents.str("general.name")?.unwrap_or_default().to_owned();
        let (origin, template) = match contents.str("tokenizer.chat_template")? {
            Some(source) => ("the file's own".to_owned(), Some(ChatTemplate::parse(source)?)),
            None => match ChatTemplate::detect(config.spec.name, &name) {
                Some(builtin) => (builtin.to_owned(), Some(ChatTemplate::builtin(builtin)?)),
                None => ("none".to_owned(), None),
            },
        };
        let info = Info { name, family: config.spec.name, template: origin };
        Ok(Self { file, contents, config, weights, tokenizer, template: template.map(Arc::new), info })
    }

    /// Its vocabulary.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Its chat template: the file's own, or the built-in one for its kind.
    pub fn template(&self) -> Result<Arc<ChatTemplate>, Error> {
        self.template.clone().ok_or(Error::NoTemplate)
    }

    /// What it says of itself.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// The table of contents of its file.
    pub fn contents(&self) -> &Contents {
        &self.contents
    }

    /// Its dimensions.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Bytes of weights that one token reads.
    pub fn bytes_per_token(&self) -> usize {
        self.weights.bytes_per_token()
    }

    /// Bytes of the KV cache for each position.
    pub fn kv_bytes_per_position(&self) -> usize {
        self.config.layers.iter().map(|l| 2 * l.n_kv_heads * (l.head_dim + l.value_dim)).sum()
    }

    /// Resident bytes of the mapped file.
    pub fn resident_bytes(&self) -> usize {
        self.file.resident_bytes()
    }
}
