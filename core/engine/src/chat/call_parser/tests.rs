//! What each convention takes for a call, for text, and for a broken call.

use serde_json::{Value as Json, json};

use super::CallConvention::{Llama3, Mistral, Plain, Tagged};
use super::{CallConvention, CallFault, CallParse, parse_tool_calls};
use crate::chat::ToolCall;

fn call(name: &str, arguments: Json) -> ToolCall {
    ToolCall { id: None, name: name.to_owned(), arguments }
}

#[test]
fn calls_are_found_in_every_convention() {
    struct Case {
        convention: CallConvention,
        reply: &'static str,
        text: &'static str,
        calls: Vec<ToolCall>,
    }
    let weather = || call("weather", json!({"city": "Oslo", "days": 2}));
    let time = || call("time", json!({}));
    let case = |convention, reply, text, calls| Case { convention, reply, text, calls };
    let cases = [
        case(
            Tagged,
            "I look.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Oslo\", \"days\": 2}}\n</tool_call>",
            "I look.",
            vec![weather()],
        ),
        case(
            Tagged,
            "<tool_call>{\"name\":\"weather\",\"arguments\":{\"city\":\"Oslo\",\"days\":2}}</tool_call>\n<tool_call>{\"name\":\"time\",\"arguments\":{}}</tool_call>",
            "",
            vec![weather(), time()],
        ),
        // The reply's end stands for the closing tag.
        case(Tagged, "<tool_call>{\"name\": \"time\", \"arguments\": {}}", "", vec![time()]),
        case(Tagged, "<tool_call>{\"name\": \"time\", \"arguments\": \"{}\"}</tool_call>", "", vec![time()]),
        case(
            Llama3,
            " {\"name\": \"weather\", \"parameters\": {\"city\": \"Oslo\", \"days\": 2}} ",
            "",
            vec![weather()],
        ),
        case(
            Llama3,
            "<|python_tag|>{\"type\": \"function\", \"name\": \"time\", \"parameters\": {}}",
            "",
            vec![time()],
        ),
        case(
            Llama3,
            "{\"name\": \"time\", \"parameters\": {}}; {\"name\": \"weather\", \"parameters\": {\"city\": \"Oslo\", \"days\": 2}}",
            "",
            vec![time(), weather()],
        ),
        case(
            Mistral,
            "[TOOL_CALLS] [{\"name\": \"time\", \"arguments\": {}}, {\"name\": \"weather\", \"arguments\": {\"city\": \"Oslo\", \"days\": 2}}]",
            "",
            vec![time(), weather()],
        ),
        case(
            Mistral,
            "[TOOL_CALLS]weather[ARGS]{\"city\": \"Oslo\", \"days\": 2}[TOOL_CALLS]time{}",
            "",
            vec![weather(), time()],
        ),
        case(
            Mistral,
            "Well. [TOOL_CALLS]time[CALL_ID]123456789[ARGS]{}",
            "Well.",
            vec![ToolCall { id: Some("123456789".to_owned()), ..time() }],
        ),
        case(Plain, "{\"tool\": \"time\", \"arguments\": {}}", "", vec![time()]),
        case(Plain, "```json\n{\"tool\": \"time\", \"arguments\": {}}\n```", "", vec![time()]),
        case(
            Plain,
            "{\"function\": {\"name\": \"time\", \"arguments\": \"{}\"}, \"id\": \"a\"}",
            "",
            vec![ToolCall { id: Some("a".to_owned()), ..time() }],
        ),
    ];
    for Case { convention, reply, text, calls } in cases {
        let expected = CallParse::Calls { text: text.to_owned(), calls };
        assert_eq!(parse_tool_calls(reply, convention), expected, "{convention:?}: {reply}");
    }
}

#[test]
fn text_is_not_taken_for_a_call() {
    let cases = [
        (Tagged, ""),
        (Tagged, "{\"name\": \"time\", \"arguments\": {}}"),
        (Tagged, "a < b and b > c"),
        (Llama3, "The set {1, 2}"),
        (Llama3, "{1, 2} is a set"),
        (Llama3, "{\"name\": \"Ada\", \"born\": 1815}"),
        (Llama3, "{\"city\": \"Oslo\"}"),
        (Mistral, "TOOL_CALLS are nice"),
        (Plain, "```json\n{\"city\": \"Oslo\"}\n```"),
        (Plain, "```"),
    ];
    for (convention, reply) in cases {
        assert_eq!(parse_tool_calls(reply, convention), CallParse::Text, "{convention:?}: {reply}");
    }
}

#[test]
fn a_broken_call_is_a_fault_with_its_text() {
    let cases = [
        (
            Tagged,
            "<tool_call>{\"name\": \"time\", \"arg</tool_call>",
            "{\"name\": \"time\", \"arg",
            CallFault::Json { at: 0 },
        ),
        (Tagged, "<tool_call>{\"arguments\": {}}</tool_call>", "{\"arguments\": {}}", CallFault::NoName),
        (Tagged, "<tool_call>\n</tool_call>", "\n", CallFault::NoName),
        (Tagged, "<tool_call>[1]</tool_call>", "[1]", CallFault::NoName),
        (
            Tagged,
            "<tool_call>{\"name\": \"a\", \"arguments\": 3}</tool_call>",
            "{\"name\": \"a\", \"arguments\": 3}",
            CallFault::BadArguments,
        ),
        (
            Tagged,
            "<tool_call>{\"name\": \"a\", \"arguments\": \"x\"}",
            "{\"name\": \"a\", \"arguments\": \"x\"}",
            CallFault::BadArguments,
        ),
        (
            Llama3,
            "{\"name\": \"a\", \"parameters\": {",
            "{\"name\": \"a\", \"parameters\": {",
            CallFault::Json { at: 0 },
        ),
        (
            Llama3,
            "{\"name\": \"a\", \"parameters\": {}} done",
            "{\"name\": \"a\", \"parameters\": {}} done",
            CallFault::Trailing { at: 32 },
        ),
        (Llama3, "<|python_tag|>print(1)", "print(1)", CallFault::Json { at: 0 }),
        (Mistral, "[TOOL_CALLS] ", " ", CallFault::BadArguments),
        (Mistral, "[TOOL_CALLS][]", "[]", CallFault::NoName),
        (Mistral, "[TOOL_CALLS]a[ARGS]{\"x\"", "a[ARGS]{\"x\"", CallFault::Json { at: 0 }),
        (Mistral, "[TOOL_CALLS][ARGS]{}", "[ARGS]{}", CallFault::Json { at: 0 }),
    ];
    for (convention, reply, text, fault) in cases {
        let expected = CallParse::Malformed { text: text.to_owned(), fault };
        assert_eq!(parse_tool_calls(reply, convention), expected, "{convention:?}: {reply}");
    }
}

#[test]
fn the_convention_shows_in_the_template() {
    let cases = [
        ("… <tool_call>\n{\"name\": … </tool_call>", Tagged),
        ("{{ '[TOOL_CALLS] ' }}", Mistral),
        ("<|start_header_id|> … '\"parameters\": '", Llama3),
        ("<|im_start|>", Plain),
    ];
    for (template, expected) in cases {
        assert_eq!(CallConvention::detect(template), expected, "{template}");
    }
}

#[test]
fn a_deeply_nested_call_is_a_fault_and_not_a_crash() {
    let reply = format!("<tool_call>{}", "[".repeat(100_000));
    assert!(matches!(parse_tool_calls(&reply, Tagged), CallParse::Malformed { .. }));
}
