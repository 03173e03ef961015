//! The command line: one flat set of options, each read once and checked.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use lexopt::prelude::{Long, Short, Value, ValueExt};
use sprat::{
    Backend, ContextOptions, GenerationOptions, KvFormat, Model, OpenOptions, Session, SessionOptions, TemplateChoice,
    WhenFull,
};

use crate::bundled;
use crate::failure::{Failure, io};

/// Everything that was given; a command looks at what concerns it.
#[derive(Default)]
pub struct Args {
    pub command: String,
    pub prompt: Option<String>,
    pub model: Option<PathBuf>,
    pub file: Option<PathBuf>,
    pub out: Option<PathBuf>,
    pub tokens: Vec<u32>,
    pub system: Option<String>,
    pub template: Option<String>, // a name, or a file
    pub session: Option<PathBuf>,
    pub slide: bool,
    pub no_bos: bool,
    pub special: bool,
    pub json: bool,
    pub prompt_tokens: Option<usize>,
    pub generate: Option<usize>,
    pub depth: Option<usize>,
    pub repeat: Option<usize>,
    pub backend: Backend,
    pub context: ContextOptions,
    pub generation: GenerationOptions,
    pub temperature: Option<f32>, // as given; also in `generation`
}

fn value<T: FromStr>(parser: &mut lexopt::Parser, option: &str) -> Result<T, Failure> {
    let text = string(parser, option)?;
    text.parse().map_err(|_| Failure::Usage(format!("{option}: `{text}` is not a valid value")))
}

fn string(parser: &mut lexopt::Parser, option: &str) -> Result<String, Failure> {
    let text = parser.value().map_err(|e| Failure::Usage(e.to_string()))?;
    text.string().map_err(|_| Failure::Usage(format!("{option}: not UTF-8")))
}

impl Args {
    /// Reads the command line of this process.
    pub fn parse() -> Result<Self, Failure> {
        let mut parser = lexopt::Parser::from_env();
        let mut args = Self::default();
        while let Some(arg) = parser.next().map_err(|e| Failure::Usage(e.to_string()))? {
            match arg {
                Long("help") | Short('h') => args.command = "help".to_owned(),
                Long(name) => {
                    let name = format!("--{name}");
                    args.option(&name, &mut parser)?;
                }
                Short(c) => return Err(Failure::Usage(format!("unknown option -{c}"))),
                Value(text) => {
                    let text = text.string().map_err(|_| Failure::Usage("an argument is not UTF-8".to_owned()))?;
                    if args.command.is_empty() {
                        args.command = text;
                    } else if args.command == "run" && args.prompt.is_none() {
                        args.prompt = Some(text);
                    } else {
                        return Err(Failure::Usage(format!("unexpected argument `{text}`")));
                    }
                }
            }
        }
        if args.command.is_empty() {
            return Err(Failure::Usage("no command given".to_owned()));
        }
        if args.model.is_none() {
            // The small model is trained with this prompt; and it is right or wrong, with nothing in between to draw from.
            args.system.get_or_insert_with(|| bundled::INSTRUCTIONS.to_owned());
            args.generation.sampler.temperature = args.temperature.unwrap_or(0.0);
        }
        Ok(args)
    }

    fn option(&mut self, name: &str, p: &mut lexopt::Parser) -> Result<(), Failure> {
        let sampler = &mut self.generation.sampler;
        // `--prompt` is a number of tokens for bench, the only command that has it.
        match name {
            "--model" => self.model = Some(PathBuf::from(string(p, name)?)),
            "--file" => self.file = Some(PathBuf::from(string(p, name)?)),
            "--out" => self.out = Some(PathBuf::from(string(p, name)?)),
            "--template" => self.template = Some(string(p, name)?),
            "--system" => self.system = Some(string(p, name)?),
            "--tokens" => self.tokens = ids(&string(p, name)?)?,
            "--session" => self.session = Some(PathBuf::from(string(p, name)?)),
            "--slide" => self.slide = true,
            "--no-bos" => self.no_bos = true,
            "--special" => self.special = true,
            "--json" => self.json = true,
            "--prompt" => self.prompt_tokens = Some(value(p, name)?),
            "--generate" => self.generate = Some(value(p, name)?),
            "--depth" => self.depth = Some(value(p, name)?),
            "--repeat" => self.repeat = Some(value(p, name)?),
            "--threads" => self.context.threads = Some(positive(p, name)?),
            "--batch" => self.context.batch = Some(positive(p, name)?),
            "--kv" => self.context.kv_format = kv_format(&string(p, name)?)?,
            "--backend" => self.backend = backend(&string(p, name)?)?,
            "--context" => self.context.max_positions = Some(positive(p, name)?),
            "--max-tokens" => self.generation.max_tokens = value(p, name)?,
            "--temperature" => {
                sampler.temperature = value(p, name)?;
                self.temperature = Some(sampler.temperature);
            }
            "--top-k" => sampler.top_k = value(p, name)?,
            "--top-p" => sampler.top_p = value(p, name)?,
            "--min-p" => sampler.min_p = value(p, name)?,
            "--seed" => sampler.seed = Some(value(p, name)?),
            _ => return Err(Failure::Usage(format!("unknown option {name}"))),
        }
        Ok(())
    }

    /// Opens the model that was named, or the bundled one.
    pub fn open(&self) -> Result<Arc<Model>, Failure> {
        Ok(Arc::new(Model::open_with(self.model_path()?, &self.open_options()?)?))
    }

    /// What was chosen in place of what the file says.
    pub fn open_options(&self) -> Result<OpenOptions, Failure> {
        let choice = |template: &String| {
            let path = Path::new(template);
            if path.is_file() {
                Ok::<_, Failure>(TemplateChoice::Text(std::fs::read_to_string(path).map_err(io(path))?))
            } else {
                Ok(TemplateChoice::Builtin(template.clone()))
            }
        };
        let template = self.template.as_ref().map(choice).transpose()?;
        Ok(OpenOptions { template, backend: self.backend, ..OpenOptions::default() })
    }

    /// The session that was named, or a new one.
    pub fn open_session(&self, model: &Arc<Model>) -> Result<Session, Failure> {
        Ok(match &self.session {
            Some(path) => Session::restore(model, path, self.session_options())?,
            None => Session::new(model, self.session_options())?,
        })
    }

    /// What chat and run ask of a session.
    pub fn session_options(&self) -> SessionOptions {
        SessionOptions {
            instructions: self.system.clone(),
            when_full: if self.slide { WhenFull::Slide } else { WhenFull::Fail },
            seed: self.generation.sampler.seed,
            context: self.context.clone(),
            ..SessionOptions::default()
        }
    }

    /// The model's path.
    pub fn model_path(&self) -> Result<&Path, Failure> {
        match &self.model {
            Some(path) => Ok(path),
            None => bundled::path(),
        }
    }

    /// An option that the command cannot do without.
    pub fn need<'a>(&self, option: &'a Option<PathBuf>, name: &str) -> Result<&'a Path, Failure> {
        option.as_deref().ok_or_else(|| Failure::Usage(format!("{} needs {name}", self.command)))
    }
}

fn positive(p: &mut lexopt::Parser, name: &str) -> Result<usize, Failure> {
    match value(p, name)? {
        0 => Err(Failure::Usage(format!("{name}: must be at least 1"))),
        n => Ok(n),
    }
}

fn backend(text: &str) -> Result<Backend, Failure> {
    match text {
        "auto" => Ok(Backend::Auto),
        "cpu" => Ok(Backend::Cpu),
        "gpu" => Ok(Backend::Gpu),
        _ => Err(Failure::Usage(format!("--backend: `{text}` is none of auto, cpu, gpu"))),
    }
}

fn kv_format(text: &str) -> Result<KvFormat, Failure> {
    match text {
        "f16" => Ok(KvFormat::F16),
        "q8_0" => Ok(KvFormat::Q8_0),
        "q4_0" => Ok(KvFormat::Q4_0),
        _ => Err(Failure::Usage(format!("--kv: `{text}` is none of f16, q8_0, q4_0"))),
    }
}

fn ids(text: &str) -> Result<Vec<u32>, Failure> {
    let id = |s: &str| s.trim().parse().map_err(|_| Failure::Usage(format!("--tokens: `{s}` is not a token id")));
    text.split(',').map(id).collect()
}
