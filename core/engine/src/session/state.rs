//! What the handles of a session share, and who may change it when.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::conversation::Conversation;
use super::options::SessionOptions;
use super::reply::{Memory, Partial, Trim};
use super::stream::Queue;
use crate::chat::{Chat, ChatTemplate};
use crate::error::Error;
use crate::error::memory::{copied, expect_room, make_room};
use crate::file::ProcessBytes;
use crate::model::{Context, KvCache, Model};
use crate::tokenizer::SpecialTokens;

/// A session's insides.
pub(super) struct Inner {
    pub model: Arc<Model>,
    pub template: Arc<ChatTemplate>,
    pub options: SessionOptions,
    state: Mutex<State>,
    idle: Condvar,
}

/// What a turn changes, all at once and at its end.
pub(super) struct State {
    /// The source of truth.
    pub conversation: Conversation,
    /// None while a turn has it, and after the session was closed.
    pub engine: Option<Engine>,
    /// The turn that runs.
    pub turn: Option<Arc<Queue>>,
    /// What the last turn had written, if it was undone.
    pub partial: Option<Partial>,
    /// Tokens in the cache, as of the last turn.
    pub used: usize,
    /// Whether they are only near what computing gives, as of the last turn.
    pub approximate: bool,
    /// As of the last turn.
    pub memory: Memory,
    /// Whether no turn may begin any more.
    pub closed: bool,
}

/// What saves work: the cache, and which tokens it holds.
pub(super) struct Engine {
    pub context: Context,
    pub fed: Vec<u32>,
}

/// What lists of token ids are called where there is no memory for one.
pub(super) const TOKENS: &str = "token ids";

/// What a prompt takes while it is made, in bytes for each byte of the conversation: copies of its texts, the rendered one, and
/// the words that it is cut into.
const BYTES_PER_BYTE: usize = 16;

/// An engine as it was.
pub(super) struct Snapshot {
    pub cache: KvCache,
    pub fed: Vec<u32>,
}

impl Engine {
    pub fn snapshot(&self) -> Result<Snapshot, Error> {
        Ok(Snapshot { cache: self.context.snapshot(), fed: copied(&self.fed, TOKENS)? })
    }

    /// A second engine that goes on from here.
    pub fn fork(&self) -> Result<Self, Error> {
        Ok(Self { context: self.context.fork()?, fed: copied(&self.fed, TOKENS)? })
    }

    /// Notes that the cache holds `ids` more.
    pub fn note(&mut self, ids: &[u32]) -> Result<(), Error> {
        make_room(&mut self.fed, ids.len(), TOKENS)?;
        self.fed.extend_from_slice(ids);
        Ok(())
    }

    pub fn restore(&mut self, snapshot: Snapshot) {
        self.context.restore(snapshot.cache);
        self.fed = snapshot.fed;
    }

    /// Leaves exactly `ids` in the cache.
    pub fn read(&mut self, ids: &[u32], stop: &AtomicBool) -> Result<(), Error> {
        let same = self.keep_common(ids);
        if same < ids.len() {
            self.context.feed(&ids[same..], stop)?;
            self.note(&ids[same..])?;
        }
        Ok(())
    }

    /// Keeps what the cache has in common with `ids`, the last of them left out: to be fed for its logits. Tells how
    /// many tokens stay.
    pub fn keep_common(&mut self, ids: &[u32]) -> usize {
        let same = if self.context.is_lost() { 0 } else { common(&self.fed, ids) };
        let at = self.context.rewind(same.min(ids.len().saturating_sub(1)));
        self.fed.truncate(at);
        at
    }

    /// As [`Self::keep_common`], where `ids` lacks `gap` tokens of what was fed: what stands behind them moves up.
    pub fn close_gap(&mut self, ids: &[u32], gap: usize) -> Result<usize, Error> {
        if self.context.is_lost() {
            return Ok(self.keep_common(ids));
        }
        let start = common(&self.fed, ids);
        let behind = self.fed.get(start + gap..).map_or(0, |behind| common(behind, &ids[start..]));
        // The last token is fed for its logits.
        let behind = behind.min((ids.len() - start).saturating_sub(1));
        if behind == 0 {
            return Ok(self.keep_common(ids));
        }
        self.context.close_gap(start..start + gap, behind)?;
        self.fed.drain(start..start + gap);
        self.fed.truncate(start + behind);
        Ok(start + behind)
    }
}

/// How many tokens two texts begin with alike.
fn common(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// A conversation as the model reads it.
pub(super) struct Prompt {
    pub text: String,
    pub ids: Vec<u32>,
}

impl Inner {
    pub fn new(
        model: &Arc<Model>,
        template: Arc<ChatTemplate>,
        options: SessionOptions,
        conversation: Conversation,
        engine: Engine,
    ) -> Self {
        let mut state = State {
            conversation,
            engine: None,
            turn: None,
            partial: None,
            used: 0,
            approximate: false,
            memory: Memory::default(),
            closed: false,
        };
        state.put_back(engine);
        Self { model: model.clone(), template, options, state: Mutex::new(state), idle: Condvar::new() }
    }

    /// The state, whatever goes on.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state while no turn runs. Waits for one that is stopping, and fails on one that goes on.
    pub fn idle(&self) -> Result<MutexGuard<'_, State>, Error> {
        let mut state = self.lock();
        loop {
            match &state.turn {
                _ if state.closed => return Err(Error::Closed),
                None => return Ok(state),
                Some(turn) if turn.is_stopped() => {
                    state = self.idle.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                Some(_) => return Err(Error::Busy),
            }
        }
    }

    /// Ends a turn: the engine comes back, and what `change` does to the state is seen at once.
    pub fn finish(&self, engine: Option<Engine>, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        state.turn = None;
        if let Some(engine) = engine.filter(|_| !state.closed) {
            state.put_back(engine);
        }
        drop(state);
        self.idle.notify_all();
    }

    /// Lets no turn begin any more, stops the one that runs, and gives the cache back.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.engine = None;
        while let Some(turn) = state.turn.clone() {
            turn.stop();
            state = self.idle.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The conversation through the template and the tokenizer.
    pub fn prompt(&self, conversation: &Conversation) -> Result<Prompt, Error> {
        // The vocabulary is in the file.
        self.model.file.check()?;
        let tokenizer = self.model.tokenizer();
        let token = |id: Option<u32>| id.map(|id| tokenizer.text(&[id])).transpose();
        let (bos, eos) = (token(tokenizer.bos())?, token(tokenizer.eos())?);
        if !conversation.tools.is_empty() {
            self.template.require_tools()?;
        }
        expect_room(conversation.len_bytes().saturating_mul(BYTES_PER_BYTE), "a prompt")?;
        let messages = conversation.shown();
        let chat = Chat {
            tools: &conversation.tools,
            enable_thinking: self.options.thinking,
            bos_token: bos.as_deref(),
            eos_token: eos.as_deref(),
            ..Chat::new(&messages)
        };
        let text = self.template.render(&chat)?;
        // Files differ in whether their template writes the token that begins a text; it must stand there once.
        let written = bos.as_ref().is_some_and(|bos| !bos.is_empty() && text.starts_with(bos.as_str()));
        let ids = tokenizer.encode(&text, SpecialTokens::Parse, tokenizer.adds_bos() && !written)?;
        if ids.is_empty() { Err(Error::EmptyPrompt) } else { Ok(Prompt { text, ids }) }
    }
}

impl State {
    pub fn put_back(&mut self, engine: Engine) {
        self.used = engine.context.len();
        self.approximate = engine.context.is_approximate();
        self.memory = engine.memory();
        self.engine = Some(engine);
    }
}

impl Engine {
    /// Gives memory back; what the cache held is computed anew when it is needed.
    pub fn trim(&mut self, level: Trim) {
        self.context.release_scratch();
        if level >= Trim::Cache {
            self.context.rewind(0);
            self.fed = Vec::new();
        }
        if level >= Trim::Pages {
            self.context.model().release_pages();
        }
    }

    /// Memory of the session and its model.
    pub fn memory(&self) -> Memory {
        let (model, process) = (self.context.model(), ProcessBytes::now());
        Memory {
            mapped: model.file.len_bytes(),
            resident: process.file.min(model.file.len_bytes()),
            kv: self.context.kv_bytes(),
            scratch: self.context.scratch_bytes(),
            allocated: model.anonymous_bytes(),
            anonymous: process.anonymous,
        }
    }
}
