//! A conversation: its transcript is the source of truth, the KV cache only saves work.

mod conversation;
mod fit;
mod guess;
mod head;
mod keep;
mod options;
mod reply;
mod save;
mod saved;
mod state;
mod stream;
mod teller;
mod turn;
mod writer;

use std::sync::Arc;

pub use conversation::{Input, ToolResult};
pub use options::{GenerationOptions, SessionOptions, WhenFull};
pub use reply::{Event, Memory, Partial, Reply, StopReason, Trim};
pub use saved::SavedSession;
pub use stream::ReplyStream;

use sprat_kernels::KvFormat;

use crate::chat::{ChatTemplate, Message, Tool};
use crate::error::Error;
use crate::model::{Context, Guard, Model};
use crate::sampler::{Sampler, SamplerOptions};
use crate::threads;
use conversation::Conversation;
use state::{Engine, Inner, State};
use stream::Queue;
use turn::Turn;

/// A conversation with a model.
///
/// A handle: clones speak of the same conversation, from any thread. One turn runs at a time, on a thread of its own; while
/// it does, what would change the conversation fails with [`Error::Busy`], and what only looks sees it as it was before
/// the turn. A turn that does not come to its end changes nothing.
#[derive(Clone)]
pub struct Session {
    inner: Arc<Inner>,
}

impl Session {
    /// An empty conversation.
    pub fn new(model: &Arc<Model>, options: SessionOptions) -> Result<Self, Error> {
        let template = match &options.template {
            Some(name) => Arc::new(ChatTemplate::builtin(name)?),
            None => model.template()?,
        };
        if !options.tools.is_empty() {
            template.require_tools()?;
        }
        if options.when_full == WhenFull::SlideCached {
            model.weights.check_movable(&model.config)?;
            if options.context.kv_format == KvFormat::Q4_0 {
                return Err(Error::CannotMove { reason: "the cache is Q4_0" });
            }
        }
        // The same hash that spreads the seeds of replies.
        let seed = SamplerOptions { seed: options.seed, ..SamplerOptions::default() };
        let random = Sampler::new(seed, model.config().vocabulary)?.state().random;
        let conversation = Conversation::new(options.instructions.as_deref(), options.tools.clone(), random);
        let engine = Engine { context: Context::new(model.clone(), &options.context)?, fed: Vec::new() };
        Ok(Self { inner: Arc::new(Inner::new(model, template, options, conversation, engine)) })
    }

    /// The model it speaks with.
    pub fn model(&self) -> &Arc<Model> {
        &self.inner.model
    }

    /// Begins a turn and returns its events as they come. The turn is part of the conversation once
    /// [`Event::Done`] has come; an error, a stop and a dropped stream leave everything as it was before.
    ///
    /// # Errors
    /// At once: [`Error::Busy`], [`Error::Closed`], an input that does not fit the transcript. All else ends the stream.
    pub fn stream(&self, input: impl Into<Input>, options: &GenerationOptions) -> Result<ReplyStream, Error> {
        let mut state = self.inner.idle()?;
        let conversation = state.conversation.with(input.into())?;
        let (queue, guard) = self.new_queue()?;
        let (inner, options) = (self.inner.clone(), options.clone());
        let turn = Turn { inner, conversation, options, queue: queue.clone(), guard };
        threads::spawn("sprat-turn", threads::STACK_BYTES, Box::new(move || turn.run()))
            .map_err(|source| Error::NoThread { source })?;
        // The new thread waits for the lock that is held here.
        state.turn = Some(queue.clone());
        state.partial = None;
        Ok(ReplyStream::new(queue))
    }

    /// A queue for a turn that closing the model stops.
    fn new_queue(&self) -> Result<(Arc<Queue>, Guard), Error> {
        let queue = Arc::new(Queue::new());
        let stopped = queue.clone();
        Ok((queue, self.inner.model.running.enter(move || stopped.stop())?))
    }

    /// Reads the conversation so far into the cache, so that the next turn begins sooner; tells how many tokens that is.
    /// Waits for it; [`stop`](Self::stop) ends it, and then, or on an error, everything is as before.
    pub fn prewarm(&self) -> Result<usize, Error> {
        let mut state = self.inner.idle()?;
        let (queue, _guard) = self.new_queue()?;
        // What two prompts with different next messages have in common is what every next prompt begins with.
        let next = ["a", "1 b"].map(|text| state.conversation.with(text.into()).and_then(|c| self.inner.prompt(&c)));
        let [a, b] = next;
        let (mut ids, other) = (a?.ids, b?.ids);
        let same = ids.iter().zip(&other).take_while(|(a, b)| a == b).count();
        ids.truncate(same);
        let mut engine = state.engine.take().ok_or(Error::Closed)?;
        state.turn = Some(queue.clone());
        drop(state);
        let result = engine.snapshot().and_then(|before| {
            let result = engine.read(&ids, queue.stop_flag());
            if result.is_err() {
                engine.restore(before);
            }
            result
        });
        self.inner.finish(Some(engine), |_| {});
        result.map(|()| same)
    }

    /// Makes a turn and waits for the whole reply.
    pub fn respond(&self, input: impl Into<Input>, options: &GenerationOptions) -> Result<Reply, Error> {
        for event in self.stream(input, options)? {
            if let Event::Done(reply) = event? {
                return Ok(*reply);
            }
        }
        Err(Error::Internal { what: "a turn ended without a reply" })
    }

    /// Stops the turn that runs, if any, from any thread: it ends within a few milliseconds.
    pub fn stop(&self) {
        if let Some(turn) = &self.inner.lock().turn {
            turn.stop();
        }
    }

    /// Whether a turn runs.
    pub fn is_responding(&self) -> bool {
        self.inner.lock().turn.is_some()
    }

    /// Whether the turn that runs was told to stop.
    pub fn is_stopping(&self) -> bool {
        self.inner.lock().turn.as_ref().is_some_and(|turn| turn.is_stopped())
    }

    /// What the last turn had written, if it failed or was stopped and undone.
    pub fn partial(&self) -> Option<Partial> {
        self.inner.lock().partial.clone()
    }

    /// The messages so far, instructions first.
    pub fn transcript(&self) -> Vec<Message> {
        self.inner.lock().conversation.messages.clone()
    }

    /// Replaces all messages, as when a conversation is taken up again.
    pub fn set_transcript(&self, messages: Vec<Message>) -> Result<(), Error> {
        self.change(|conversation| conversation.set_messages(messages))
    }

    /// Replaces the instructions. The next turn reads the conversation anew under them.
    pub fn set_instructions(&self, instructions: Option<&str>) -> Result<(), Error> {
        self.change(|conversation| conversation.set_instructions(instructions))
    }

    /// Replaces the tools. The next turn reads the conversation anew with them.
    pub fn set_tools(&self, tools: Vec<Tool>) -> Result<(), Error> {
        if !tools.is_empty() {
            self.inner.template.require_tools()?;
        }
        self.change(|conversation| conversation.tools = tools)
    }

    /// Takes back the last turn, the user's message and what followed it, and returns that message.
    pub fn undo(&self) -> Result<Option<Message>, Error> {
        self.change(Conversation::undo)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Conversation) -> T) -> Result<T, Error> {
        Ok(change(&mut self.inner.idle()?.conversation))
    }

    /// A second conversation that begins as this one is. They share what the cache holds until one of them writes there.
    pub fn fork(&self) -> Result<Self, Error> {
        let state = self.inner.idle()?;
        let State { conversation, engine: Some(engine), .. } = &*state else { return Err(Error::Closed) };
        let engine = engine.fork()?;
        let Inner { model, template, options, .. } = &*self.inner;
        let inner = Inner::new(model, template.clone(), options.clone(), conversation.clone(), engine);
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Tokens in the cache.
    pub fn tokens_used(&self) -> usize {
        self.inner.lock().used
    }

    /// Whether what the cache holds is near what computing the conversation gives, not the same: see
    /// [`Reply::approximate`]. `trim(Trim::Cache)` ends it.
    pub fn is_approximate(&self) -> bool {
        self.inner.lock().approximate
    }

    /// Messages of the transcript, from the first after the instructions on, that the model sees no more.
    pub fn messages_left_out(&self) -> usize {
        self.inner.lock().conversation.left_out
    }

    /// Tokens the context may hold.
    pub fn context_limit(&self) -> usize {
        self.inner.options.context.max_positions.unwrap_or(self.inner.model.config().context_length)
    }

    /// Tokens of the prompt that a turn with this input would read, the conversation so far included.
    pub fn count_tokens(&self, input: impl Into<Input>) -> Result<usize, Error> {
        let conversation = self.inner.lock().conversation.with(input.into())?;
        Ok(self.inner.prompt(&conversation)?.ids.len())
    }

    /// Gives memory back, more of it at each level. Nothing is lost but time.
    pub fn trim(&self, level: Trim) -> Result<(), Error> {
        let mut state = self.inner.idle()?;
        let mut engine = state.engine.take().ok_or(Error::Closed)?;
        engine.trim(level);
        state.put_back(engine);
        Ok(())
    }

    /// Memory of this session and its model; while a turn runs, as it was before.
    pub fn memory(&self) -> Memory {
        let state = self.inner.lock();
        state.engine.as_ref().map_or(state.memory, Engine::memory)
    }

    /// Stops the turn that runs, gives the cache back, and lets no other turn begin. The transcript can still be read.
    pub fn close(&self) {
        self.inner.close();
    }
}
