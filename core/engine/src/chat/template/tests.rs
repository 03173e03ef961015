//! Limits of what a template may do, its errors, and what an error must not say.

use super::{BASE_FUEL, Chat, ChatTemplate, MAX_TEMPLATE_BYTES};
use crate::chat::{Message, Role, Tool};
use crate::error::ChatError;

fn render(source: &str, content: &str) -> Result<String, ChatError> {
    let messages = [Message::new(Role::User, content)];
    ChatTemplate::parse(source)?.render(&Chat::new(&messages))
}

#[test]
fn a_broken_template_is_an_error_with_line_and_reason() {
    let cases = [
        ("{% if %}", 1, "unexpected"),
        ("a\nb\n{% for m in messages %}\n{{ m }}\n", 4, "unexpected end"),
        ("a\n{{ 'x }}", 2, "end of string"),
        ("\n\n{% nosuchtag %}", 3, "nosuchtag"),
        ("{% generation %}a", 1, "unexpected end"),
        ("{% include 'x' %}", 1, "include"),
    ];
    for (source, at, words) in cases {
        match ChatTemplate::parse(source) {
            Err(ChatError::Syntax { line, reason }) => {
                assert_eq!(line, at, "{source}: {reason}");
                assert!(reason.contains(words), "{source}: {reason}");
            }
            other => panic!("{source}: {other:?}"),
        }
    }
}

#[test]
fn a_template_that_is_too_long_is_refused() {
    let source = "a".repeat(MAX_TEMPLATE_BYTES + 1);
    assert!(matches!(ChatTemplate::parse(&source), Err(ChatError::TemplateTooLong { .. })));
}

#[test]
fn endless_work_ends_in_an_error() {
    let sources = [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% set ns = namespace(x='a') %}{% for a in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        "{{ 'abc' * 1000000000 }}",
        "{{ 'abc'.ljust(100000000000) }}",
        "{{ ('a' * 1000).replace('a', 'b' * 1000000) }}",
        "{% set ns = namespace(x=[1]) %}{% for a in range(99) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
        "{% set ns = namespace(x=[1]) %}{% for a in range(40) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x|tojson }}",
        "{% set ns = namespace(x=[1]) %}{% for a in range(40) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x == [ns.x] }}",
        "{% macro m(x) %}{{ m(x) }}{{ m(x) }}{% endmacro %}{{ m(1) }}",
        "{% for a in range(99999) %}{{ messages[0].content }}{% endfor %}",
        "{{ '{:100000000000}'.format('a') }}",
        "{{ '{:.100000000000f}'.format(1.5) }}",
        "{{ ('{0}' * 100000).format('a' * 100000) }}",
        "{{ ([1] * 99999 * 99999) ~ 'a' }}",
        "{% set x = range(99999)|list %}{% for a in x %}{{ x.count(a) }}{% endfor %}",
        "{% set x = 'a' * 1000000 %}{% for a in range(9999) %}{{ x.strip(x) }}{% endfor %}",
        "{{ ('\\x01' * 20000000)|tojson }}",
        "{{ [1, 2, 3]|tojson(indent='a' * 1000000) }}",
        "{% set x = 'a' * 4000000 %}{% set y = x ~ 'b' %}{% set z = x ~ 'c' %}{% for a in range(99999) %}{{ y == z }}{% endfor %}",
        "{% set x = 'a' * 8000000 %}{% for a in range(99999) %}{{ x is lower }}{% endfor %}",
        "{% set x = 'a' * 8000000 %}{% for a in range(99999) %}{{ x is startingwith(x) }}{% endfor %}",
        "{% set x = 'a' * 8000000 %}{% set m = {'a': 1} %}{% for a in range(99999) %}{{ m[x] }}{{ m.get(x) }}{% endfor %}",
        "{% set x = 'a' * 4000000 %}{% set y = x ~ 'b' %}{{ y.startswith([x ~ 'c']|batch(99999, x ~ 'd')|first) }}",
        "{% set x = 'a' * 2000000 %}{{ ('b' * 2000000 ~ 'a')|trim(x ~ 'b') }}",
        "{{ ('a' * 4000000).split('a')|length }}",
        "{{ ('a' * 4000000).rsplit('a')|length }}",
        "{{ ('a ' * 2000000).split()|length }}",
        "{{ ('\n' * 4000000).splitlines()|length }}",
        "{{ ('a' * 4000000)|split('a')|length }}",
        "{{ ('\n' * 4000000)|lines|length }}",
        "{{ ['a' * 100]|batch(99999, 'a' * 100)|first|sum(start='') }}",
        "{{ range(99999)|batch(1)|sum(start=[])|length }}",
        "{% set x = ['a' * 400]|batch(40000, 'a' * 400)|first %}{{ x|sort|length }}",
    ];
    let doubled = |step: &str, end: &str| format!("{{% set x = [1] %}}{}{end}", step.repeat(40));
    let doublings = [
        doubled("{% set x = x + x %}", "{{ x|length }}"),
        doubled("{% set x = [x, x] %}", "{{ x ~ 'a' }}"),
        doubled("{% set x = [x, x] %}", "{{ 'a' ~ x }}"),
        doubled("{% set x = {1: x, 2: x} %}", "{{ x|string }}"),
        doubled("{% set x = [x, x] %}", "{{ x|join }}"),
        doubled("{% set x = [x, x] %}", "{{ [1, 2]|join(x) }}"),
        doubled("{% set x = [x, x] %}", "{{ [x]|map('string')|list|length }}"),
        doubled("{% set x = [x, x] %}", "{{ raise_exception(x) }}"),
        doubled("{% set x = [x, x] %}", "{{ '{}'.format(x) }}"),
        doubled("{% set x = [x, x] %}{% set y = [y, y] %}", "{{ x == y }}"),
        doubled("{% set x = x|chain(x) %}", "{{ x|length }}"),
        doubled("{% set x = [x, x] %}{% set y = [y, y] %}", "{{ x is eq(y) }}"),
        doubled("{% set x = [x, x] %}{% set y = [y, y] %}", "{{ x is eq y }}"),
        doubled("{% set x = [x, x] %}{% set y = [y, y] %}", "{{ y is lessthan(x) }}"),
        doubled("{% set x = [x, x] %}{% set y = [y, y] %}", "{{ y is in [x] }}"),
        doubled("{% set x = [x, x] %}{% set y = [y, y] %}", "{{ [x]|select('==', y)|list }}"),
        doubled("{% set x = [x, x] %}{% set y = [y, y] %}", "{{ [{'a': x}]|selectattr('a', 'eq', y)|list }}"),
        doubled("{% set x = [x, x] %}{% set y = [y, y] %}", "{{ [{'a': x}]|rejectattr('a', 'in', [y])|list }}"),
        doubled("{% set x = [x, x] %}{% set y = [y, y] %}", "{% for a in [x, y] %}{{ loop.changed(a) }}{% endfor %}"),
        doubled("{% set x = [x, x] %}{% set y = [y, y] %}", "{{ {1: x, 2: y}|dictsort(by='value') }}"),
        doubled("{% set x = [x, x] %}{% set y = [y, y] %}", "{% set z | default(x == y) %}a{% endset %}"),
        doubled("{% set x = [x, x] %}", "{{ x is startingwith('a') }}"),
        doubled("{% set x = [x, x] %}", "{{ x|safe }}"),
        doubled("{% set x = [x, x] %}", "{{ x|pprint }}"),
        doubled("{% set x = [x, x] %}", "{{ debug() }}"),
        doubled("{% set x = [x, x] %}", "{{ {x: 1}|length }}"),
        doubled("{% set x = [x, x] %}", "{{ {'a': 1}[x] }}"),
        doubled("{% set x = [x, x] %}", "{{ {'a': 1}.get(x) }}"),
        doubled("{% set x = [x, x] %}", "{{ {'a': 1}|attr(x) }}"),
        doubled("{% set x = [x, x] %}", "{{ namespace([x]) }}"),
        doubled("{% set x = [x, x] %}", "{% set z %}{{ x }}{% endset %}"),
        doubled("{% set x = [x, x] %}", "{% macro m() %}{{ x }}{% endmacro %}{{ m() }}"),
        doubled("{% set x = [x, x] %}", "{{ 1. ~ x }}"),
        doubled("{% set x = [x, x] %}", "{{ x.0 ~ 1 }}"),
        doubled("{% set x = [x, x] %}", "{% raw %}{% endrawx %}{# {% endraw %}{{ x ~ 1 }}{# #}"),
        doubled("{% set x = [x, x] %}", "{#}{{ '#}{{ x ~ 1 }}{#' }}#}"),
        doubled("{% set x = {'a': x} %}", "{{ [x]|selectattr('a' ~ '.a' * 999)|list }}"),
        "{% macro m(x, n) %}{% if n %}{{ m(x + x, n - 1) }}{% endif %}{% endmacro %}{{ m([1], 40) }}".to_owned(),
    ];
    let sources = sources.into_iter().chain(doublings.iter().map(String::as_str));
    for source in sources {
        let result = render(source, &"word ".repeat(2_000));
        let ended = matches!(
            result,
            Err(ChatError::TooMuchWork { .. } | ChatError::Render { .. } | ChatError::RenderedTooLong { .. })
        );
        assert!(ended, "{source}: {:?}", result.map(|text| text.len()));
    }
}

#[test]
fn neither_deep_values_nor_deep_nesting_overflow_the_stack() {
    /// As often as a template of the greatest length can hold it.
    fn fill(head: &str, repeated: &str, middle: &str, closing: &str, tail: &str) -> String {
        let times = (MAX_TEMPLATE_BYTES - head.len() - middle.len() - tail.len()) / (repeated.len() + closing.len());
        [head, &repeated.repeat(times), middle, &closing.repeat(times), tail].concat()
    }
    let grow = |step: &str, end: &str| {
        format!(
            "{{% set ns = namespace(x=messages) %}}{{% for a in range(99999) %}}{{% set ns.x = {step} %}}{{% endfor %}}{end}"
        )
    };
    let sources = [
        grow("[ns.x]", "{{ ns.x }}"),
        grow("{'a': ns.x}", "{{ ns.x|tojson }}"),
        grow("ns", "{{ ns }}"),
        grow("[ns]", "{{ ns.x }}"),
        grow("ns.x[0:]", "{% for y in ns.x %}{% endfor %}"),
        grow("ns.x|reverse", "{% for y in ns.x %}{% endfor %}"),
        grow("ns.x|chain([1])", "{% for y in ns.x %}{% endfor %}"),
        grow("ns.x + [1]", "{% for y in ns.x %}{% endfor %}"),
        grow("namespace(x=ns.x)", ""),
        "{% macro m(x) %}{{ m([x]) }}{% endmacro %}{{ m(1) }}".to_owned(),
        // A namespace that the scan for tags does not see.
        "{{ {'a':{}} ~ \"{#\" }}{% set ns=namespace() %}{% for a in range(9) %}{% set ns.x=[ns] %}{% endfor %}{{ ns.x }}{{ \"#}\" }}".to_owned(),
        fill("{% set x=[1] %}", "{%set x=[x]%}", "{{ x }}{{ x == [x] }}{{ x|tojson }}", "", ""),
        // Its length is asked of every view below it, so only a few.
        format!("{{% set x=[1] %}}{}{{% for y in x %}}{{{{ y }}}}{{% endfor %}}", "{%set x=x[0:]%}".repeat(1_000)),
        fill("{% set x=[1] %}", "{%set x=x|reverse%}", "{% for y in x %}{{ y }}{% endfor %}", "", ""),
        format!("{{% set x=[1] %}}{}{{{{ x }}}}", "{%set x=x+[1]%}".repeat(1_000)),
        fill("", "{% if 1 %}", "", "{% endif %}", ""),
        fill("{{ ", "(", "1", ")", " }}"),
        fill("{{ ", "[", "1", "]", " }}"),
        fill("{{ ", "{1:", "1", "}", " }}"),
        fill("{{ ", "not ", "1", "", " }}"),
        fill("{{ ", "-", "1", "", " }}"),
        fill("{{ 1", "+1", "", "", " }}"),
        fill("{{ 1", "<1", "", "", " }}"),
        fill("{{ x", ".y", "", "", " }}"),
        fill("{{ x", "[0]", "", "", " }}"),
        fill("{{ x", "()", "", "", " }}"),
        fill("{{ x", "|e", "", "", " }}"),
        fill("{{ x", " is x", "", "", " }}"),
        fill("{{ 1", " if 1 else 1", "", "", " }}"),
        fill("{{ 1", " and 1", "", "", " }}"),
        fill("", "{% if 1 %}{% elif 1 %}", "", "{% endif %}", ""),
        fill("{% if 1 %}", "{% elif 1 %}", "", "", "{% endif %}"),
    ];
    let thread = std::thread::Builder::new().stack_size(128 << 10).spawn(move || {
        for source in sources {
            // The result does not matter, only that there is one.
            if let Err(error) = render(&source, "Hi") {
                assert!(!error.to_string().contains("internal fault"), "{error}: {source:.60}");
            }
        }
    });
    thread.expect("a thread starts").join().expect("no source panics");
}

#[test]
fn an_exception_s_message_keeps_the_template_s_words_only() {
    let cases = [
        ("{{ raise_exception('Only user turns!') }}", "Only user turns!"),
        ("{{ raise_exception('Unknown turn: ' + messages[0].content) }}", "Unknown turn: …"),
        ("{{ raise_exception(messages[0].content) }}", "…"),
        ("{% macro m() %}{{ raise_exception('deep') }}{% endmacro %}{{ m() }}", "deep"),
    ];
    for (source, expected) in cases {
        match render(source, "Xecret") {
            Err(ChatError::Refused { message }) => assert_eq!(message, expected, "{source}"),
            other => panic!("{source}: {other:?}"),
        }
    }
}

#[test]
fn errors_never_quote_the_conversation() {
    let sources = [
        "{{ messages[0].content.nosuch() }}",
        "{{ messages[0].content + 1 }}",
        "{{ messages[0].content|nosuch }}",
        "{{ messages[0].content() }}",
        "{{ [][messages[0].content].x }}",
        "{{ messages[0].content|round }}",
        "{{ messages[0].content.format() }}",
        "{{ 'x'.split(messages[0].content, messages[0].content) }}",
        "{{ range(messages[0].content) }}",
        "{{ messages[0].content - messages[0].content }}",
        "{{ messages[0].content|tojson(messages[0].content, messages[0].content, messages[0].content) }}",
        "{% set a, b, c = messages[0].content %}",
        "{{ namespace(messages[0].content) }}",
        "{{ [1]|map(messages[0].content)|list }}",
        "{{ [1]|select(messages[0].content)|list }}",
        "{{ dict(messages[0].content) }}",
        "{{ {}[messages[0].content]() }}",
    ];
    for source in sources {
        if let Err(error) = render(source, "secret {x} words") {
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("secret") && !shown.contains("words"), "{source}: {shown}");
        }
    }
}

#[test]
fn a_failure_names_its_line() {
    let error = render("a\nb\n{{ messages[0].nosuch.deeper }}", "Hi").expect_err("undefined has no attributes");
    assert!(matches!(&error, ChatError::Render { line: 3, .. }), "{error:?}");
}

#[test]
fn a_template_that_would_ignore_tools_says_so() {
    let tools = [Tool { name: "time".to_owned(), description: String::new(), parameters: serde_json::json!({}) }];
    let messages = [Message::new(Role::User, "Hi")];
    let chat = Chat { tools: &tools, ..Chat::new(&messages) };
    let without = ChatTemplate::parse("{{ messages[0].content }}").expect("valid");
    assert!(matches!(without.require_tools(), Err(ChatError::NoTools)));
    assert_eq!(without.render(&chat).expect("renders"), "Hi");
    let with = ChatTemplate::parse("{{ tools[0].function.name }}").expect("valid");
    assert!(with.require_tools().is_ok());
    assert_eq!(with.render(&chat).expect("renders"), "time");
}

#[test]
fn a_long_conversation_fits_the_budget() {
    let source = ChatTemplate::builtin("qwen").expect("built in").source().to_owned();
    let messages: Vec<Message> = (0..4_000)
        .map(|turn| Message::new(if turn % 2 == 0 { Role::User } else { Role::Assistant }, "word ".repeat(100)))
        .collect();
    let template = ChatTemplate::parse(&source).expect("valid");
    let prompt = template.render(&Chat::new(&messages)).expect("renders");
    assert!(prompt.len() > 2_000_000 && (prompt.len() as u64) < BASE_FUEL * 64);
}
