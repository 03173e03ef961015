//! What a template does with lists and long texts is paid for before it happens.
//!
//! The renderer's budget is charged for results, and some of its operators make results of any size first: lists that share
//! parts (`[x, x]`, thirty times over) are written out whole by `~` and walked whole by `==`, lists added to themselves are
//! copied, and a product is a view that is as long as it likes. So a filter is set behind the operands of such operators and
//! before the filters that make text of lists: it charges for all that a value holds, shared parts as often as they occur.
//! Lists are no keys, as in Python: each look-up would walk them.

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind, State};

/// Charges for a list or a mapping, and hands any value on.
pub(super) const USE: &str = "sprat_use";

/// Refuses lists and mappings.
pub(super) const FACTOR: &str = "sprat_factor";

/// The same, and charges for a text, each of whose bytes is looked at.
pub(super) const KEY: &str = "sprat_key";

/// Charges as often as sorting looks at each value.
pub(super) const SORTED: &str = "sprat_sorted";

/// One unit of a template's budget pays for this many values, or this many bytes of their texts.
const VALUES_PER_FUEL: u64 = 2;
const BYTES_PER_FUEL: u64 = 64;

/// Filters that put their input in order.
const SORTERS: &[&str] = &["dictsort", "groupby", "sort", "unique"];

/// Other filters that write their input out, or compare all of its parts, and methods that do so with their arguments.
const CONSUMERS: &[&str] = &[
    "attr",
    "capitalize",
    "changed",
    "e",
    "escape",
    "format",
    "indent",
    "join",
    "lines",
    "lower",
    "map",
    "max",
    "min",
    "replace",
    "safe",
    "split",
    "string",
    "sum",
    "title",
    "trim",
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
        return Err(Error::new(ErrorKind::InvalidOperation, "only numbers and texts are factors and keys"));
    }
    Ok(value.clone())
}

/// The filter [`KEY`].
pub(super) fn key(state: &State, value: &Value) -> Result<Value, Error> {
    charge(state, &factor(value)?)?;
    Ok(value.clone())
}

/// The filter [`SORTED`].
pub(super) fn sorted(state: &State, value: &Value) -> Result<Value, Error> {
    // As many comparisons as the length has bits; of what does not tell its length, as many as it may have.
    let len = value.len().unwrap_or(usize::MAX);
    for _ in 0..=len.max(1).ilog2() {
        charge(state, value)?;
    }
    Ok(value.clone())
}

fn is_container(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::Iterable)
}

/// Takes the cost of `bytes` from the budget.
pub(super) fn pay(state: &State, bytes: usize) -> Result<(), Error> {
    state.consume_fuel(bytes as u64 / BYTES_PER_FUEL)
}

/// Takes the cost of a text, or of everything inside a container; numbers cost nothing here.
pub(super) fn charge(state: &State, value: &Value) -> Result<(), Error> {
    match value.as_str() {
        Some(text) => pay(state, text.len()),
        None => charge_parts(state, value),
    }
}

/// Takes the cost of everything inside a container from the budget; other values cost nothing here.
pub(super) fn charge_parts(state: &State, value: &Value) -> Result<(), Error> {
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
    /// A keyword.
    Word(&'a str),
    /// An operator or a separator.
    Sign,
}

/// A bracket that is open, or the tag itself.
#[derive(Default)]
struct Level {
    /// What is set behind the operand that comes: it follows an operator, or is one of those for `each` of which it is.
    waits: Option<&'static str>,
    /// Whether these are the arguments of a consumer, which makes text of them, or keys.
    each: Option<&'static str>,
    /// Whether it is a mapping, which has a key before each colon and a value behind it.
    pairs: bool,
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
    // A statement's first word is what it does.
    let mut first = tag.starts_with("{%");
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
        let len = token(rest, last == Last::Pipe);
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
        let consumer = match word {
            "|" if SORTERS.contains(&name(rest[1..].trim_start())) => Some(SORTED),
            "|" if CONSUMERS.contains(&name(rest[1..].trim_start())) => Some(USE),
            _ => None,
        };
        // An operand ends here unless the token goes on with it: then the operator before it is served, too.
        let ends = binary && !matches!(c, '.' | '[' | '(') && word != "=";
        let waited = if ends { levels.last_mut().and_then(|level| level.waits.take()) } else { None };
        // The strictest of them.
        let filters = [waited, operator, consumer];
        let filter = [FACTOR, KEY, SORTED, USE].into_iter().find(|&filter| filters.contains(&Some(filter)));
        if let (Some(filter), Last::Operand) = (filter, last) {
            set(&mut out, mark, filter);
        }
        out.push_str(word);
        mark = out.len();
        at += len;
        match c {
            '(' | '[' | '{' => {
                let each = match c {
                    '(' if consumes => Some(USE),
                    // Behind an operand it is a subscript, else a list.
                    '[' if binary => Some(KEY),
                    '{' => Some(KEY),
                    _ => None,
                };
                levels.push(Level { waits: each, each, pairs: c == '{' });
            }
            ')' | ']' | '}' if levels.len() > 1 => _ = levels.pop(),
            _ => {}
        }
        let level = levels.last_mut().expect("one is always left");
        if operator.is_some() {
            level.waits = operator;
        } else if matches!(c, ',' | ':' | '=' | '|' | '/' | '%') {
            match c {
                ',' if level.pairs => level.each = Some(KEY),
                ':' if level.pairs => level.each = None,
                _ => {}
            }
            level.waits = level.each;
        }
        consumes = last == Last::Pipe && (CONSUMERS.contains(&word) || SORTERS.contains(&word));
        last = match word {
            "and" | "or" | "not" | "is" | "in" | "if" | "else" if last != Last::Pipe => Last::Word(word),
            _ if first => Last::Word(word),
            "|" | "." => Last::Pipe,
            // Behind a point it is an index.
            _ if matches!(c, '"' | '\'') || (c.is_ascii_digit() && last != Last::Pipe) => Last::Literal,
            _ if matches!(c, ')' | ']' | '}') || is_name(c) => Last::Operand,
            _ => Last::Sign,
        };
        first = false;
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

/// Length of the token that `text` begins with; behind a point a number is an index, which has no fraction.
fn token(text: &str, is_index: bool) -> usize {
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
        b'0'..=b'9' => number(bytes, is_index),
        _ if text.starts_with(is_name) => name(text).len(),
        _ if ["**", "//", "==", "!=", "<=", ">="].iter().any(|sign| text.starts_with(sign)) => 2,
        _ => text.chars().next().map_or(1, char::len_utf8),
    }
}

/// Length of the number that `text` begins with, to the byte as the renderer reads it: what it takes for the next token is
/// one here too.
fn number(text: &[u8], is_index: bool) -> usize {
    let byte = |at: usize| text.get(at).copied().unwrap_or_default();
    let radix = if byte(0) == b'0' { byte(1).to_ascii_lowercase() } else { 0 };
    let decimal = !matches!(radix, b'x' | b'o' | b'b');
    let (mut fraction, mut exponent) = (is_index, false);
    let mut at = if decimal { 0 } else { 2 };
    loop {
        match byte(at) {
            b'0'..=b'9' | b'_' => {}
            b'a'..=b'f' | b'A'..=b'F' if radix == b'x' => {}
            b'e' | b'E' if decimal && !exponent => exponent = true,
            b'+' | b'-' if matches!(byte(at - 1), b'e' | b'E') && decimal => {}
            b'.' if decimal && !fraction && !exponent => {
                let power = matches!(byte(at + 1), b'e' | b'E') && matches!(byte(at + 2), b'+' | b'-' | b'0'..=b'9');
                if !power && (byte(at + 1).is_ascii_alphabetic() || byte(at + 1) == b'_') {
                    return at;
                }
                fraction = true;
            }
            _ => return at,
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::{FACTOR, KEY, SORTED, USE, guard};

    #[test]
    fn filters_stand_behind_operands_and_nowhere_else() {
        // The filters by one letter: u charges, f refuses lists, k does both, s charges for sorting.
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
            ("{{ {a: b, c|d: [e, f]} }}", "{{ {a|k: b, c|k|d|k: [e, f]} }}"),
            ("{{ a[b][c.d - 1][e:f] }}", "{{ a[b|k][c.d|k - 1][e|k:f|k] }}"),
            ("{{ a.0 ~ b.1.2 }}", "{{ a.0|u ~ b.1.2|u }}"),
            ("{{ 1. ~ a }}", "{{ 1. ~ a|u }}"),
            ("{{ 1.e5 == a }}", "{{ 1.e5 == a|u }}"),
            ("{{ 0x1f ~ a in 1.5if b == c else d }}", "{{ 0x1f ~ a|u in 1.5if b|u == c|u else d }}"),
            ("{{ a|sort(b)|first }}", "{{ a|s|sort(b|u)|first }}"),
            ("{{ loop.changed(a, b) }}", "{{ loop.changed(a|u, b|u) }}"),
            ("{{}}", "{{}}"),
            ("{{ 'é\\'~' ~ é }}", "{{ 'é\\'~' ~ é|u }}"),
        ];
        for (tag, expected) in cases {
            let guarded = [(USE, "u"), (FACTOR, "f"), (KEY, "k"), (SORTED, "s")].iter();
            let guarded = guarded.fold(guard(tag), |text, (filter, letter)| text.replace(filter, letter));
            assert_eq!(guarded, expected);
        }
    }
}
