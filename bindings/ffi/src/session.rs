//! A conversation.

use std::sync::Arc;

use crate::error::FfiError;
use crate::event::Partial;
use crate::memory::{Memory, Trim};
use crate::message::{Input, Message, Tool};
use crate::options::{GenerationOptions, KvFormat};
use crate::stream::ReplyStream;

/// A conversation with a model.
#[derive(uniffi::Object)]
pub struct Session(sprat::Session);

impl Session {
    pub(crate) fn new(session: sprat::Session) -> Arc<Self> {
        Arc::new(Self(session))
    }
}

#[uniffi::export]
impl Session {
    /// Begins a turn on a thread of its own; the stream brings the reply. Waits for a turn that is stopping.
    pub fn stream(&self, input: Input, options: GenerationOptions) -> Result<Arc<ReplyStream>, FfiError> {
        Ok(ReplyStream::new(self.0.stream(sprat::Input::from(input), &options.into())?))
    }

    /// Reads the conversation so far into the cache and tells how many tokens that is. Waits for it; `stop` ends it, and
    /// then it is none.
    pub fn prewarm(&self) -> Result<Option<u64>, FfiError> {
        match self.0.prewarm() {
            Err(sprat::Error::Stopped) => Ok(None),
            read => Ok(Some(read? as u64)),
        }
    }

    /// Stops the turn that runs, if any.
    pub fn stop(&self) -> Result<(), FfiError> {
        self.0.stop();
        Ok(())
    }

    /// Whether a turn runs.
    pub fn is_responding(&self) -> Result<bool, FfiError> {
        Ok(self.0.is_responding())
    }

    /// Whether a turn is stopping, which takes milliseconds.
    pub fn is_stopping(&self) -> Result<bool, FfiError> {
        Ok(self.0.is_stopping())
    }

    /// What the last turn had written, if it failed or was stopped and undone.
    pub fn partial(&self) -> Result<Option<Partial>, FfiError> {
        Ok(self.0.partial().map(Partial::from))
    }

    /// The messages so far, instructions first.
    pub fn transcript(&self) -> Result<Vec<Message>, FfiError> {
        Ok(self.0.transcript().into_iter().map(Message::from).collect())
    }

    /// Replaces all messages.
    pub fn set_transcript(&self, messages: Vec<Message>) -> Result<(), FfiError> {
        let messages: Result<Vec<_>, FfiError> = messages.into_iter().map(TryInto::try_into).collect();
        Ok(self.0.set_transcript(messages?)?)
    }

    /// Replaces the instructions.
    pub fn set_instructions(&self, instructions: Option<String>) -> Result<(), FfiError> {
        Ok(self.0.set_instructions(instructions.as_deref())?)
    }

    /// Replaces the tools.
    pub fn set_tools(&self, tools: Vec<Tool>) -> Result<(), FfiError> {
        let tools: Result<Vec<_>, FfiError> = tools.into_iter().map(TryInto::try_into).collect();
        Ok(self.0.set_tools(tools?)?)
    }

    /// Takes back the last turn and returns its prompt.
    pub fn undo(&self) -> Result<Option<String>, FfiError> {
        Ok(self.0.undo()?.map(|message| message.content))
    }

    /// A second conversation that begins as this one is.
    pub fn fork(&self) -> Result<Arc<Self>, FfiError> {
        Ok(Self::new(self.0.fork()?))
    }

    /// Writes the session to a file: it is there whole, or as it was before.
    pub fn save(&self, path: String) -> Result<(), FfiError> {
        Ok(self.0.save(path)?)
    }

    /// As `save`, with keys and values stored as `format`: a smaller file, and a session that is only near this one.
    pub fn save_as(&self, path: String, format: KvFormat) -> Result<(), FfiError> {
        Ok(self.0.save_as(path, format.into())?)
    }

    /// Whether the cache is only near what computing the conversation gives.
    pub fn is_approximate(&self) -> Result<bool, FfiError> {
        Ok(self.0.is_approximate())
    }

    /// Messages of the transcript, from the first after the instructions on, that the model sees no more.
    pub fn messages_left_out(&self) -> Result<u64, FfiError> {
        Ok(self.0.messages_left_out() as u64)
    }

    /// Tokens in the cache.
    pub fn tokens_used(&self) -> Result<u64, FfiError> {
        Ok(self.0.tokens_used() as u64)
    }

    /// Tokens the context may hold.
    pub fn context_limit(&self) -> Result<u64, FfiError> {
        Ok(self.0.context_limit() as u64)
    }

    /// Tokens of the prompt that a turn with this input would read, the conversation so far included.
    pub fn count_tokens(&self, input: Input) -> Result<u64, FfiError> {
        Ok(self.0.count_tokens(sprat::Input::from(input))? as u64)
    }

    /// Gives memory back; nothing is lost but time.
    pub fn trim(&self, level: Trim) -> Result<(), FfiError> {
        Ok(self.0.trim(level.into())?)
    }

    /// Memory of this session and its model.
    pub fn memory(&self) -> Result<Memory, FfiError> {
        Ok(self.0.memory().into())
    }

    /// Stops the turn that runs and gives the cache back; no other turn can begin.
    pub fn close(&self) -> Result<(), FfiError> {
        self.0.close();
        Ok(())
    }
}

/// The messages of a saved session, which any model can take up.
#[uniffi::export]
pub fn saved_transcript(path: String) -> Result<Vec<Message>, FfiError> {
    Ok(sprat::SavedSession::open(path)?.transcript().iter().cloned().map(Message::from).collect())
}
