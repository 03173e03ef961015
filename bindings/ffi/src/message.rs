//! What stands in a conversation and what is put into it, as records.

use sprat::chat;

use crate::error::FfiError;

/// Who speaks in a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Role {
    /// Instructions for the whole conversation.
    System,
    /// The person, or the app on their behalf.
    User,
    /// The model.
    Assistant,
    /// The result of a tool that the model called.
    Tool,
}

impl From<chat::Role> for Role {
    fn from(role: chat::Role) -> Self {
        match role {
            chat::Role::System => Self::System,
            chat::Role::User => Self::User,
            chat::Role::Assistant => Self::Assistant,
            chat::Role::Tool => Self::Tool,
        }
    }
}

impl From<Role> for chat::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::System => Self::System,
            Role::User => Self::User,
            Role::Assistant => Self::Assistant,
            Role::Tool => Self::Tool,
        }
    }
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
    /// The model's thoughts before it, where they were kept apart.
    pub thinking: Option<String>,
    /// Calls that the model made in it.
    pub tool_calls: Vec<ToolCall>,
    /// Of a tool's result: the tool's name.
    pub name: Option<String>,
    /// Of a tool's result: the id of the call that it answers.
    pub tool_call_id: Option<String>,
}

impl From<chat::Message> for Message {
    fn from(message: chat::Message) -> Self {
        Self {
            role: message.role.into(),
            content: message.content,
            thinking: message.reasoning,
            tool_calls: message.tool_calls.into_iter().map(ToolCall::from).collect(),
            name: message.name,
            tool_call_id: message.tool_call_id,
        }
    }
}

impl TryFrom<Message> for chat::Message {
    type Error = FfiError;

    fn try_from(message: Message) -> Result<Self, FfiError> {
        let calls: Result<Vec<_>, FfiError> = message.tool_calls.into_iter().map(TryInto::try_into).collect();
        Ok(Self {
            role: message.role.into(),
            content: message.content,
            reasoning: message.thinking,
            tool_calls: calls?,
            name: message.name,
            tool_call_id: message.tool_call_id,
        })
    }
}

/// A call that the model makes.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct ToolCall {
    /// The call's id, where the template's convention has ids.
    pub id: Option<String>,
    /// Name of the tool.
    pub name: String,
    /// The arguments: a JSON object.
    pub arguments_json: String,
}

impl From<chat::ToolCall> for ToolCall {
    fn from(call: chat::ToolCall) -> Self {
        Self { id: call.id, name: call.name, arguments_json: call.arguments.to_string() }
    }
}

impl TryFrom<ToolCall> for chat::ToolCall {
    type Error = FfiError;

    fn try_from(call: ToolCall) -> Result<Self, FfiError> {
        let arguments = call.arguments_json.parse().map_err(|_| not_json("arguments of a tool call", &call.name))?;
        Ok(Self { id: call.id, name: call.name, arguments })
    }
}

/// A tool that the model may call.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Tool {
    /// Name to call it by.
    pub name: String,
    /// What it does, for the model to read.
    pub description: String,
    /// JSON schema of its arguments.
    pub parameters_json: String,
}

impl TryFrom<Tool> for chat::Tool {
    type Error = FfiError;

    fn try_from(tool: Tool) -> Result<Self, FfiError> {
        let parameters = tool.parameters_json.parse().map_err(|_| not_json("parameters of tool", &tool.name))?;
        Ok(Self { name: tool.name, description: tool.description, parameters })
    }
}

fn not_json(what: &str, name: &str) -> FfiError {
    FfiError::InvalidArgument { reason: format!("{what} `{name}`: not JSON") }
}

/// What a tool gave.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct ToolResult {
    /// Name of the tool.
    pub name: String,
    /// The id of the call, where it has one.
    pub call_id: Option<String>,
    /// The result, as the model is to read it.
    pub content: String,
}

/// What a turn answers.
#[derive(Clone, Debug, uniffi::Enum)]
pub enum Input {
    /// The user's next message.
    Text {
        /// What is said.
        text: String,
    },
    /// What the tools gave that the last reply called for.
    ToolResults {
        /// In any order.
        results: Vec<ToolResult>,
    },
    /// The last reply is taken back and made anew.
    Regenerate,
    /// A user's message is replaced, and what followed it dropped.
    Edit {
        /// Its place in the transcript.
        index: u32,
        /// The new text.
        text: String,
    },
}

impl From<Input> for sprat::Input {
    fn from(input: Input) -> Self {
        let result = |result: ToolResult| {
            let ToolResult { name, call_id, content } = result;
            sprat::ToolResult { name, call_id, content }
        };
        match input {
            Input::Text { text } => Self::Text(text),
            Input::ToolResults { results } => Self::ToolResults(results.into_iter().map(result).collect()),
            Input::Regenerate => Self::Regenerate,
            Input::Edit { index, text } => Self::Edit { index: index as usize, text },
        }
    }
}
