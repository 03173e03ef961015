//! From the bytes of tokens to events: text, thoughts and tool calls, each apart and none of them twice.

use super::conversation::Conversation;
use super::options::GenerationOptions;
use super::reply::{Event, Partial};
use super::stream::Queue;
use crate::chat::{CallConvention, CallParse, ChatTemplate, ToolCall, parse_tool_calls};
use crate::error::Error;
use crate::text::{Section, SectionMarks, SectionSplitter, TextStream};

/// What the beginning of a reply shows where a call is the whole reply.
const WHOLE_CALL: [&str; 3] = ["{", "```", "<|python_tag|>"];

/// Tells one reply to the reader, and keeps what was told.
pub(super) struct Teller<'a> {
    queue: &'a Queue,
    stream: TextStream,
    sections: SectionSplitter,
    /// How the model writes calls, where there are tools to call.
    convention: Option<CallConvention>,
    /// The beginning of an answer that may be a call as a whole.
    held: Option<String>,
    /// What stands in the call that is being written.
    call: String,
    told: Partial,
    calls: Vec<ToolCall>,
    pieces: Vec<(Section, String)>,
}

impl<'a> Teller<'a> {
    /// For the reply to a prompt.
    pub fn new(
        queue: &'a Queue,
        template: &ChatTemplate,
        conversation: &Conversation,
        options: &GenerationOptions,
    ) -> Result<Self, Error> {
        let stops = template.stops().iter().copied().chain(options.stop.iter().map(String::as_str));
        let convention = (!conversation.tools.is_empty()).then(|| CallConvention::detect(template.source()));
        let call_marks = convention.and_then(CallConvention::marks);
        // Marks that the template does not know are text like any other.
        let thinks = template.source().contains("think>").then_some(SectionMarks::THINK);
        let calls = call_marks.map(|(open, close)| SectionMarks { section: Section::ToolCall, open, close });
        let marks: Vec<SectionMarks<'_>> = thinks.into_iter().chain(calls).collect();
        Ok(Self {
            queue,
            stream: TextStream::new(&stops.collect::<Vec<_>>())?,
            sections: SectionSplitter::new(&marks),
            held: (convention.is_some() && call_marks.is_none()).then(String::new),
            convention,
            call: String::new(),
            told: Partial::default(),
            calls: Vec::new(),
            pieces: Vec::new(),
        })
    }

    /// Says what the prompt was: it may have begun a thought.
    pub fn begin_after(&mut self, prompt: &str) {
        self.sections.begin_after(prompt);
    }

    /// Takes a token's bytes. An error means that nobody reads any more.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let pieces = &mut self.pieces;
        self.sections.push(self.stream.push(bytes), |section, text| pieces.push((section, text.to_owned())));
        self.tell()
    }

    /// Whether a stop string came.
    pub fn is_stopped(&self) -> bool {
        self.stream.stopped_by().is_some()
    }

    /// Tells what was held back.
    pub fn finish(&mut self) -> Result<(), Error> {
        let pieces = &mut self.pieces;
        self.sections.push(self.stream.finish(), |section, text| pieces.push((section, text.to_owned())));
        self.sections.finish(|section, text| pieces.push((section, text.to_owned())));
        self.tell()?;
        self.end_call()?;
        match (self.held.take(), self.convention) {
            (Some(held), Some(convention)) if !held.is_empty() => match parse_tool_calls(&held, convention) {
                CallParse::Text => self.text(held),
                parse => self.parsed(parse, &held),
            },
            _ => Ok(()),
        }
    }

    /// What was told so far.
    pub fn into_parts(self) -> (Partial, Vec<ToolCall>) {
        let Self { mut told, calls, .. } = self;
        if !calls.is_empty() {
            // White space around calls is the convention's, not the answer's.
            told.text = told.text.trim().to_owned();
        }
        (told, calls)
    }

    fn tell(&mut self) -> Result<(), Error> {
        let mut result = Ok(());
        for (section, piece) in std::mem::take(&mut self.pieces) {
            let told = match section {
                Section::ToolCall => {
                    self.call.push_str(&piece);
                    Ok(())
                }
                Section::Thinking => self.thought(piece),
                Section::Answer => self.end_call().and(self.answer(piece)),
            };
            result = result.and(told);
        }
        if self.sections.section() != Section::ToolCall {
            result = result.and(self.end_call());
        }
        result
    }

    fn thought(&mut self, piece: String) -> Result<(), Error> {
        self.told.thinking.push_str(&piece);
        self.queue.push(Event::Thinking(piece))
    }

    fn text(&mut self, piece: String) -> Result<(), Error> {
        self.told.text.push_str(&piece);
        self.queue.push(Event::Text(piece))
    }

    fn answer(&mut self, piece: String) -> Result<(), Error> {
        let Some(held) = &mut self.held else { return self.text(piece) };
        held.push_str(&piece);
        let start = held.trim_start();
        if WHOLE_CALL.iter().any(|mark| start.starts_with(mark) || mark.starts_with(start)) {
            return Ok(());
        }
        let text = self.held.take().unwrap_or_default();
        self.text(text)
    }

    /// Parses the call that has just been closed, if one was open.
    fn end_call(&mut self) -> Result<(), Error> {
        let body = std::mem::take(&mut self.call);
        let Some(convention) = self.convention else { return Ok(()) };
        let (open, close) = convention.marks().unwrap_or_default();
        if body.is_empty() {
            return Ok(());
        }
        let whole = format!("{open}{body}{}", close.unwrap_or_default());
        self.parsed(parse_tool_calls(&whole, convention), &whole)
    }

    fn parsed(&mut self, parse: CallParse, whole: &str) -> Result<(), Error> {
        match parse {
            CallParse::Calls { calls, .. } => {
                self.calls.extend(calls.iter().cloned());
                calls.into_iter().try_for_each(|call| self.queue.push(Event::ToolCall(call)))
            }
            CallParse::Malformed { text, fault } => {
                self.told.text.push_str(whole);
                self.queue.push(Event::ToolCallFailed { text, fault })
            }
            CallParse::Text => self.text(whole.to_owned()),
        }
    }
}
