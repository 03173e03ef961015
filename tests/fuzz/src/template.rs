//! Any chat template over any conversation: an error or a prompt, in bounded time and memory.

use serde_json::json;
use sprat::chat::{Chat, ChatTemplate, Message, Role, Tool, ToolCall};

use crate::allocations::bounded;
use crate::bytes::Bytes;

/// What one allocation may take: the longest prompt is 16 MB, and a buffer doubles as it grows.
const MAX_ALLOCATION_BYTES: usize = 32 << 20;

/// Where the template ends and the conversation begins.
const BREAK: u8 = 0;

/// What templates seldom use, in one.
const FEATURES: &str = "{% set x = [1, 'b', [2]] %}{% set ns = namespace(y=x) %}{% for a in x + x if a is not eq(3) %}\
    {{ loop.changed(a) }}{{ a|string|split('b')|join(' ')|trim('a') }}{% set ns.y = [ns.y, a] %}{% else %}-{% endfor %}\
    {{ ns.y == x or x is in [x] }}{{ [{'k': x}]|selectattr('k', '==', x)|map(attribute='k.0')|sort|unique|list }}\
    {{ {'a': 1, 'b': x}|dictsort|tojson }}{{ 'ab'.ljust(9) ~ x[1:][0] }}{% macro m(v, n=2) %}{{ v.0 if v else n }}\
    {% endmacro %}{{ m(x) }}{% raw %}{{ x }}{% endraw %}{# {{ x }} #}{% set z | upper %}{{ x|batch(2, 'z')|first }}{% endset %}\
    {{ z ~ 1. ~ dict(a=x).items()|list|length }}{{ [1, 2]|sum(start=1) }}{{ 'a b'.split()|select('in', ['a'])|list }}";

pub fn seeds() -> Vec<Vec<u8>> {
    let builtin = |name| ChatTemplate::builtin(name).expect("built in").source().as_bytes().to_vec();
    let talk = b"\0\x01\x05hello\x02\x02hi\x00\x03sys\x03\x04noon";
    let sources = ChatTemplate::builtin_names().map(builtin).chain([FEATURES.as_bytes().to_vec()]);
    sources.map(|source| [&source[..], talk].concat()).collect()
}

pub fn run(data: &[u8]) {
    bounded(MAX_ALLOCATION_BYTES, || render(data));
}

fn render(data: &[u8]) {
    let end = data.iter().position(|&byte| byte == BREAK).unwrap_or(data.len());
    let source = String::from_utf8_lossy(&data[..end]);
    let Ok(template) = ChatTemplate::parse(&source) else { return };
    let mut bytes = Bytes(data.get(end + 1..).unwrap_or_default());
    let mut messages = Vec::new();
    while !bytes.is_empty() && messages.len() < 16 {
        let role = bytes.pick(&[Role::System, Role::User, Role::Assistant, Role::Tool]);
        let mut message = Message::new(role, bytes.text());
        if role == Role::Assistant && message.content.len() % 2 == 1 {
            let arguments = json!({"zone": message.content, "deep": [[1, null], {"x": 1.5}]});
            message.tool_calls = vec![ToolCall { id: None, name: "clock".into(), arguments }];
            message.reasoning = Some("because".into());
        }
        messages.push(message);
    }
    let parameters = json!({"type": "object", "properties": {"zone": {"type": "string", "enum": ["a", "b"]}}});
    let tools = [Tool { name: "clock".into(), description: "tells".into(), parameters }];
    let chat = Chat {
        tools: if messages.len().is_multiple_of(2) { &tools } else { &[] },
        enable_thinking: (messages.len() % 3 == 1).then_some(true),
        bos_token: Some("<s>"),
        eos_token: Some("</s>"),
        ..Chat::new(&messages)
    };
    let _either = template.render(&chat).is_ok();
}
