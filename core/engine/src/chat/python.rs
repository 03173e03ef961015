//! The methods of Python's `str`, `dict` and `list` that templates call, with Python's own idea of spaces and indices.
//!
//! Methods that change a value in place (`append`, `update`, …) are absent: Hugging Face's sandbox forbids them too.

use minijinja::formatting::{FormatStyle, format};
use minijinja::value::{Kwargs, Tuple, Value, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State};

use super::guard::{charge, pay};
use super::paid::pay_for_items;

/// What the renderer calls for a method it does not know.
pub(super) fn call_method(state: &mut State, value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::String => {
            let text = value.as_str().unwrap_or_default();
            pay(state, text.len())?;
            text_method(state, text, method, args)
        }
        ValueKind::Map => map_method(state, value, method, args),
        ValueKind::Seq => list_method(state, value, method, args),
        _ => Err(unknown()),
    }
}

/// The filter `int(default=0)`: what is no number is the default. (The renderer's own filter refuses it.)
pub(super) fn int(value: &Value, default: Option<i64>) -> Value {
    let number = match value.as_str().map(str::trim) {
        Some(text) => text.parse().ok().or_else(|| whole(text.parse().ok()?)),
        None => value.as_i64().or_else(|| whole(f64::try_from(value.clone()).ok()?)),
    };
    Value::from(number.unwrap_or(default.unwrap_or(0)))
}

/// The filter `float(default=0.0)`.
pub(super) fn float(value: &Value, default: Option<f64>) -> Value {
    let number = match value.as_str() {
        Some(text) => text.trim().parse().ok(),
        None => f64::try_from(value.clone()).ok(),
    };
    Value::from(number.unwrap_or(default.unwrap_or(0.0)))
}

/// The test `sequence`: in Python whatever has a length and can be indexed, texts and mappings included.
pub(super) fn is_sequence(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::String | ValueKind::Map | ValueKind::Undefined)
}

/// The test `iterable`: whatever a loop takes in Python, so not `none`, over which the renderer loops zero times.
pub(super) fn is_iterable(value: &Value) -> bool {
    is_sequence(value) || value.kind() == ValueKind::Iterable
}

/// The test `callable`: functions and macros are the only values of no other kind.
pub(super) fn is_callable(value: &Value) -> bool {
    value.kind() == ValueKind::Plain
}

/// A float without its fraction, if it fits.
fn whole(x: f64) -> Option<i64> {
    // The bounds are powers of two and so exact.
    (x > -9.3e18 && x < 9.2e18).then_some(x as i64)
}

fn text_method(state: &State, text: &str, method: &str, args: &[Value]) -> Result<Value, Error> {
    let value = match method {
        "strip" | "lstrip" | "rstrip" => {
            let (chars,): (Option<&str>,) = from_args(args)?;
            // Each character is looked for among these.
            pay(state, text.len().saturating_mul(chars.map_or(0, str::len)))?;
            Value::from(strip(text, chars, method != "rstrip", method != "lstrip"))
        }
        "split" | "rsplit" => return split(state, text, method == "rsplit", args),
        "splitlines" => {
            let (keep, kwargs): (Option<bool>, Kwargs) = from_args(args)?;
            let keep = keep.or(kwargs.get("keepends")?).unwrap_or(false);
            kwargs.assert_all_used()?;
            pay_for_items(state, text.matches(is_break).count())?;
            split_lines(text, keep).into_iter().map(Value::from).collect()
        }
        "startswith" => Value::from(any_of(state, text, args, |fix| text.starts_with(fix))?),
        "endswith" => Value::from(any_of(state, text, args, |fix| text.ends_with(fix))?),
        "removeprefix" => {
            let (fix,): (&str,) = from_args(args)?;
            Value::from(text.strip_prefix(fix).unwrap_or(text))
        }
        "removesuffix" => {
            let (fix,): (&str,) = from_args(args)?;
            Value::from(text.strip_suffix(fix).unwrap_or(text))
        }
        "replace" => return replace(state, text, args),
        "join" => return join(state, text, args),
        "find" | "rfind" | "index" | "rindex" => {
            let (needle,): (&str,) = from_args(args)?;
            let byte = if method.starts_with('r') { text.rfind(needle) } else { text.find(needle) };
            match byte {
                Some(byte) => Value::from(text[..byte].chars().count()),
                None if method.ends_with("find") => Value::from(-1),
                None => return Err(fault("substring not found")),
            }
        }
        "count" => {
            let (needle,): (&str,) = from_args(args)?;
            Value::from(text.matches(needle).count())
        }
        "partition" | "rpartition" => {
            let (separator,): (&str,) = from_args(args)?;
            partition(text, separator, method == "rpartition")?
        }
        "ljust" | "rjust" | "center" | "zfill" => return pad(state, text, method, args),
        "format" => {
            pay_format(state, text, args)?;
            format(FormatStyle::StrFormat, text, args).map(Value::from)?
        }
        _ => {
            let () = from_args(args)?;
            match method {
                "upper" => Value::from(text.to_uppercase()),
                "lower" | "casefold" => Value::from(text.to_lowercase()),
                "title" => Value::from(title(text)),
                "capitalize" => Value::from(capitalize(text)),
                "isspace" => Value::from(all(text, is_space)),
                "isalpha" => Value::from(all(text, char::is_alphabetic)),
                "isalnum" => Value::from(all(text, char::is_alphanumeric)),
                "isdigit" | "isnumeric" | "isdecimal" => Value::from(all(text, char::is_numeric)),
                "isascii" => Value::from(text.is_ascii()),
                "islower" => Value::from(one_case(text, char::is_lowercase, char::is_uppercase)),
                "isupper" => Value::from(one_case(text, char::is_uppercase, char::is_lowercase)),
                _ => return Err(unknown()),
            }
        }
    };
    Ok(value)
}

fn map_method(state: &State, map: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    if method == "get" {
        let (key, default): (&Value, Option<Value>) = from_args(args)?;
        charge(state, key)?;
        let found = map.get_item(key)?;
        // A key whose value is `none` is there: only a missing one is undefined.
        return Ok(if found.is_undefined() { default.unwrap_or_else(|| Value::from(())) } else { found });
    }
    let () = from_args(args)?;
    // Each key is looked up.
    if matches!(method, "values" | "items") {
        charge(state, map)?;
    }
    let keys = map.try_iter()?;
    match method {
        "keys" => Ok(keys.collect()),
        "values" => keys.map(|key| map.get_item(&key)).collect(),
        "items" => keys.map(|key| Ok(Value::from(Tuple::from([key.clone(), map.get_item(&key)?])))).collect(),
        "copy" => Ok(map.clone()),
        _ => Err(unknown()),
    }
}

fn list_method(state: &State, list: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    match method {
        "count" => {
            let (wanted,): (&Value,) = from_args(args)?;
            charge(state, list)?;
            Ok(Value::from(list.try_iter()?.filter(|item| item == wanted).count()))
        }
        "index" => {
            let (wanted,): (&Value,) = from_args(args)?;
            charge(state, list)?;
            let at = list.try_iter()?.position(|item| item == *wanted);
            at.map(Value::from).ok_or_else(|| fault("value is not in the list"))
        }
        "copy" => {
            let () = from_args(args)?;
            Ok(list.clone())
        }
        _ => Err(unknown()),
    }
}

/// Python's `str.isspace`: Unicode white space and the four ASCII separators.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

fn all(text: &str, test: fn(char) -> bool) -> bool {
    !text.is_empty() && text.chars().all(test)
}

fn one_case(text: &str, wanted: fn(char) -> bool, other: fn(char) -> bool) -> bool {
    text.chars().any(wanted) && !text.chars().any(other)
}

fn strip<'a>(text: &'a str, chars: Option<&str>, start: bool, end: bool) -> &'a str {
    let goes = |c: char| chars.map_or_else(|| is_space(c), |set| set.contains(c));
    let text = if start { text.trim_start_matches(goes) } else { text };
    if end { text.trim_end_matches(goes) } else { text }
}

/// `split(sep=None, maxsplit=-1)` and `rsplit`.
fn split(state: &State, text: &str, from_right: bool, args: &[Value]) -> Result<Value, Error> {
    let (separator, most, kwargs): (Option<&str>, Option<i64>, Kwargs) = from_args(args)?;
    let separator = separator.or(kwargs.get("sep")?);
    let most = most.or(kwargs.get("maxsplit")?).unwrap_or(-1);
    kwargs.assert_all_used()?;
    let pieces = usize::try_from(most).map_or(usize::MAX, |n| n.saturating_add(1));
    if separator == Some("") {
        return Err(fault("empty separator"));
    }
    let places = separator.map_or_else(|| text.matches(is_space).count(), |separator| text.matches(separator).count());
    pay_for_items(state, places.min(pieces))?;
    let Some(separator) = separator else {
        return Ok(split_spaces(text, from_right, pieces).into_iter().map(Value::from).collect());
    };
    if !from_right {
        return Ok(text.splitn(pieces, separator).map(Value::from).collect());
    }
    let mut parts: Vec<&str> = text.rsplitn(pieces, separator).collect();
    parts.reverse();
    Ok(parts.into_iter().map(Value::from).collect())
}

/// Splits at runs of spaces into at most `pieces` parts; the last one (the first, from the right) keeps its inner spaces.
fn split_spaces(text: &str, from_right: bool, pieces: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = strip(text, None, !from_right, from_right);
    while !rest.is_empty() {
        let space = if from_right { rest.rfind(is_space) } else { rest.find(is_space) };
        match space {
            Some(at) if parts.len() + 1 < pieces => {
                let width = rest[at..].chars().next().map_or(0, char::len_utf8);
                let (before, after) = (&rest[..at], &rest[at + width..]);
                parts.push(if from_right { after } else { before });
                rest = if from_right { before } else { after };
                rest = strip(rest, None, !from_right, from_right);
            }
            _ => {
                // Without a space left, or at the limit, what remains is one part.
                parts.push(strip(rest, None, from_right && space.is_none(), false));
                break;
            }
        }
    }
    // Python drops spaces at the far end too, unless the limit left them inside the last part.
    if parts.len() < pieces {
        parts.retain(|part| !part.is_empty());
    }
    if from_right {
        parts.reverse();
    }
    parts
}

/// Where Python ends a line.
fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn split_lines(text: &str, keep_ends: bool) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(is_break) {
        let width =
            if rest[at..].starts_with("\r\n") { 2 } else { rest[at..].chars().next().map_or(0, char::len_utf8) };
        lines.push(if keep_ends { &rest[..at + width] } else { &rest[..at] });
        rest = &rest[at + width..];
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}

/// `startswith` and `endswith` take one string or a tuple of them.
fn any_of(state: &State, text: &str, args: &[Value], test: impl Fn(&str) -> bool) -> Result<bool, Error> {
    let (given,): (&Value,) = from_args(args)?;
    if let Some(one) = given.as_str() {
        return Ok(test(one));
    }
    if given.kind() != ValueKind::Seq {
        return Err(fault("expected a string or a tuple of strings"));
    }
    for item in given.try_iter()? {
        state.consume_fuel(1)?;
        let item = item.as_str().ok_or_else(|| fault("expected a tuple of strings"))?;
        pay(state, item.len().min(text.len()))?;
        if test(item) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn replace(state: &State, text: &str, args: &[Value]) -> Result<Value, Error> {
    let (old, new, count): (&str, &str, Option<i64>) = from_args(args)?;
    let most = count.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
    // The result can be far longer than what goes in: it is paid for before it exists.
    let places = (text.len() / old.len().max(1) + 1).min(most);
    pay(state, places.saturating_mul(new.len()))?;
    Ok(Value::from(text.replacen(old, new, most)))
}

fn join(state: &State, separator: &str, args: &[Value]) -> Result<Value, Error> {
    let (items,): (&Value,) = from_args(args)?;
    let mut out = String::new();
    for (index, item) in items.try_iter()?.enumerate() {
        let item = item.as_str().ok_or_else(|| fault("join takes strings"))?.to_owned();
        pay(state, separator.len() + item.len())?;
        if index > 0 {
            out.push_str(separator);
        }
        out.push_str(&item);
    }
    Ok(Value::from(out))
}

fn partition(text: &str, separator: &str, from_right: bool) -> Result<Value, Error> {
    if separator.is_empty() {
        return Err(fault("empty separator"));
    }
    let found = if from_right { text.rsplit_once(separator) } else { text.split_once(separator) };
    let parts = match found {
        Some((before, after)) => [before, separator, after],
        None if from_right => ["", "", text],
        None => [text, "", ""],
    };
    Ok(Value::from(Tuple::from(parts.map(Value::from))))
}

fn pad(state: &State, text: &str, method: &str, args: &[Value]) -> Result<Value, Error> {
    let (width, fill): (usize, Option<char>) = from_args(args)?;
    let missing = width.saturating_sub(text.chars().count());
    pay(state, missing.saturating_mul(4))?;
    let fill = if method == "zfill" { '0' } else { fill.unwrap_or(' ') };
    let run = |n: usize| std::iter::repeat_n(fill, n);
    let out: String = match method {
        "ljust" => text.chars().chain(run(missing)).collect(),
        "rjust" => run(missing).chain(text.chars()).collect(),
        "center" => {
            // CPython gives the odd one to the left when the width is odd.
            let left = missing / 2 + (missing & width & 1);
            run(left).chain(text.chars()).chain(run(missing - left)).collect()
        }
        _ => {
            let sign = text.len() - text.trim_start_matches(['+', '-']).len();
            let (sign, digits) = text.split_at(sign.min(1));
            sign.chars().chain(run(missing)).chain(digits.chars()).collect()
        }
    };
    Ok(Value::from(out))
}

fn title(text: &str) -> String {
    let mut inside = false;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if inside {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
        inside = c.is_alphabetic();
    }
    out
}

fn capitalize(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next();
    let mut out: String = first.into_iter().flat_map(char::to_uppercase).collect();
    out.push_str(&chars.as_str().to_lowercase());
    out
}

/// Pays for the widths that a format asks for, and for every argument in every place.
fn pay_format(state: &State, text: &str, args: &[Value]) -> Result<(), Error> {
    let longest = args.iter().filter_map(Value::as_str).map(str::len).max().unwrap_or(0);
    for field in text.split('{').skip(1) {
        let spec = field.split('}').next().unwrap_or(field);
        let numbers = spec.split(|c: char| !c.is_ascii_digit()).filter(|digits| !digits.is_empty());
        let width = numbers.map(|digits| digits.parse().unwrap_or(usize::MAX)).fold(0, usize::saturating_add);
        // A character that fills up takes up to four bytes.
        pay(state, width.saturating_mul(4).saturating_add(longest))?;
        args.iter().try_for_each(|arg| charge(state, arg))?;
    }
    Ok(())
}

fn fault(reason: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, reason)
}

fn unknown() -> Error {
    Error::from(ErrorKind::UnknownMethod)
}
