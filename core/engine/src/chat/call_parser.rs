//! From a reply to the tool calls in it, by the convention of the template that asked for them.

use serde_json::{Deserializer, Map, Value as Json};

use super::message::ToolCall;

/// How a model writes a tool call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallConvention {
    /// `<tool_call>{"name": …, "arguments": {…}}</tool_call>`, any number of them after the text (Hermes, Qwen, SmolLM3, Granite 4).
    Tagged,
    /// The whole reply is `{"name": …, "parameters": {…}}`, several separated by `;` (Llama 3.x).
    Llama3,
    /// `[TOOL_CALLS]` and then a list `[{"name": …, "arguments": {…}}]`, or `name[ARGS]{…}` (Mistral).
    Mistral,
    /// The whole reply is `{"tool": …, "arguments": {…}}`, perhaps fenced: for models asked in the prompt.
    Plain,
}

impl CallConvention {
    /// The convention that a template's text shows, `Plain` where it shows none.
    pub fn detect(template: &str) -> CallConvention {
        if template.contains("<tool_call>") {
            CallConvention::Tagged
        } else if template.contains("[TOOL_CALLS]") {
            CallConvention::Mistral
        } else if template.contains("<|start_header_id|>") && template.contains("\"parameters\"") {
            CallConvention::Llama3
        } else {
            CallConvention::Plain
        }
    }

    /// What opens a call in the middle of a reply, and what closes it: a stream keeps it apart from the text.
    /// `None` where a call is the whole reply.
    pub fn marks(self) -> Option<(&'static str, Option<&'static str>)> {
        match self {
            CallConvention::Tagged => Some((OPEN, Some(CLOSE))),
            CallConvention::Mistral => Some((MISTRAL, None)),
            CallConvention::Llama3 | CallConvention::Plain => None,
        }
    }
}

const OPEN: &str = "<tool_call>";
const CLOSE: &str = "</tool_call>";
const MISTRAL: &str = "[TOOL_CALLS]";
const MISTRAL_ARGUMENTS: &str = "[ARGS]";

/// Written by Llama 3.x before a call of some built-in tools.
const LLAMA_CALL: &str = "<|python_tag|>";

/// What a reply holds.
#[derive(Debug, Clone, PartialEq)]
pub enum CallParse {
    /// No call: it is all text.
    Text,
    /// One or more calls.
    Calls {
        /// What stands around the calls, without white space at its ends.
        text: String,
        /// The calls in order.
        calls: Vec<ToolCall>,
    },
    /// It begins like a call but is none.
    Malformed {
        /// The part that should have been a call, for the app to look at or to give back to the model.
        text: String,
        /// What is wrong with it.
        fault: CallFault,
    },
}

/// What is wrong with a malformed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallFault {
    /// Not JSON.
    #[error("the call is not valid JSON (at byte {at})")]
    Json {
        /// Where the JSON breaks off.
        at: usize,
    },
    /// The JSON is no object with a tool's name in it.
    #[error("the call names no tool")]
    NoName,
    /// The arguments are no JSON object.
    #[error("the call's arguments are not a JSON object")]
    BadArguments,
    /// Something stands behind the call where only the call may be.
    #[error("the call is followed by other text (at byte {at})")]
    Trailing {
        /// Where it begins.
        at: usize,
    },
}

/// Finds the tool calls in a whole reply.
pub fn parse_tool_calls(reply: &str, convention: CallConvention) -> CallParse {
    match convention {
        CallConvention::Tagged => tagged(reply),
        CallConvention::Mistral => mistral(reply),
        CallConvention::Llama3 => {
            let reply = reply.trim();
            whole(reply.strip_prefix(LLAMA_CALL).unwrap_or(reply), reply.starts_with(LLAMA_CALL))
        }
        CallConvention::Plain => whole(unfenced(reply.trim()), false),
    }
}

fn tagged(reply: &str) -> CallParse {
    let mut text = String::new();
    let mut calls = Vec::new();
    let mut rest = reply;
    while let Some((before, inside)) = rest.split_once(OPEN) {
        text.push_str(before);
        // The end of the reply may stand for the closing tag.
        let (body, after) = inside.split_once(CLOSE).unwrap_or((inside, ""));
        match objects(body).and_then(|found| found.into_iter().map(call).collect::<Result<Vec<_>, _>>()) {
            Ok(found) if found.is_empty() => return malformed(body, CallFault::NoName),
            Ok(found) => calls.extend(found),
            Err(fault) => return malformed(body, fault),
        }
        rest = after;
    }
    text.push_str(rest);
    finish(text, calls)
}

fn mistral(reply: &str) -> CallParse {
    let Some((text, rest)) = reply.split_once(MISTRAL) else {
        return CallParse::Text;
    };
    let found = if rest.trim_start().starts_with(['[', '{']) {
        objects(rest).and_then(|list| list.into_iter().map(call).collect::<Result<Vec<_>, _>>())
    } else {
        rest.split(MISTRAL).map(named).collect()
    };
    match found {
        Ok(calls) if calls.is_empty() => malformed(rest, CallFault::NoName),
        Ok(calls) => finish(text.to_owned(), calls),
        Err(fault) => malformed(rest, fault),
    }
}

/// `name[ARGS]{…}` or `name{…}`.
fn named(text: &str) -> Result<ToolCall, CallFault> {
    let brace = text.find('{').ok_or(CallFault::BadArguments)?;
    let (name, arguments) = text.split_at(brace);
    let name = name.trim().trim_end_matches(MISTRAL_ARGUMENTS);
    // Some files put `[CALL_ID]…` between the two.
    let (name, id) = match name.split_once("[CALL_ID]") {
        Some((name, id)) => (name, Some(id.trim().to_owned())),
        None => (name, None),
    };
    if name.trim().is_empty() {
        return Err(CallFault::NoName);
    }
    match <[Json; 1]>::try_from(objects(arguments)?) {
        Ok([arguments @ Json::Object(_)]) => Ok(ToolCall { id, name: name.trim().to_owned(), arguments }),
        _ => Err(CallFault::BadArguments),
    }
}

/// A reply that is a call from its first character to its last. Text that merely begins with a brace is no call.
fn whole(body: &str, certain: bool) -> CallParse {
    let body = body.trim();
    let looks = body.strip_prefix('{').map(str::trim_start).is_some_and(|inner| {
        ["\"name\"", "\"tool\"", "\"type\"", "\"function\""].iter().any(|key| inner.starts_with(key))
    });
    if !certain && !looks {
        return CallParse::Text;
    }
    let found = objects(body).and_then(|list| list.into_iter().map(call).collect::<Result<Vec<_>, _>>());
    match found {
        Ok(calls) => finish(String::new(), calls),
        // `{"name": "Ada"}` is an answer in JSON, not a broken call.
        Err(CallFault::NoName | CallFault::BadArguments) if !certain => CallParse::Text,
        Err(fault) => malformed(body, fault),
    }
}

/// All JSON values in `text`: a list's items, or values one after the other with nothing, `;` or `,` between them.
fn objects(text: &str) -> Result<Vec<Json>, CallFault> {
    let mut found = Vec::new();
    let mut at = 0;
    loop {
        at += text[at..].len() - text[at..].trim_start_matches([';', ',', ' ', '\n', '\r', '\t']).len();
        if at == text.len() {
            return Ok(found);
        }
        let mut values = Deserializer::from_str(&text[at..]).into_iter::<Json>();
        let value = match values.next() {
            Some(Ok(value)) => value,
            _ if found.is_empty() => return Err(CallFault::Json { at }),
            _ => return Err(CallFault::Trailing { at }),
        };
        at += values.byte_offset();
        match value {
            Json::Array(items) => found.extend(items),
            value => found.push(value),
        }
    }
}

fn call(value: Json) -> Result<ToolCall, CallFault> {
    let Json::Object(mut object) = value else {
        return Err(CallFault::NoName);
    };
    let id = match object.swap_remove("id") {
        Some(Json::String(id)) => Some(id),
        _ => None,
    };
    // OpenAI's form wraps name and arguments once more.
    if let Some(Json::Object(inner)) = object.get_mut("function") {
        object = std::mem::take(inner);
    }
    let name = ["name", "tool", "function"].iter().find_map(|key| match object.swap_remove(*key) {
        Some(Json::String(name)) if !name.is_empty() => Some(name),
        _ => None,
    });
    let name = name.ok_or(CallFault::NoName)?;
    let arguments = ["arguments", "parameters", "args", "input"].iter().find_map(|key| object.swap_remove(*key));
    let arguments = match arguments {
        Some(Json::Object(arguments)) => arguments,
        // Some models write the arguments as a string of JSON.
        Some(Json::String(text)) => {
            serde_json::from_str::<Map<String, Json>>(&text).map_err(|_| CallFault::BadArguments)?
        }
        _ => return Err(CallFault::BadArguments),
    };
    Ok(ToolCall { id, name, arguments: Json::Object(arguments) })
}

/// The inside of a ```` ``` ```` block, where the reply is one.
fn unfenced(reply: &str) -> &str {
    let inner = reply.strip_prefix("```").and_then(|rest| rest.strip_suffix("```"));
    inner.map_or(reply, |inner| inner.trim_start_matches(|c: char| c.is_ascii_alphabetic()))
}

fn finish(text: String, calls: Vec<ToolCall>) -> CallParse {
    if calls.is_empty() {
        return CallParse::Text;
    }
    CallParse::Calls { text: text.trim().to_owned(), calls }
}

fn malformed(text: &str, fault: CallFault) -> CallParse {
    CallParse::Malformed { text: text.to_owned(), fault }
}

#[cfg(test)]
mod tests;
