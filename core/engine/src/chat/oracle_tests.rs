//! Templates render what Hugging Face's renderer renders, byte for byte. testdata/make.py made the expectations.

use serde_json::{Map, Value as Json};

use crate::error::ChatError;

use super::{Chat, ChatTemplate, LocalTime, Message, Role, Tool, ToolCall};

const CHATS: &str = include_str!("testdata/chats.json");

/// The clock that the expectations were made with: 2025-03-09 14:05:07.
const NOW: i64 = 1_741_529_107;

struct Conversation {
    messages: Vec<Message>,
    tools: Vec<Tool>,
    add_generation_prompt: bool,
    enable_thinking: Option<bool>,
}

fn text(value: &Json, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

fn optional(value: &Json, key: &str) -> Option<String> {
    value[key].as_str().map(str::to_owned)
}

fn list(value: &Json) -> &[Json] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn message(value: &Json) -> Message {
    let roles = [Role::System, Role::User, Role::Assistant, Role::Tool];
    let role = roles.into_iter().find(|role| value["role"] == role.as_str()).expect("a known role");
    let call = |call: &Json| ToolCall {
        id: optional(call, "id"),
        name: text(&call["function"], "name"),
        arguments: call["function"]["arguments"].clone(),
    };
    Message {
        reasoning: optional(value, "reasoning_content"),
        tool_calls: list(&value["tool_calls"]).iter().map(call).collect(),
        name: optional(value, "name"),
        tool_call_id: optional(value, "tool_call_id"),
        ..Message::new(role, text(value, "content"))
    }
}

fn conversation(value: &Json) -> Conversation {
    let tool = |tool: &Json| Tool {
        name: text(&tool["function"], "name"),
        description: text(&tool["function"], "description"),
        parameters: tool["function"]["parameters"].clone(),
    };
    Conversation {
        messages: list(&value["messages"]).iter().map(message).collect(),
        tools: list(&value["tools"]).iter().map(tool).collect(),
        add_generation_prompt: value["add_generation_prompt"].as_bool().unwrap_or(true),
        enable_thinking: value["enable_thinking"].as_bool(),
    }
}

/// What a template makes of a conversation, with the clock that the expectations were made with.
fn render(template: &ChatTemplate, given: &Conversation) -> Result<String, ChatError> {
    template.render(&Chat {
        tools: &given.tools,
        add_generation_prompt: given.add_generation_prompt,
        enable_thinking: given.enable_thinking,
        bos_token: Some("<s>"),
        eos_token: Some("</s>"),
        now: Some(LocalTime::new(NOW, 0)),
        ..Chat::new(&given.messages)
    })
}

fn entries(json: &str) -> Vec<Map<String, Json>> {
    serde_json::from_str(json).expect("make.py writes a list of objects")
}

#[test]
fn templates_render_as_hugging_face_renders_them() {
    let chats: Json = serde_json::from_str(CHATS).expect("make.py writes JSON");
    let compare = |cases: &str, parse: &dyn Fn(&Map<String, Json>) -> ChatTemplate| {
        let entries = entries(cases);
        for entry in &entries {
            let (file, chat) = (entry["file"].as_str().expect("a name"), entry["chat"].as_str().expect("a name"));
            let rendered = render(&parse(entry), &conversation(&chats["conversations"][chat]));
            assert_eq!(rendered.as_deref().ok(), entry["expected"].as_str(), "{file}: {chat}");
        }
        entries.len()
    };
    let word = |entry: &Map<String, Json>, key: &str| entry[key].as_str().expect("a text").to_owned();
    let compared = compare(include_str!("testdata/builtin.json"), &|entry| {
        ChatTemplate::builtin(&word(entry, "file")).expect("every file is a template's name")
    });
    assert!(compared > 300, "only {compared} compared");
    // Models' own templates are not ours to copy: `make.py` makes cases of those that somebody has.
    if let Some(path) = std::env::var_os("SPRAT_TEMPLATE_CASES") {
        let cases = std::fs::read_to_string(path).expect("the cases");
        let compared = compare(&cases, &|entry| ChatTemplate::parse(&word(entry, "template")).expect("it parses"));
        println!("{compared} of models' own templates compared");
        assert!(compared > 0, "no cases");
    }
}

#[test]
fn helpers_render_as_in_jinja2() {
    let chats: Json = serde_json::from_str(CHATS).expect("make.py writes JSON");
    let messages: Vec<Message> = list(&chats["edge"]).iter().map(message).collect();
    let variables = chats["variables"].as_object().expect("make.py writes an object");
    let extra: Vec<(&str, Json)> = variables.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    let mut different = Vec::new();
    for entry in entries(include_str!("testdata/edge.json")) {
        let source = entry["template"].as_str().expect("a template");
        let rendered = ChatTemplate::parse(source).and_then(|template| {
            template.render(&Chat {
                bos_token: Some("<s>"),
                eos_token: Some("</s>"),
                extra: &extra,
                now: Some(LocalTime::new(NOW, 0)),
                ..Chat::new(&messages)
            })
        });
        if rendered.as_deref().ok() != entry["expected"].as_str() {
            different.push(format!("{source}\n  jinja2: {}\n  ours:   {rendered:?}", entry["expected"]));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}
