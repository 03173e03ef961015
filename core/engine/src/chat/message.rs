//! The turns of a conversation and the tools offered in it, as an app writes them and as a template sees them.

use minijinja::Value;
use serde_json::Value as Json;

use super::json;

/// Who speaks in a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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

impl Role {
    /// The name that templates know.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Tool => "tool",
        }
    }
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said; may be empty where an assistant only calls tools.
    pub content: String,
    /// The model's thoughts before the content, where they were kept apart.
    pub reasoning: Option<String>,
    /// Calls the assistant made in this turn.
    pub tool_calls: Vec<ToolCall>,
    /// Of a tool's result: the tool's name.
    pub name: Option<String>,
    /// Of a tool's result: the id of the call that it answers, where calls have ids.
    pub tool_call_id: Option<String>,
}

impl Message {
    /// A turn that is only text.
    pub fn new(role: Role, content: impl Into<String>) -> Message {
        Message {
            role,
            content: content.into(),
            reasoning: None,
            tool_calls: Vec::new(),
            name: None,
            tool_call_id: None,
        }
    }

    /// The result of a tool.
    pub fn tool_result(name: impl Into<String>, content: impl Into<String>) -> Message {
        Message { name: Some(name.into()), ..Message::new(Role::Tool, content) }
    }

    /// The turn as Hugging Face's renderer hands it to a template: absent parts have no key, because templates ask
    /// `'tool_calls' in message`; thoughts go by both names in use.
    pub(super) fn to_value(&self) -> Value {
        let mut pairs =
            vec![("role", Value::from(self.role.as_str())), ("content", Value::from(self.content.as_str()))];
        if let Some(reasoning) = &self.reasoning {
            pairs.push(("reasoning_content", Value::from(reasoning.as_str())));
            pairs.push(("thinking", Value::from(reasoning.as_str())));
        }
        if !self.tool_calls.is_empty() {
            pairs.push(("tool_calls", self.tool_calls.iter().map(ToolCall::to_value).collect()));
        }
        if let Some(name) = &self.name {
            pairs.push(("name", Value::from(name.as_str())));
        }
        if let Some(id) = &self.tool_call_id {
            pairs.push(("tool_call_id", Value::from(id.as_str())));
        }
        Value::from_pairs(pairs)
    }
}

/// A call that the model makes.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolCall {
    /// The call's id, where the template's convention has ids.
    pub id: Option<String>,
    /// Name of the tool.
    pub name: String,
    /// The arguments: a JSON object.
    pub arguments: Json,
}

impl ToolCall {
    fn to_value(&self) -> Value {
        let function = Value::from_pairs([
            ("name", Value::from(self.name.as_str())),
            ("arguments", json::to_value(&self.arguments)),
        ]);
        let mut pairs = vec![("type", Value::from("function")), ("function", function)];
        if let Some(id) = &self.id {
            pairs.push(("id", Value::from(id.as_str())));
        }
        Value::from_pairs(pairs)
    }
}

/// A tool that the model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    /// Name to call it by.
    pub name: String,
    /// What it does, for the model to read.
    pub description: String,
    /// JSON schema of its arguments; shown to the model in this order of keys.
    pub parameters: Json,
}

impl Tool {
    /// The tool in the form that templates print: `{"type": "function", "function": {name, description, parameters}}`.
    pub(super) fn to_value(&self) -> Value {
        let function = Value::from_pairs([
            ("name", Value::from(self.name.as_str())),
            ("description", Value::from(self.description.as_str())),
            ("parameters", json::to_value(&self.parameters)),
        ]);
        Value::from_pairs([("type", Value::from("function")), ("function", function)])
    }
}
