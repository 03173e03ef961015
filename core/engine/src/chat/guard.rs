//! What a template does with lists is paid for before it happens.
//!
//! The renderer's budget is charged for results, and three of its operators make results of any size first: lists that share
//! parts (`[x, x]`, thirty times over) are written out whole by `~` and walked whole by `==`, lists added to themselves are
//! copied, and a product is a view that is as long as it likes. So a filter is set behind the operands of such operators and
//! before the filters that make text of lists: it charges for all that a value holds, shared parts as often as they occur.

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind, State};

/// Charges for a list or a mapping, and hands any value on.
pub(super) const USE: &str = "sprat_use";

/// Refuses lists and mappings.
pub(super) const FACTOR: &str = "sprat_factor";

/// One unit of a template's budget pays for this many values, or this many bytes of their texts.
const VALUES_PER_FUEL: u64 = 2;
const BYTES_PER_FUEL: u64 = 64;

/// Filters that write their input out, or compare all of its parts.
const CONSUMERS: &[&str] = &[
    "capitalize",
    "e",
    "escape",
    "format",
    "groupby",
    "indent",
    "join",
    "lines",
    "lower",
    "map",
    "max",
    "min",
    "replace",
    "sort",
    "split",
    "string",
    "sum",
    "title",
    "trim",
    "unique",
    "upper",
];

/// The filter [`USE`].
pub(super) fn used(state: &State, value: &Value) -> Result<Value, Error> {
    charge(state, value)?;
    Ok(value.clone())
}

/// The filter [`FACTOR`].
pub(super) fn factor(value: &Value) -> Result<Value, Error> {
    if is_container(value) {
        return Err(Error::new(ErrorKind::InvalidOperation, "only numbers and texts are multiplied"));
    }
    Ok(value.clone())
}

fn is_container(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::Iterable)
}

/// Takes the cost of everything inside a container from the budget; other values cost nothing here.
pub(super) fn charge(state: &State, value: &Value) -> Result<(), Error> {
    if !is_container(value) {
        return Ok(());
    }
    let (mut values, mut bytes) = (0_u64, 0_u64);
    let mut waiting = vec![value.clone()];
    while let Some(value) = waiting.pop() {
        if let Some(text) = value.as_str() {
            bytes += text.len() as u64;
        } else if is_container(&value) {
            for key in value.try_iter()? {
                values += 1;
                if values.is_multiple_of(VALUES_PER_FUEL) {
                    state.consume_fuel(1)?;
                }
                if value.kind() == ValueKind::Map {
                    waiting.push(value.get_item(&key)?);
                }
                waiting.push(key);
            }
        }
        state.consume_fuel(bytes / BYTES_PER_FUEL)?;
        bytes %= BYTES_PER_FUEL;
    }
    Ok(())
}

/// What the last token was.
#[derive(Clone, Copy, PartialEq)]
enum Last<'a> {
    /// A name or a closing bracket: the end of an operand, unless more of it follows.
    Operand,
    /// A text or a number.
    Literal,
    /// The sign before the name of a filter or of a test.
    Pipe,
    /// A keyword, which also may come before a test's name.
    Word(&'a str),
    /// An operator or a separator.
    Sign,
}

/// A bracket that is open, or the tag itself.
#[derive(Default)]
struct Level {
    /// What is set behind the operand that comes: it follows an operator, or is an argument of a consumer.
    waits: Option<&'static str>,
    /// Whether these are the arguments of a consumer, which makes text of them.
    call: bool,
}

/// A tag, whole (`{{ … }}` or `{% … %}`), with the filters set.
pub(super) fn guard(tag: &str) -> String {
    let bytes = tag.as_bytes();
    let is_mark = |at: usize| matches!(bytes.get(at), Some(b'-' | b'+'));
    let start = 2 + usize::from(is_mark(2));
    let end = tag.len().saturating_sub(2);
    let end = if end > start && is_mark(end - 1) { end - 1 } else { end };
    if start >= end {
        return tag.to_owned();
    }
    let mut out = String::with_capacity(tag.len() + 32);
    out.push_str(&tag[..start]);
    let mut last = Last::Sign;
    // Where the last token ends in `out`.
    let mut mark = out.len();
    let set = |out: &mut String, mark: usize, filter: &str| out.insert_str(mark, &format!("|{filter}"));
    let mut levels = vec![Level::default()];
    // Whether the last token is the name of a consumer.
    let mut consumes = false;
    // A loop's first `in` is no operator.
    let mut loop_in = tag[start..end].split_whitespace().next() == Some("for");
    let mut at = start;
    while at < end {
        let rest = &tag[at..end];
        let c = rest.chars().next().expect("not at the end");
        if c.is_whitespace() {
            out.push(c);
            at += c.len_utf8();
            continue;
        }
        let len = token(rest);
        let word = &rest[..len];
        let binary = matches!(last, Last::Operand | Last::Literal);
        let operator = match word {
            _ if !binary && word != "in" => None,
            "~" | "+" | "==" | "!=" | "<" | "<=" | ">" | ">=" => Some(USE),
            "*" | "**" => Some(FACTOR),
            "in" if (binary || last == Last::Word("not")) && !loop_in => Some(USE),
            _ => None,
        };
        loop_in &= word != "in";
        let consumer = word == "|" && CONSUMERS.contains(&name(rest[1..].trim_start()));
        // An operand ends here unless the token goes on with it: then the operator before it is served, too.
        let ends = binary && !matches!(c, '.' | '[' | '(') && word != "=";
        let waited = if ends { levels.last_mut().and_then(|level| level.waits.take()) } else { None };
        let filters = [waited, operator, consumer.then_some(USE)];
        let filter = if filters.contains(&Some(FACTOR)) { Some(FACTOR) } else { filters.into_iter().flatten().next() };
        if let (Some(filter), Last::Operand) = (filter, last) {
            set(&mut out, mark, filter);
        }
        out.push_str(word);
        mark = out.len();
        at += len;
        match c {
            '(' | '[' | '{' => {
                let call = c == '(' && consumes;
                levels.push(Level { waits: call.then_some(USE), call });
            }
            ')' | ']' | '}' if levels.len() > 1 => _ = levels.pop(),
            _ => {}
        }
        let level = levels.last_mut().expect("one is always left");
        if operator.is_some() {
            level.waits = operator;
        } else if matches!(c, ',' | ':' | '=' | '|' | '/' | '%') {
            level.waits = level.call.then_some(USE);
        }
        consumes = last == Last::Pipe && CONSUMERS.contains(&word);
        last = match word {
            "and" | "or" | "not" | "is" | "in" | "if" | "else" if last != Last::Pipe => Last::Word(word),
            "|" | "." => Last::Pipe,
            _ if matches!(c, '"' | '\'' | '0'..='9') => Last::Literal,
            _ if matches!(c, ')' | ']' | '}') || is_name(c) => Last::Operand,
            _ => Last::Sign,
        };
    }
    if last == Last::Operand
        && let Some(Level { waits: Some(filter), .. }) = levels.last()
    {
        set(&mut out, mark, filter);
    }
    out.push_str(&tag[end..]);
    out
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn name(text: &str) -> &str {
    &text[..text.find(|c| !is_name(c)).unwrap_or(text.len())]
}

/// Length of the token that `text` begins with.
fn token(text: &str) -> usize {
    let bytes = text.as_bytes();
    match bytes[0] {
        quote @ (b'"' | b'\'') => {
            let mut at = 1;
            while at < bytes.len() && bytes[at] != quote {
                at += if bytes[at] == b'\\' { 2 } else { 1 };
            }
            // Behind an escaped character there is one more, unless the text ends first.
            (at + 1..=text.len()).find(|&at| text.is_char_boundary(at)).unwrap_or(text.len())
        }
        b'0'..=b'9' => {
            let part = |at: usize| {
                let exponent = matches!(bytes[at], b'+' | b'-') && matches!(bytes[at - 1], b'e' | b'E');
                let fraction = bytes[at] == b'.' && bytes.get(at + 1).is_some_and(u8::is_ascii_digit);
                bytes[at].is_ascii_alphanumeric() || bytes[at] == b'_' || exponent || fraction
            };
            (1..bytes.len()).find(|&at| !part(at)).unwrap_or(bytes.len())
        }
        _ if text.starts_with(is_name) => name(text).len(),
        _ if ["**", "//", "==", "!=", "<=", ">="].iter().any(|sign| text.starts_with(sign)) => 2,
        _ => text.chars().next().map_or(1, char::len_utf8),
    }
}

#[cfg(test)]
mod tests {
    use super::{FACTOR, USE, guard};

    #[test]
    fn filters_stand_behind_operands_and_nowhere_else() {
        // The filters by one letter: u charges, f refuses lists.
        let cases = [
            ("{{ a ~ b }}", "{{ a|u ~ b|u }}"),
            ("{{ a ~ b if c else d }}", "{{ a|u ~ b|u if c else d }}"),
            ("{{ 'a~' ~ b.c[0](d) ~ \"e\" }}", "{{ 'a~' ~ b.c[0](d)|u ~ \"e\" }}"),
            ("{%- set x = x+[1] -%}", "{%- set x = x|u+[1]|u -%}"),
            ("{%+ if a == 1e+5 +%}", "{%+ if a|u == 1e+5 +%}"),
            ("{{ a * (b + c) }}", "{{ a|f * (b|u + c|u)|f }}"),
            ("{{ a ~ b + c * d ~ e }}", "{{ a|u ~ b|u + c|f * d|f ~ e|u }}"),
            ("{{ f(*a, **b) }}", "{{ f(*a, **b) }}"),
            ("{% for a in b if c in d and e %}", "{% for a in b if c|u in d|u and e %}"),
            ("{% if a not in b %}", "{% if a not in b|u %}"),
            ("{{ a|join(',')|upper }}", "{{ a|u|join(',')|u|upper }}"),
            ("{{ a|join(b, c=d) }}", "{{ a|u|join(b|u, c=d|u) }}"),
            ("{{ a|length - 1 == b|length }}", "{{ a|length - 1 == b|u|length }}"),
            ("{{ -a[-1] ~ -b }}", "{{ -a[-1]|u ~ -b|u }}"),
            ("{% macro f(a, b=1) %}", "{% macro f(a, b=1) %}"),
            ("{{ {'a': b}.c }}", "{{ {'a': b}.c }}"),
            ("{{}}", "{{}}"),
            ("{{ 'é\\'~' ~ é }}", "{{ 'é\\'~' ~ é|u }}"),
        ];
        for (tag, expected) in cases {
            let guarded = guard(tag).replace(USE, "u").replace(FACTOR, "f");
            assert_eq!(guarded, expected);
        }
    }
}
