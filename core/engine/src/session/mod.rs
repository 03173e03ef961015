//! A conversation: its transcript is the source of truth, the KV cache only saves work.

mod options;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

pub use options::{GenerationOptions, SessionOptions};

use crate::chat::{Chat, ChatTemplate, Message, Role};
use crate::error::Error;
use crate::model::{Context, Model};
use crate::sampler::Sampler;
use crate::text::TextStream;
use crate::tokenizer::SpecialTokens;

/// Why a reply ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The model ended its turn.
    EndOfTurn,
    /// A stop string appeared; it is not part of the reply.
    StopString,
    /// The reply has as many tokens as were allowed.
    MaxTokens,
}

/// A finished reply.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The whole text.
    pub text: String,
    /// Why it ended.
    pub stop: StopReason,
    /// Tokens of the prompt, the conversation so far included.
    pub prompt_tokens: usize,
    /// How many of them were in the cache already.
    pub cached_tokens: usize,
    /// Tokens of the reply.
    pub generated_tokens: usize,
    /// From the call to the first token, in milliseconds.
    pub first_token_ms: f64,
    /// Tokens per second after the first.
    pub tokens_per_s: f64,
}

/// Asks a running turn to stop, from any thread. Clones ask the same turn.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Flags>);

#[derive(Debug, Default)]
struct Flags {
    stop: AtomicBool,
    running: AtomicBool,
}

impl Stop {
    /// Stops the turn that runs with it: within one piece of work, a few milliseconds.
    pub fn stop(&self) {
        self.0.stop.store(true, Ordering::SeqCst);
    }

    /// Whether a stop was asked for and the turn has not begun anew.
    pub fn is_stopped(&self) -> bool {
        self.0.stop.load(Ordering::SeqCst)
    }

    /// Whether a turn runs with it.
    pub fn is_running(&self) -> bool {
        self.0.running.load(Ordering::SeqCst)
    }

    fn begin(&self) -> Running<'_> {
        self.0.stop.store(false, Ordering::SeqCst);
        self.0.running.store(true, Ordering::SeqCst);
        Running(self)
    }
}

/// Marks a turn as running while it lives.
struct Running<'a>(&'a Stop);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.0.running.store(false, Ordering::SeqCst);
    }
}

/// Memory of a session, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Size of the mapped model file.
    pub mapped: usize,
    /// How much of it is in memory.
    pub resident: usize,
    /// KV cache.
    pub kv: usize,
    /// Buffers that computing takes.
    pub scratch: usize,
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mb = |bytes: usize| bytes as f64 / 1e6;
        write!(
            f,
            "{:.1} MB of the file's {:.1} MB in memory, {:.1} MB KV cache, {:.1} MB buffers",
            mb(self.resident),
            mb(self.mapped),
            mb(self.kv),
            mb(self.scratch)
        )
    }
}

/// A conversation with a model.
pub struct Session {
    context: Context,
    template: Arc<ChatTemplate>,
    options: SessionOptions,
    transcript: Vec<Message>,
    fed: Vec<u32>, // what the cache holds, token by token
}

impl Session {
    /// An empty conversation.
    pub fn new(model: &Arc<Model>, options: SessionOptions) -> Result<Self, Error> {
        let template = match &options.template {
            Some(name) => Arc::new(ChatTemplate::builtin(name)?),
            None => model.template()?,
        };
        let instructions = options.instructions.iter().map(|text| Message::new(Role::System, text.clone()));
        Ok(Self {
            context: Context::new(model.clone(), &options.context)?,
            template,
            transcript: instructions.collect(),
            options,
            fed: Vec::new(),
        })
    }

    /// The turns so far, instructions first.
    pub fn transcript(&self) -> &[Message] {
        &self.transcript
    }

    /// Tokens in the context.
    pub fn used(&self) -> usize {
        self.context.len()
    }

    /// Tokens the context may hold.
    pub fn limit(&self) -> usize {
        self.context.max_positions()
    }

    /// Memory of this session and its model.
    pub fn memory(&self) -> Memory {
        let model = self.context.model();
        Memory {
            mapped: model.file.bytes().len(),
            resident: model.resident_bytes(),
            kv: self.context.kv_bytes(),
            scratch: self.context.scratch_bytes(),
        }
    }

    /// Takes back the last turn: the user's message and what followed it. Tells whether there was one.
    pub fn undo(&mut self) -> bool {
        self.undo_to_prompt().is_some()
    }

    /// Takes back the last turn and returns the user's message.
    pub fn undo_to_prompt(&mut self) -> Option<String> {
        let last = self.transcript.iter().rposition(|m| m.role == Role::User)?;
        let removed = self.transcript.drain(last..).next();
        removed.map(|message| message.content)
    }

    /// Answers `prompt` as the user's next message. Pieces of the reply go to `each` as they come, whole characters
    /// only. On an error, a stop included, transcript and cache are as before the call.
    pub fn respond(
        &mut self,
        prompt: &str,
        options: &GenerationOptions,
        stop: &Stop,
        each: &mut dyn FnMut(&str),
    ) -> Result<Reply, Error> {
        if prompt.is_empty() {
            return Err(Error::EmptyPrompt);
        }
        let _running = stop.begin();
        let (cache, fed, turns) = (self.context.snapshot(), self.fed.clone(), self.transcript.len());
        self.transcript.push(Message::new(Role::User, prompt));
        let result = self.answer(options, stop, each);
        match &result {
            Ok(reply) => self.transcript.push(Message::new(Role::Assistant, reply.text.clone())),
            Err(_) => {
                self.transcript.truncate(turns);
                self.context.restore(cache);
                self.fed = fed;
            }
        }
        result
    }

    fn prompt_ids(&self) -> Result<Vec<u32>, Error> {
        let model = self.context.model().clone();
        let tokenizer = model.tokenizer();
        let token = |id: Option<u32>| id.map(|id| tokenizer.text(&[id])).transpose();
        let (bos, eos) = (token(tokenizer.bos())?, token(tokenizer.eos())?);
        let chat = Chat {
            tools: &self.options.tools,
            enable_thinking: self.options.thinking,
            bos_token: bos.as_deref(),
            eos_token: eos.as_deref(),
            ..Chat::new(&self.transcript)
        };
        let text = self.template.render(&chat)?;
        // Files differ in whether their template writes the token that begins a text; it must stand there once.
        let written = bos.as_ref().is_some_and(|bos| !bos.is_empty() && text.starts_with(bos.as_str()));
        let ids = tokenizer.encode(&text, SpecialTokens::Parse, tokenizer.adds_bos() && !written)?;
        if ids.is_empty() { Err(Error::EmptyPrompt) } else { Ok(ids) }
    }

    fn answer(&mut self, options: &GenerationOptions, stop: &Stop, each: &mut dyn FnMut(&str)) -> Result<Reply, Error> {
        let start = Instant::now();
        let model = self.context.model().clone();
        let tokenizer = model.tokenizer();
        let mut sampler = Sampler::new(options.sampler.clone(), model.config.vocabulary)?;
        let stops = self.template.stops().iter().copied();
        let mut stream = TextStream::new(&stops.chain(options.stop.iter().map(String::as_str)).collect::<Vec<_>>())?;
        let ids = self.prompt_ids()?;
        if ids.len() >= self.limit() {
            return Err(Error::ContextFull { used: ids.len() + 1, limit: self.limit() });
        }
        // At least one token is fed: its logits are the first of the reply.
        let same = self.fed.iter().zip(&ids).take_while(|(a, b)| a == b).count().min(ids.len() - 1);
        self.context.truncate(same);
        self.fed.truncate(same);
        for &id in &ids {
            sampler.accept(id);
        }

        let mut text = String::new();
        let mut bytes = Vec::new();
        let mut reply = Reply {
            text: String::new(),
            stop: StopReason::MaxTokens,
            prompt_tokens: ids.len(),
            cached_tokens: same,
            generated_tokens: 0,
            first_token_ms: 0.0,
            tokens_per_s: 0.0,
        };
        let mut first = start;
        let mut next: Vec<u32> = ids[same..].to_vec();
        while reply.generated_tokens < options.max_tokens {
            let logits = self.context.feed(&next, &stop.0.stop)?;
            let id = sampler.sample(logits).ok_or(Error::Internal { what: "no token is possible" })?;
            self.fed.extend_from_slice(&next);
            if reply.generated_tokens == 0 {
                first = Instant::now();
                reply.first_token_ms = (first - start).as_secs_f64() * 1e3;
            }
            reply.generated_tokens += 1;
            if tokenizer.is_end(id) {
                reply.stop = StopReason::EndOfTurn;
                break;
            }
            sampler.accept(id);
            bytes.clear();
            tokenizer.token_bytes(id, &mut bytes)?;
            let piece = stream.push(&bytes);
            if !piece.is_empty() {
                text.push_str(piece);
                each(piece);
            }
            if stream.stopped_by().is_some() {
                reply.stop = StopReason::StopString;
                break;
            }
            next.clear();
            next.push(id);
        }
        let rest = stream.finish();
        if !rest.is_empty() {
            text.push_str(rest);
            each(rest);
        }
        let after_first = (reply.generated_tokens.max(1) - 1) as f64;
        reply.tokens_per_s = after_first / first.elapsed().as_secs_f64().max(1e-9);
        reply.text = text;
        Ok(reply)
    }
}
