//! Opening a model: every check that a file must pass, and what an app may choose instead of what the file says.

use std::sync::{Arc, OnceLock};

use sprat_gguf::Contents;

use super::{Info, Model};
use crate::backend::Backend;
use crate::backend::cpu::{Home, Ledger, PageWatch, Trial};
use crate::chat::ChatTemplate;
use crate::config::Config;
use crate::error::{Error, GpuFault};
use crate::file::{MappedFile, Source};
use crate::tokenizer::Tokenizer;
use crate::weights::Weights;

/// What an app may choose when it opens a model.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// The chat template; none for the file's own, or the built-in one for its kind.
    pub template: Option<TemplateChoice>,
    /// Anonymous bytes that all sessions of the model together may allocate for caches and buffers; none for no limit.
    /// What would exceed it is refused with [`Error::OverBudget`] before it is there. The mapped file does not count.
    pub max_anonymous_bytes: Option<usize>,
    /// What computes.
    pub backend: Backend,
}

/// A chat template in place of the file's own, which is then not even parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateChoice {
    /// A built-in one, by name.
    Builtin(String),
    /// The text of one, in Jinja.
    Text(String),
}

impl Model {
    /// Maps `source` and checks that everything a forward pass needs is there and fits together.
    pub fn open(source: impl Into<Source>) -> Result<Self, Error> {
        Self::open_with(source, &OpenOptions::default())
    }

    /// [`Self::open`], with choices.
    pub fn open_with(source: impl Into<Source>, options: &OpenOptions) -> Result<Self, Error> {
        let model = Self::open_on_cpu(source, options)?;
        #[cfg(all(feature = "metal", target_vendor = "apple"))]
        let model = model.with_system_gpu(options.backend);
        model.check_backend(options.backend)
    }

    /// What was asked for, or an error.
    pub(super) fn check_backend(self, backend: Backend) -> Result<Self, Error> {
        match &self.info.gpu {
            Err(fault) if backend == Backend::Gpu => Err(Error::Gpu(fault.clone())),
            _ => Ok(self),
        }
    }

    /// Opens it without looking for a GPU.
    pub(super) fn open_on_cpu(source: impl Into<Source>, options: &OpenOptions) -> Result<Self, Error> {
        let mut watch = PageWatch::new();
        let file = Arc::new(MappedFile::open(source.into())?);
        let parts = parts(&file)?;
        let contents = &parts[0];
        let config = Config::read(contents, file.bytes())?;
        let weights = Weights::load(&parts, &config)?;
        watch.map_ahead(&file, &weights);
        let tokenizer = Tokenizer::from_gguf(contents, file.clone())?;
        let name = contents.str("general.name")?.unwrap_or_default().to_owned();
        let own = contents.str("tokenizer.chat_template")?;
        let (origin, template) = template(options.template.as_ref(), own, config.spec.name, &name)?;
        let gpu = Err(if options.backend == Backend::Cpu { GpuFault::NotWanted } else { GpuFault::NotBuilt });
        let info = Info { name, family: config.spec.name, template: origin, gpu };
        let ledger = options.max_anonymous_bytes.map_or_else(Ledger::default, Ledger::new);
        Ok(Self {
            file,
            parts,
            config,
            weights,
            watch,
            trial: Trial::default(),
            home: Home::new(Arc::new(ledger)),
            #[cfg(feature = "metal")]
            gpu: None,
            running: Arc::default(),
            fingerprint: OnceLock::new(),
            tokenizer,
            template: template.map(Arc::new),
            info,
        })
    }
}

/// The chat template, and where it comes from.
fn template(
    choice: Option<&TemplateChoice>,
    own: Option<&str>,
    family: &str,
    name: &str,
) -> Result<(String, Option<ChatTemplate>), Error> {
    let builtin = |name: &str| Ok((name.to_owned(), Some(ChatTemplate::builtin(name)?)));
    match (choice, own) {
        (Some(TemplateChoice::Builtin(name)), _) => builtin(name),
        (Some(TemplateChoice::Text(text)), _) => Ok(("the app's".to_owned(), Some(ChatTemplate::parse(text)?))),
        (None, Some(text)) => Ok(("the file's own".to_owned(), Some(ChatTemplate::parse(text)?))),
        (None, None) => ChatTemplate::detect(family, name).map_or(Ok(("none".to_owned(), None)), builtin),
    }
}

/// The tables of contents of all parts, in order and complete.
pub(super) fn parts(file: &MappedFile) -> Result<Vec<Contents>, Error> {
    let parse = |bytes: &[u8]| Contents::parse(bytes, bytes.len() as u64);
    let parts = file.parts().map(parse).collect::<Result<Vec<_>, _>>()?;
    let count = parts.len();
    for (index, contents) in parts.iter().enumerate() {
        let wrong = |reason| Error::Split { part: index + 1, reason };
        if contents.u64("split.count")?.unwrap_or(1) != count as u64 {
            return Err(wrong("its number of parts is not that of the parts given"));
        }
        if contents.u64("split.no")?.unwrap_or(0) != index as u64 {
            return Err(wrong("it has another number"));
        }
        if parts[..index].iter().any(|part| contents.tensors.iter().any(|tensor| part.tensor(&tensor.name).is_some())) {
            return Err(wrong("it repeats a tensor"));
        }
    }
    let found: usize = parts.iter().map(|part| part.tensors.len()).sum();
    match parts[0].u64("split.tensors.count")? {
        Some(expected) if expected != found as u64 => Err(Error::Split { part: 0, reason: "tensors are missing" }),
        _ => Ok(parts),
    }
}
