//! Tags that Hugging Face's renderer has and ours does not, rewritten before parsing.
//!
//! `{% generation %}`, a mark around what the assistant says that prints its body unchanged, becomes `{% with %}`, which
//! opens a scope and does nothing else. `{% set ns.x = … %}` becomes a method call on our own namespace (see `namespace`);
//! a tag that the scan misses stays an assignment to something that is not the renderer's own namespace, which it refuses.
//! Filters are set that charge for lists (see `guard`). White-space control and line numbers stay as they were.

use super::guard::guard;
use super::namespace::SET_METHOD;

/// Holds what `{% set ns.x %}…{% endset %}` captured.
const CAPTURED: &str = "sprat_captured";

/// The template in tags the renderer knows.
pub(super) fn rewrite_tags(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    // Of every open block set: the namespace's name and attribute, if it is one.
    let mut open_sets: Vec<Option<(&str, &str)>> = Vec::new();
    while let Some(at) = rest.find('{') {
        let (before, tag) = rest.split_at(at);
        out.push_str(before);
        let len = match tag.as_bytes().get(1) {
            Some(b'#') => {
                let start = 2 + usize::from(matches!(tag.as_bytes().get(2), Some(b'-' | b'+')));
                tag[start..].find("#}").map(|end| start + end + 2)
            }
            Some(b'{') => tag_end(tag, "}}"),
            Some(b'%') => tag_end(tag, "%}"),
            _ => Some(1),
        };
        let Some(len) = len else {
            // An unclosed tag is the parser's to report.
            rest = tag;
            break;
        };
        let (tag, after) = tag.split_at(len);
        rest = after;
        let Some((open, body, close)) = statement(tag) else {
            out.push_str(&if tag.starts_with("{{") { guard(tag) } else { tag.to_owned() });
            continue;
        };
        match body.split_whitespace().next() {
            Some("generation") if body.trim() == "generation" => out.push_str(&tag.replace("generation", "with")),
            Some("endgeneration") => out.push_str(&tag.replace("endgeneration", "endwith")),
            Some("raw") => {
                let end = raw_end(rest);
                out.push_str(tag);
                out.push_str(&rest[..end]);
                rest = &rest[end..];
            }
            Some("set") => match set(body) {
                Set::Attribute { namespace, name, value } => {
                    let call = format!("{open} do {namespace}.{SET_METHOD}(\"{name}\", ({value})) {close}");
                    out.push_str(&guard(&call));
                }
                Set::Block(target) => {
                    open_sets.push(target);
                    match target {
                        Some(_) => out.push_str(&format!("{open} set {CAPTURED} {close}")),
                        None => out.push_str(&guard(tag)),
                    }
                }
                Set::Other => out.push_str(&guard(tag)),
            },
            Some("endset") => match open_sets.pop().flatten() {
                Some((namespace, name)) => out.push_str(&format!(
                    "{open} endset %}}{{% do {namespace}.{SET_METHOD}(\"{name}\", {CAPTURED}) {close}"
                )),
                None => out.push_str(tag),
            },
            _ => out.push_str(&guard(tag)),
        }
    }
    out.push_str(rest);
    out
}

/// `{%-`, what is inside, and `-%}` of a statement's tag.
fn statement(tag: &str) -> Option<(&str, &str, &str)> {
    let inner = tag.strip_prefix("{%")?.strip_suffix("%}")?;
    let open = 2 + usize::from(inner.starts_with(['-', '+']));
    let close = 2 + usize::from(inner.len() > 1 && inner.ends_with(['-', '+']));
    let (open, inner) = tag.split_at(open);
    let (body, close) = inner.split_at(inner.len().checked_sub(close)?);
    Some((open, body, close))
}

/// The forms of `set`.
enum Set<'a> {
    /// `set ns.x = value`
    Attribute { namespace: &'a str, name: &'a str, value: &'a str },
    /// `set x` or `set ns.x`, up to `endset`; a filter may follow.
    Block(Option<(&'a str, &'a str)>),
    /// `set x = value`
    Other,
}

fn set(body: &str) -> Set<'_> {
    let body = body.trim().strip_prefix("set").unwrap_or(body);
    let (target, value) = match body.split_once('=') {
        Some((target, value)) => (target, Some(value)),
        None => (body, None),
    };
    let is_name = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_');
    let attribute = target.split_once('.').map(|(namespace, name)| (namespace.trim(), name.trim()));
    let attribute = attribute.filter(|(namespace, name)| is_name(namespace) && is_name(name));
    match (attribute, value) {
        // A tuple needs no brackets here but does in the call; they do no harm to anything else.
        (Some((namespace, name)), Some(value)) => Set::Attribute { namespace, name, value: value.trim() },
        (None, Some(_)) if !target.contains('|') => Set::Other,
        (target, _) => Set::Block(target),
    }
}

/// Length of a tag up to and with `close`, which does not count inside a string or brackets.
fn tag_end(tag: &str, close: &str) -> Option<usize> {
    let bytes = tag.as_bytes();
    let mut quote = None;
    let mut brackets = 0_usize;
    let mut at = 2;
    while at < bytes.len() {
        match (quote, bytes[at]) {
            (Some(_), b'\\') => at += 1,
            (Some(open), byte) if byte == open => quote = None,
            (Some(_), _) => {}
            (None, byte @ (b'"' | b'\'')) => quote = Some(byte),
            (None, _) if brackets == 0 && bytes[at..].starts_with(close.as_bytes()) => return Some(at + close.len()),
            (None, b'(' | b'[' | b'{') => brackets += 1,
            (None, b')' | b']' | b'}') => brackets = brackets.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    None
}

/// Where the `{% endraw %}` of a raw block begins.
fn raw_end(text: &str) -> usize {
    let mut from = 0;
    while let Some(at) = text[from..].find("{%") {
        // To the byte as the renderer looks for it: what it passes over is no tag of ours either.
        let tag = &text[from + at + 2..];
        let name = tag.strip_prefix(['-', '+']).unwrap_or(tag).trim_ascii_start().strip_prefix("endraw");
        let end = name.map(|end| end.trim_ascii_start()).map(|end| end.strip_prefix(['-', '+']).unwrap_or(end));
        if end.is_some_and(|end| end.starts_with("%}")) {
            return from + at;
        }
        from += at + 2;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::rewrite_tags;

    #[test]
    fn only_the_tags_themselves_are_rewritten() {
        let cases = [
            ("a{% generation %}b{% endgeneration %}c", "a{% with %}b{% endwith %}c"),
            ("{%- generation -%}\n{%-endgeneration+%}", "{%- with -%}\n{%-endwith+%}"),
            ("{% if add_generation_prompt %}{{ 'generation' }}", "{% if add_generation_prompt %}{{ 'generation' }}"),
            ("{# {% generation %} #}", "{# {% generation %} #}"),
            ("{{ '{% generation %}' }}", "{{ '{% generation %}' }}"),
            ("{{ '\\'{% generation %}' }}", "{{ '\\'{% generation %}' }}"),
            ("{{ {'a': {}} ~ '{% generation %}' }}", "{{ {'a': {}}|sprat_use ~ '{% generation %}' }}"),
            (
                "{% raw %}{% generation %}{% endraw %}{% generation %}",
                "{% raw %}{% generation %}{% endraw %}{% with %}",
            ),
            (
                "{% raw %}{% endrawx %}{# {% endraw %}{{ a == b }}",
                "{% raw %}{% endrawx %}{# {% endraw %}{{ a|sprat_use == b|sprat_use }}",
            ),
            ("{#}{{ '#}{{ a == b }}{#' }}#}", "{#}{{ '#}{{ a|sprat_use == b|sprat_use }}{#' }}#}"),
            ("{% set x | default(a == b) %}", "{% set x | default(a|sprat_use == b|sprat_use) %}"),
            ("{% generation", "{% generation"),
            ("{ generation {", "{ generation {"),
            ("{%- set ns.x = a == 1 -%}", "{%- do ns.sprat_set(\"x\", (a|sprat_use == 1)) -%}"),
            ("{% set ns . x=1, 2 %}", "{% do ns.sprat_set(\"x\", (1, 2)) %}"),
            ("{% set x = ns.y %}{% set a, b = c %}", "{% set x = ns.y %}{% set a, b = c %}"),
            (
                "{% set ns.x %}{% set y %}b{% endset %}{%- endset -%}",
                "{% set sprat_captured %}{% set y %}b{% endset %}{%- endset %}{% do ns.sprat_set(\"x\", sprat_captured) -%}",
            ),
            ("{% set x | replace('a', b='c') %}", "{% set x|sprat_use | replace('a', b='c') %}"),
            ("{%%}{%-%}{%--%}", "{%%}{%-%}{%--%}"),
        ];
        for (source, expected) in cases {
            assert_eq!(rewrite_tags(source), expected);
        }
    }
}
