//! One turn, on a thread of its own: it either becomes part of the conversation, or everything is as before.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use super::conversation::Conversation;
use super::options::GenerationOptions;
use super::reply::{Partial, Reply, StopReason};
use super::state::{Engine, Inner};
use super::stream::Queue;
use super::teller::Teller;
use crate::chat::ToolCall;
use crate::error::Error;
use crate::sampler::Sampler;

/// A turn about to be made.
pub(super) struct Turn {
    pub inner: Arc<Inner>,
    /// The conversation that it answers.
    pub conversation: Conversation,
    pub options: GenerationOptions,
    pub queue: Arc<Queue>,
}

/// How far a reply has come.
struct Progress {
    start: Instant,
    first: Option<Instant>,
    prompt_tokens: usize,
    cached_tokens: usize,
    generated_tokens: usize,
}

impl Turn {
    /// Generates, then commits or undoes; the reader learns of it last.
    pub fn run(self) {
        let Some(mut engine) = self.inner.lock().engine.take() else {
            // Closed between the call and now.
            self.inner.finish(None, |_| {});
            return self.queue.end(Err(Error::Closed));
        };
        let before = engine.snapshot();
        let mut partial = None;
        let work = AssertUnwindSafe(|| self.answer(&mut engine, &mut partial));
        let result = catch_unwind(work).unwrap_or(Err(Error::Internal { what: "a turn panicked" }));
        if result.is_err() {
            engine.restore(before);
        } else {
            drop(before);
        }
        let Self { inner, mut conversation, queue, .. } = self;
        let result = result.map(|reply| Reply { memory: engine.memory(), ..reply });
        inner.finish(Some(engine), |state| {
            state.partial = partial;
            if let Ok(reply) = &result {
                conversation.messages.push(reply.message());
                state.conversation = conversation;
            }
        });
        queue.end(result);
    }

    /// The reply; if there is none, what was written of it is left in `partial`.
    fn answer(&self, engine: &mut Engine, partial: &mut Option<Partial>) -> Result<Reply, Error> {
        let mut teller = Teller::new(&self.queue, &self.inner.template, &self.conversation, &self.options)?;
        let mut progress =
            Progress { start: Instant::now(), first: None, prompt_tokens: 0, cached_tokens: 0, generated_tokens: 0 };
        let written = self.write(engine, &mut teller, &mut progress).and_then(|stop| {
            teller.finish()?;
            self.queue.drained()?;
            Ok(stop)
        });
        let kept = self.options.keep_partial && progress.generated_tokens > 0;
        let stop = match written {
            Err(Error::Stopped) if kept => {
                // Nobody may be reading; what was held back belongs to the reply all the same.
                let _unread = teller.finish();
                Ok(StopReason::Stopped)
            }
            written => written,
        };
        let (told, tool_calls) = teller.into_parts();
        match stop {
            Ok(stop) => Ok(progress.reply(told, tool_calls, stop)),
            Err(error) => {
                *partial = Some(told);
                Err(error)
            }
        }
    }

    /// Feeds the prompt and generates until something ends the reply.
    fn write(
        &self,
        engine: &mut Engine,
        teller: &mut Teller<'_>,
        progress: &mut Progress,
    ) -> Result<StopReason, Error> {
        let model = &self.inner.model;
        let tokenizer = model.tokenizer();
        let mut sampler = Sampler::new(self.options.sampler.clone(), model.config().vocabulary)?;
        let prompt = self.inner.prompt(&self.conversation)?;
        let limit = engine.context.max_positions();
        if prompt.ids.len() >= limit {
            return Err(Error::ContextFull { used: prompt.ids.len() + 1, limit });
        }
        teller.begin_after(&prompt.text);
        prompt.ids.iter().for_each(|&id| sampler.accept(id));
        let same = engine.keep_common(&prompt.ids);
        (progress.prompt_tokens, progress.cached_tokens) = (prompt.ids.len(), same);

        let mut bytes = Vec::new();
        let mut next = prompt.ids[same..].to_vec();
        while progress.generated_tokens < self.options.max_tokens {
            let logits = engine.context.feed(&next, self.queue.stop_flag())?;
            let id = sampler.sample(logits).ok_or(Error::Internal { what: "no token is possible" })?;
            engine.fed.extend_from_slice(&next);
            progress.count();
            if tokenizer.is_end(id) {
                return Ok(StopReason::EndOfTurn);
            }
            sampler.accept(id);
            bytes.clear();
            tokenizer.token_bytes(id, &mut bytes)?;
            teller.push(&bytes)?;
            if teller.is_stopped() {
                return Ok(StopReason::StopString);
            }
            next.clear();
            next.push(id);
        }
        Ok(StopReason::MaxTokens)
    }
}

impl Progress {
    fn count(&mut self) {
        self.first.get_or_insert_with(Instant::now);
        self.generated_tokens += 1;
    }

    fn reply(self, told: Partial, tool_calls: Vec<ToolCall>, stop: StopReason) -> Reply {
        let first = self.first.unwrap_or(self.start);
        let after_first = self.generated_tokens.saturating_sub(1) as f64;
        Reply {
            text: told.text,
            thinking: told.thinking,
            tool_calls,
            stop,
            prompt_tokens: self.prompt_tokens,
            cached_tokens: self.cached_tokens,
            generated_tokens: self.generated_tokens,
            first_token_ms: (first - self.start).as_secs_f64() * 1e3,
            tokens_per_s: after_first / first.elapsed().as_secs_f64().max(1e-9),
            memory: Default::default(),
        }
    }
}
