//! What can be wrong with a chat template or its messages.

/// What can be wrong with a chat template or its messages.
///
/// No variant carries text of the conversation: `reason` and `message` hold only words of the template or of the renderer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChatError {
    /// The template is not valid Jinja. Found when the file is opened.
    #[error("the chat template is not valid at line {line}: {reason}")]
    Syntax {
        /// Line in the template, from 1.
        line: usize,
        /// What the parser says.
        reason: String,
    },
    /// The template is longer than any real one.
    #[error("the chat template has {len_bytes} bytes, the limit is {limit_bytes}")]
    TemplateTooLong {
        /// Its length.
        len_bytes: usize,
        /// The limit.
        limit_bytes: usize,
    },
    /// No built-in template has this name.
    #[error("no built-in chat template is called `{name}` (known: {known})")]
    UnknownTemplate {
        /// The name asked for.
        name: String,
        /// All names that would do.
        known: String,
    },
    /// The template refuses this conversation (`raise_exception`): roles out of order, a system turn it does not know, …
    #[error("the chat template refuses the conversation: {message}")]
    Refused {
        /// The template's own words; what it took from the conversation is left out.
        message: String,
    },
    /// The template failed on this conversation.
    #[error("the chat template failed at line {line}: {reason}")]
    Render {
        /// Line in the template, from 1 (0 where the renderer does not know).
        line: usize,
        /// What kind of failure.
        reason: String,
    },
    /// Rendering took more work or memory than any real template needs.
    #[error("the chat template needs too much work: stopped at line {line}")]
    TooMuchWork {
        /// Line where it was stopped, from 1 (0 where the renderer does not know).
        line: usize,
    },
    /// The rendered conversation is too long for any context.
    #[error("the rendered conversation is longer than {limit_bytes} bytes")]
    RenderedTooLong {
        /// The limit.
        limit_bytes: usize,
    },
    /// The system gives no memory for the rendered conversation.
    #[error("no memory for {bytes} bytes of a rendered conversation")]
    NoMemory {
        /// How much.
        bytes: usize,
    },
    /// The system gives no memory for the renderer's stack.
    #[error("no memory for a stack of {stack_bytes} bytes for the chat template")]
    NoStack {
        /// What was asked for.
        stack_bytes: usize,
    },
    /// Tools were given to a template that would silently ignore them.
    #[error("the chat template does not take tools")]
    NoTools,
}
