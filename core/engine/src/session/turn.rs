//! One turn, on a thread of its own: it either becomes part of the conversation, or everything is as before.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::conversation::Conversation;
use super::options::GenerationOptions;
use super::reply::{Partial, Reply, StopReason};
use super::state::{Engine, Inner};
use super::stream::Queue;
use super::teller::Teller;
use super::writer::Writer;
use crate::error::Error;
use crate::model::Guard;

/// A turn about to be made.
pub(super) struct Turn {
    pub inner: Arc<Inner>,
    /// The conversation that it answers.
    pub conversation: Conversation,
    pub options: GenerationOptions,
    pub queue: Arc<Queue>,
    /// Counts it among those that closing the model stops.
    pub guard: Guard,
}

impl Turn {
    /// Generates, then commits or undoes; the reader learns of it last.
    pub fn run(mut self) {
        let Some(mut engine) = self.inner.lock().engine.take() else {
            // Closed between the call and now.
            self.inner.finish(None, |_| {});
            return self.queue.end(Err(Error::Closed));
        };
        // What was read between two turns is not this one's.
        let _read_before = engine.context.take_computed();
        let mut partial = None;
        let result = self.transaction(&mut engine, &mut partial);
        let (restraint, computed) = (engine.context.take_restraint(), engine.context.take_computed());
        let result = result.map(|reply| Reply { restraint, computed, memory: engine.memory(), ..reply });
        let Self { inner, mut conversation, queue, guard, .. } = self;
        inner.finish(Some(engine), |state| {
            state.partial = partial;
            if let Ok(reply) = &result {
                conversation.messages.push(reply.message());
                state.conversation = conversation;
            }
        });
        drop(guard);
        // Whoever sees the end may drop the session and expect its memory back: nothing of it is held here any more.
        drop(inner);
        queue.end(result);
    }

    /// The reply; if there is none, the engine is as it was before.
    fn transaction(&mut self, engine: &mut Engine, partial: &mut Option<Partial>) -> Result<Reply, Error> {
        let before = engine.snapshot()?;
        let work = AssertUnwindSafe(|| self.answer(engine, partial));
        let result = catch_unwind(work).unwrap_or(Err(Error::Internal { what: "a turn panicked" }));
        if result.is_err() {
            engine.restore(before);
        }
        result
    }

    /// The reply; if there is none, what was written of it is left in `partial`.
    fn answer(&mut self, engine: &mut Engine, partial: &mut Option<Partial>) -> Result<Reply, Error> {
        let Self { inner, conversation, options, queue, .. } = self;
        let mut teller = Teller::new(queue, &inner.template, conversation, options)?;
        let mut writer = Writer::new(inner, options, queue, engine, conversation, &mut teller)?;
        let written = writer.write().and_then(|stop| {
            writer.teller.finish()?;
            queue.drained()?;
            // The last tokens' texts were read from the file after the last pass.
            inner.model.file.check()?;
            Ok(stop)
        });
        let written = match written {
            Err(Error::Stopped) if options.keep_partial && writer.has_begun() => {
                // Nobody may be reading; what was held back belongs to the reply all the same.
                let _unread = writer.teller.finish();
                Ok(StopReason::Stopped)
            }
            written => written,
        };
        let reply = written.map(|stop| writer.reply(stop));
        let (told, tool_calls) = teller.into_parts();
        match reply {
            Ok(reply) => Ok(Reply { text: told.text, thinking: told.thinking, tool_calls, ..reply }),
            Err(error) => {
                *partial = Some(told);
                Err(error)
            }
        }
    }
}
