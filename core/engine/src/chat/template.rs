//! A chat template: parsed once when a file is opened, rendered for every turn.

use std::fmt;
use std::io;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{Environment, ErrorKind, State, UndefinedBehavior};
use serde_json::Value as Json;

use super::builtin;
use super::guard;
use super::json;
use super::message::{Message, Tool};
use super::namespace::namespace;
use super::paid;
use super::python;
use super::tags::rewrite_tags;
use super::time::LocalTime;
use crate::error::ChatError;
use crate::threads;

/// Name of the one template in each environment.
const NAME: &str = "chat_template";

/// The longest templates in use have some 30 KB.
const MAX_TEMPLATE_BYTES: usize = 64 << 10;

/// Stack for parsing and rendering. A template nests brackets, operators or values at most once per two of its bytes
/// (its only way to do so in a loop is closed, see `namespace`), and the renderer recurses over them without a limit of
/// its own. Pages that are not touched cost nothing.
const BASE_STACK_BYTES: usize = 512 << 10;
const STACK_BYTES_PER_BYTE: usize = 1 << 10;

/// No context holds a tenth of it.
const MAX_RENDERED_BYTES: usize = 16 << 20;

/// Work and memory any template may use: one unit is an instruction or 64 bytes, so this bounds memory to 32 MB. What
/// the renderer would charge for only when it is there, `guard` charges for before.
const BASE_FUEL: u64 = 500_000;

/// Further work per turn: the longest templates take some hundred instructions for one.
const FUEL_PER_MESSAGE: u64 = 2_000;

/// Nested blocks, macros and loops. Each level takes a few hundred bytes of a thread's stack, which may be small.
const MAX_DEPTH: usize = 120;

/// What a template is given.
#[derive(Debug, Clone)]
pub struct Chat<'a> {
    /// The turns, first to last.
    pub messages: &'a [Message],
    /// The tools offered; empty for none.
    pub tools: &'a [Tool],
    /// Whether the prompt ends where the assistant begins to speak.
    pub add_generation_prompt: bool,
    /// Whether the model is to think first; `None` leaves it to the template.
    pub enable_thinking: Option<bool>,
    /// Text of the file's token that begins a text, if it has one.
    pub bos_token: Option<&'a str>,
    /// Text of the file's token that ends a text, if it has one.
    pub eos_token: Option<&'a str>,
    /// Further variables by name, for templates that have switches of their own.
    pub extra: &'a [(&'a str, Json)],
    /// What `strftime_now` tells; without it the function is undefined, and templates fall back on a fixed date.
    pub now: Option<LocalTime>,
}

impl<'a> Chat<'a> {
    /// A chat that asks for the assistant's next turn, with everything else left out.
    pub fn new(messages: &'a [Message]) -> Chat<'a> {
        Chat {
            messages,
            tools: &[],
            add_generation_prompt: true,
            enable_thinking: None,
            bos_token: None,
            eos_token: None,
            extra: &[],
            now: None,
        }
    }
}

/// A parsed chat template.
#[derive(Clone)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    source: String,
    stops: &'static [&'static str],
    takes_tools: bool,
}

impl ChatTemplate {
    /// Parses a file's own template.
    ///
    /// # Errors
    /// [`ChatError::Syntax`] with line and reason; [`ChatError::TemplateTooLong`].
    pub fn parse(source: &str) -> Result<ChatTemplate, ChatError> {
        if source.len() > MAX_TEMPLATE_BYTES {
            return Err(ChatError::TemplateTooLong { len_bytes: source.len(), limit_bytes: MAX_TEMPLATE_BYTES });
        }
        on_own_stack(source.len(), || ChatTemplate::parse_here(source))?
    }

    fn parse_here(source: &str) -> Result<ChatTemplate, ChatError> {
        // As Jinja2 does: a template written on Windows must not put its line ends into the prompt.
        let lines = source.replace("\r\n", "\n").replace('\r', "\n");
        let mut environment = environment();
        environment.add_template_owned(NAME, rewrite_tags(&lines)).map_err(|error| ChatError::Syntax {
            line: error.line().unwrap_or(0),
            reason: error.detail().map_or_else(|| error.kind().to_string(), str::to_owned),
        })?;
        let takes_tools =
            environment.get_template(NAME).is_ok_and(|template| template.undeclared_variables(false).contains("tools"));
        Ok(ChatTemplate { environment, source: source.to_owned(), stops: &[], takes_tools })
    }

    /// The built-in template of this name, for files that carry none.
    ///
    /// # Errors
    /// [`ChatError::UnknownTemplate`], with all names.
    pub fn builtin(name: &str) -> Result<ChatTemplate, ChatError> {
        let found = builtin::find(name).ok_or_else(|| ChatError::UnknownTemplate {
            name: name.to_owned(),
            known: ChatTemplate::builtin_names().collect::<Vec<_>>().join(", "),
        })?;
        Ok(ChatTemplate { stops: found.stops, ..ChatTemplate::parse(found.source)? })
    }

    /// Names of all built-in templates.
    pub fn builtin_names() -> impl Iterator<Item = &'static str> {
        builtin::BUILTINS.iter().map(|builtin| builtin.name)
    }

    /// Name of the built-in template for a file that carries none, from its `general.architecture` and `general.name`.
    pub fn detect(architecture: &str, model_name: &str) -> Option<&'static str> {
        builtin::detect(architecture, model_name)
    }

    /// The template's text.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Texts at which a reply ends where the format has no token for it; empty for a file's own template.
    pub fn stops(&self) -> &'static [&'static str] {
        self.stops
    }

    /// Whether the template shows tools to the model. One that does not ignores them without a word.
    pub fn takes_tools(&self) -> bool {
        self.takes_tools
    }

    /// An error where tools would be ignored: to be asked before a conversation with tools begins.
    ///
    /// # Errors
    /// [`ChatError::NoTools`].
    pub fn require_tools(&self) -> Result<(), ChatError> {
        if self.takes_tools { Ok(()) } else { Err(ChatError::NoTools) }
    }

    /// The conversation as the model's prompt. It holds the template's own special tokens, the one that begins a text
    /// included: whoever tokenizes it adds none.
    ///
    /// # Errors
    /// [`ChatError::Refused`] where the template raises an exception, [`ChatError::Render`] where it fails, and the limits'
    /// own variants.
    pub fn render(&self, chat: &Chat) -> Result<String, ChatError> {
        on_own_stack(self.source.len(), || self.render_here(chat))?
    }

    fn render_here(&self, chat: &Chat) -> Result<String, ChatError> {
        let mut environment = self.environment.clone();
        environment.set_fuel(Some(fuel(chat)));
        let template = environment.get_template(NAME).map_err(|error| self.render_error(&error))?;
        let mut out = Limited::default();
        match template.render_captured_to(context(chat), &mut out) {
            Ok(_) => {}
            Err(_) if out.full => return Err(ChatError::RenderedTooLong { limit_bytes: MAX_RENDERED_BYTES }),
            Err(_) if out.lacks_bytes > 0 => return Err(ChatError::NoMemory { bytes: out.lacks_bytes }),
            Err(error) => return Err(self.render_error(&error)),
        }
        String::from_utf8(out.bytes)
            .map_err(|_| ChatError::Render { line: 0, reason: "the renderer wrote bytes that are not text".to_owned() })
    }

    /// Turns the renderer's error into ours, leaving out whatever it may quote from the conversation.
    fn render_error(&self, error: &minijinja::Error) -> ChatError {
        let line = error.line().unwrap_or(0);
        let mut source: Option<&dyn std::error::Error> = Some(error);
        while let Some(inner) = source {
            if let Some(Raised(message)) = inner.downcast_ref() {
                return ChatError::Refused { message: self.own_words(message) };
            }
            if let Some(error) = inner.downcast_ref::<minijinja::Error>()
                && error.kind() == ErrorKind::OutOfFuel
            {
                return ChatError::TooMuchWork { line };
            }
            source = inner.source();
        }
        // These name things of the template; the details of others may quote values.
        let named = matches!(
            error.kind(),
            ErrorKind::UnknownMethod
                | ErrorKind::UnknownFilter
                | ErrorKind::UnknownTest
                | ErrorKind::UnknownFunction
                | ErrorKind::MissingArgument
                | ErrorKind::TooManyArguments
        );
        ChatError::Render {
            line,
            reason: match error.detail() {
                Some(detail) if named => format!("{}: {detail}", error.kind()),
                _ => error.kind().to_string(),
            },
        }
    }

    /// The longest beginning of an exception's message that stands in the template itself.
    fn own_words(&self, message: &str) -> String {
        if self.source.contains(message) {
            return message.to_owned();
        }
        // Nothing longer than the template stands in it.
        let ends: Vec<usize> =
            message.char_indices().map(|(at, _)| at).take_while(|&end| end <= self.source.len()).collect();
        let known = ends.partition_point(|&end| self.source.contains(&message[..end]));
        format!("{}…", &message[..known.checked_sub(1).map_or(0, |last| ends[last])])
    }
}

impl fmt::Debug for ChatTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatTemplate").field("source", &self.source).finish_non_exhaustive()
    }
}

/// Runs `work` on a thread of its own whose stack is large enough for a template of this length. A panic ends there too.
fn on_own_stack<T: Send>(template_bytes: usize, work: impl FnOnce() -> T + Send) -> Result<T, ChatError> {
    let stack_bytes = BASE_STACK_BYTES + template_bytes * STACK_BYTES_PER_BYTE;
    std::thread::scope(|scope| {
        let thread =
            threads::builder("sprat-template", stack_bytes).and_then(|thread| thread.spawn_scoped(scope, work));
        let thread = thread.map_err(|_| ChatError::NoStack { stack_bytes })?;
        thread.join().map_err(|_| ChatError::Render { line: 0, reason: "internal fault".to_owned() })
    })
}

/// An environment like that of Hugging Face's `apply_chat_template`.
///
/// Known to differ: the `%` operator on strings is missing, a float printed other than by `tojson` has no exponent, and
/// values of different kinds can be compared.
fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.expect("the usual delimiters are valid"));
    environment.set_undefined_behavior(UndefinedBehavior::Lenient);
    environment.set_recursion_limit(MAX_DEPTH);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_unknown_method_callback(python::call_method);
    paid::replace_in(&mut environment);
    environment.add_filter("tojson", json::tojson);
    environment.add_filter("int", python::int);
    environment.add_filter("float", python::float);
    environment.add_test("sequence", python::is_sequence);
    environment.add_test("iterable", python::is_iterable);
    environment.add_test("callable", python::is_callable);
    environment.add_function("namespace", namespace);
    environment.add_function("raise_exception", raise_exception);
    environment
}

fn fuel(chat: &Chat) -> u64 {
    let text: usize = chat.messages.iter().map(|message| message.content.len()).sum();
    BASE_FUEL + FUEL_PER_MESSAGE * chat.messages.len() as u64 + text as u64
}

fn context(chat: &Chat) -> Value {
    let tools = if chat.tools.is_empty() { Value::from(()) } else { chat.tools.iter().map(Tool::to_value).collect() };
    let mut pairs = vec![
        ("messages", chat.messages.iter().map(Message::to_value).collect()),
        ("tools", tools),
        ("documents", Value::from(())),
        ("add_generation_prompt", Value::from(chat.add_generation_prompt)),
    ];
    let optional = [
        ("enable_thinking", chat.enable_thinking.map(Value::from)),
        ("bos_token", chat.bos_token.map(Value::from)),
        ("eos_token", chat.eos_token.map(Value::from)),
        ("strftime_now", chat.now.map(|now| Value::from_function(move |pattern: &str| now.format(pattern)))),
    ];
    pairs.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value?))));
    pairs.extend(chat.extra.iter().map(|(name, value)| (*name, json::to_value(value))));
    Value::from_pairs(pairs)
}

/// The message a template raised, kept apart from the renderer's own words.
#[derive(Debug, thiserror::Error)]
#[error("raised by the template")]
struct Raised(String);

fn raise_exception(state: &State, message: &Value) -> Result<Value, minijinja::Error> {
    guard::charge(state, message)?;
    let error = minijinja::Error::new(ErrorKind::InvalidOperation, "raised by the template");
    Err(error.with_source(Raised(message.to_string())))
}

/// A buffer that refuses to grow past the limit.
#[derive(Default)]
struct Limited {
    bytes: Vec<u8>,
    full: bool,
    /// How much there was no memory for.
    lacks_bytes: usize,
}

impl io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > MAX_RENDERED_BYTES {
            self.full = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        if self.bytes.try_reserve(bytes.len()).is_err() {
            self.lacks_bytes = self.bytes.len() + bytes.len();
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
