//! Token by token from the prompt to the end of the reply.

use std::time::Instant;

use super::conversation::Conversation;
use super::fit::fit;
use super::guess::Guesser;
use super::keep::Kept;
use super::options::{GenerationOptions, WhenFull};
use super::reply::{Memory, Reply, StopReason};
use super::state::{Engine, Inner, Prompt, TOKENS};
use super::stream::Queue;
use super::teller::Teller;
use crate::error::Error;
use crate::error::memory::make_room;
use crate::sampler::{Sampler, SamplerState};

/// One reply in the making.
pub(super) struct Writer<'a, 'b> {
    inner: &'a Inner,
    options: &'a GenerationOptions,
    queue: &'a Queue,
    engine: &'a mut Engine,
    conversation: &'a mut Conversation,
    pub teller: &'a mut Teller<'b>,
    sampler: Sampler,
    kept: Kept,
    guesser: Guesser,
    generated: Vec<u32>,
    next: Vec<u32>, // to be fed
    bytes: Vec<u8>,
    start: Instant,
    first: Option<Instant>,
    prompt_tokens: usize,
    cached_tokens: usize,
    guessed_tokens: usize,
}

impl<'a, 'b> Writer<'a, 'b> {
    pub fn new(
        inner: &'a Inner,
        options: &'a GenerationOptions,
        queue: &'a Queue,
        engine: &'a mut Engine,
        conversation: &'a mut Conversation,
        teller: &'a mut Teller<'b>,
    ) -> Result<Self, Error> {
        let mut sampler = Sampler::new(options.sampler.clone(), inner.model.config().vocabulary)?;
        if options.sampler.seed.is_none() {
            sampler.restore(&SamplerState { random: conversation.random, recent: Vec::new() });
        }
        Ok(Self {
            inner,
            options,
            queue,
            engine,
            conversation,
            teller,
            sampler,
            kept: Kept::new(),
            guesser: Guesser::default(),
            generated: Vec::new(),
            next: Vec::new(),
            bytes: Vec::new(),
            start: Instant::now(),
            first: None,
            prompt_tokens: 0,
            cached_tokens: 0,
            guessed_tokens: 0,
        })
    }

    /// Feeds the prompt and generates until something ends the reply.
    pub fn write(&mut self) -> Result<StopReason, Error> {
        let limit = self.engine.context.max_positions();
        let room = match self.inner.options.when_full {
            WhenFull::Fail => 1,
            WhenFull::Slide | WhenFull::SlideCached => self.options.max_tokens.clamp(1, (limit / 4).max(1)),
        };
        let (prompt, left_out) = fit(self.inner, self.conversation, 0, room, limit)?;
        self.teller.begin_after(&prompt.text);
        prompt.ids.iter().for_each(|&id| self.sampler.accept(id));
        self.prompt_tokens = prompt.ids.len();
        self.cached_tokens = self.go_on_from(prompt, left_out)?;
        while self.generated.len() < self.options.max_tokens {
            if self.engine.context.len() + self.next.len() > limit {
                let (prompt, left_out) = fit(self.inner, self.conversation, self.generated.len(), 1, limit)?;
                self.go_on_from(prompt, left_out)?;
            }
            if let Some(stop) = self.step(limit)? {
                return Ok(stop);
            }
        }
        Ok(StopReason::MaxTokens)
    }

    /// What must be fed after what the cache has in common with the prompt, which lacks `left_out` tokens it had, and the
    /// reply so far; tells how much that is.
    fn go_on_from(&mut self, prompt: Prompt, left_out: usize) -> Result<usize, Error> {
        let mut ids = prompt.ids;
        make_room(&mut ids, self.generated.len(), TOKENS)?;
        ids.extend_from_slice(&self.generated);
        let moves = left_out > 0 && self.inner.options.when_full == WhenFull::SlideCached;
        let same = if moves { self.engine.close_gap(&ids, left_out)? } else { self.engine.keep_common(&ids) };
        ids.drain(..same);
        self.next = ids;
        Ok(same)
    }

    /// Feeds what is next, with guesses behind it if there are any, and takes the tokens that come of it.
    fn step(&mut self, limit: usize) -> Result<Option<StopReason>, Error> {
        let room = (limit - self.engine.context.len() - self.next.len())
            .min(self.options.max_tokens - self.generated.len() - 1)
            .min(self.engine.context.batch() - 1);
        let guesses = match self.next[..] {
            [last] if self.options.guess && self.engine.context.rewinds_exactly() => {
                self.guesser.guess(&self.engine.fed, last, room)
            }
            _ => Vec::new(),
        };
        let (start, stop_flag) = (Instant::now(), self.queue.stop_flag());
        if guesses.is_empty() {
            let Self { engine, next, sampler, .. } = self;
            let id = match sampler.decisive() {
                Some(most) => self.kept.choose(sampler, most, |head| engine.context.feed_to(next, head, stop_flag))?,
                None => sampler.sample(engine.context.feed(next, stop_flag)?),
            };
            if next.len() == 1 {
                self.guesser.learn_single(start.elapsed());
            }
            engine.note(next)?;
            next.clear();
            let id = self.or_forced(id)?;
            return self.take(id);
        }
        let base = self.engine.context.len();
        let tokens = [&self.next[..], &guesses].concat();
        self.engine.context.feed_all(&tokens, stop_flag)?;
        let elapsed = start.elapsed();
        let (right, taken) = self.take_guessed(&guesses);
        // Of the guesses the right ones stay, whatever happened; the token behind them is still to be fed.
        self.engine.context.rewind(base + 1 + right);
        self.engine.note(&tokens[..1 + right])?;
        self.guessed_tokens += right;
        self.guesser.learn_guessed(elapsed, 1 + right);
        taken
    }

    /// Takes tokens as long as they are those guessed, and the first that is not; tells how many were.
    fn take_guessed(&mut self, guesses: &[u32]) -> (usize, Result<Option<StopReason>, Error>) {
        for i in 0..=guesses.len() {
            let taken = self.choose(i).and_then(|id| Ok((id, self.take(id)?)));
            match taken {
                Ok((id, None)) if guesses.get(i) == Some(&id) => {}
                taken => return (i, taken.map(|(_, stop)| stop)),
            }
        }
        (guesses.len(), Ok(None))
    }

    /// The token that row `i` of the last pass's logits gives.
    fn choose(&mut self, i: usize) -> Result<u32, Error> {
        let id = self.sampler.sample(self.engine.context.row(i)?);
        self.or_forced(id)
    }

    /// The token to be taken where the sampler chose `id`.
    fn or_forced(&self, id: Option<u32>) -> Result<u32, Error> {
        let id = id.ok_or(Error::Internal { what: "no token is possible" })?;
        Ok(self.options.forced.get(self.generated.len()).copied().unwrap_or(id))
    }

    /// Takes a token into the reply, and tells whether it ends it.
    fn take(&mut self, id: u32) -> Result<Option<StopReason>, Error> {
        let tokenizer = self.inner.model.tokenizer();
        self.first.get_or_insert_with(Instant::now);
        make_room(&mut self.generated, 1, TOKENS)?;
        self.generated.push(id);
        if tokenizer.is_end(id) {
            return Ok(Some(StopReason::EndOfTurn));
        }
        self.sampler.accept(id);
        self.bytes.clear();
        tokenizer.token_bytes(id, &mut self.bytes)?;
        self.teller.push(&self.bytes)?;
        self.next.clear();
        self.next.push(id);
        Ok(self.teller.is_stopped().then_some(StopReason::StopString))
    }

    /// Whether a token was generated.
    pub fn has_begun(&self) -> bool {
        !self.generated.is_empty()
    }

    /// The reply, but for its text; the conversation's random numbers go on behind those it used.
    pub fn reply(&mut self, stop: StopReason) -> Reply {
        if self.options.sampler.seed.is_none() {
            self.conversation.random = self.sampler.state().random;
        }
        let first = self.first.unwrap_or(self.start);
        let after_first = self.generated.len().saturating_sub(1) as f64;
        Reply {
            text: String::new(),
            thinking: String::new(),
            tool_calls: Vec::new(),
            stop,
            prompt_tokens: self.prompt_tokens,
            cached_tokens: self.cached_tokens,
            generated_tokens: self.generated.len(),
            guessed_tokens: self.guessed_tokens,
            messages_left_out: self.conversation.left_out,
            approximate: self.engine.context.is_approximate(),
            first_token_ms: (first - self.start).as_secs_f64() * 1e3,
            tokens_per_s: after_first / first.elapsed().as_secs_f64().max(1e-9),
            computed: Default::default(),
            restraint: Default::default(),
            memory: Memory::default(),
        }
    }
}
