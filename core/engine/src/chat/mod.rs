//! From a conversation to the prompt a model was trained on, and from a reply back to the tool calls in it.
//!
//! A template is a Jinja program that travels in the model's file and is as untrusted as the rest of it: it runs with a
//! budget of work and memory, a depth limit and a length limit, and sees nothing but the conversation.

mod builtin;
mod call_parser;
mod guard;
mod json;
mod message;
mod namespace;
mod paid;
mod python;
mod tags;
mod template;
mod time;

#[cfg(test)]
mod oracle_tests;

pub use call_parser::{CallConvention, CallFault, CallParse, parse_tool_calls};
pub use message::{Message, Role, Tool, ToolCall};
pub use template::{Chat, ChatTemplate};
pub use time::LocalTime;
