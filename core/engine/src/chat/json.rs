//! JSON into templates and out of them: `tojson` as Hugging Face's renderer has it: Python's `json.dumps` with `ensure_ascii=False`, and no HTML escaping.

use std::fmt::Write as _;

use minijinja::value::{Kwargs, Rest, Value, ValueKind, ValueOrKwargs, from_args};
use minijinja::{Error, ErrorKind, State};
use serde_json::Value as Json;

/// Deeper values are refused: the writer recurses, and no schema is deeper.
const MAX_DEPTH: usize = 64;

/// Longer indents and separators are refused: they stand between all items, an indent once for each level.
const MAX_BETWEEN_BYTES: usize = 64;

/// Longer texts are refused; a value built of shared parts can be exponentially larger written out than in memory.
const MAX_LEN_BYTES: usize = 4 << 20;

/// One unit of a template's budget pays for this many bytes of JSON.
const BYTES_PER_FUEL: usize = 16;

/// A JSON value as a template sees it. Numbers beyond 64 bits are already floats in `json`.
pub(super) fn to_value(json: &Json) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(truth) => Value::from(*truth),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => Value::from(whole),
            (_, Some(whole)) => Value::from(whole),
            _ => Value::from(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => items.iter().map(to_value).collect(),
        Json::Object(pairs) => Value::from_pairs(pairs.iter().map(|(key, value)| (key.as_str(), to_value(value)))),
    }
}

/// The filter: `value|tojson(ensure_ascii=False, indent=None, separators=None, sort_keys=False)`.
pub(super) fn tojson(state: &State, value: &Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let (given, kwargs): (Rest<Value>, Kwargs) = from_args(&args.into_values())?;
    if given.len() > 4 {
        return Err(Error::from(ErrorKind::TooManyArguments));
    }
    // By position or by name; `none` stands for the default.
    let argument = |index: usize, name: &str| -> Result<Option<Value>, Error> {
        let value = match given.get(index) {
            Some(value) => Some(value.clone()),
            None => kwargs.get::<Option<Value>>(name)?,
        };
        Ok(value.filter(|value| !value.is_none()))
    };
    let ascii = argument(0, "ensure_ascii")?.is_some_and(|value| value.is_true());
    let indent = match argument(1, "indent")? {
        None => None,
        Some(value) => match value.as_str() {
            Some(text) => Some(text.to_owned()),
            None => Some(" ".repeat(usize::try_from(value)?.min(64))),
        },
    };
    let separators = match argument(2, "separators")? {
        Some(pair) => Some((pair.get_item_by_index(0)?, pair.get_item_by_index(1)?)),
        None => None,
    };
    let (comma, colon) = match &separators {
        Some((comma, colon)) => (comma.as_str().unwrap_or(","), colon.as_str().unwrap_or(":")),
        None if indent.is_some() => (",", ": "),
        None => (", ", ": "),
    };
    if [indent.as_deref().unwrap_or(""), comma, colon].iter().any(|text| text.len() > MAX_BETWEEN_BYTES) {
        return Err(fault("the indent or a separator of tojson is too long"));
    }
    let mut writer = Writer {
        out: String::new(),
        indent: indent.as_deref(),
        comma,
        colon,
        ascii,
        sort: argument(3, "sort_keys")?.is_some_and(|value| value.is_true()),
    };
    kwargs.assert_all_used()?;
    writer.value(value, 0)?;
    state.consume_fuel((writer.out.len() / BYTES_PER_FUEL) as u64)?;
    Ok(Value::from(writer.out))
}

struct Writer<'a> {
    out: String,
    indent: Option<&'a str>,
    comma: &'a str,
    colon: &'a str,
    ascii: bool,
    sort: bool,
}

impl Writer<'_> {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > MAX_DEPTH || self.out.len() > MAX_LEN_BYTES {
            return Err(fault("the value is too deep or too long for tojson"));
        }
        match value.kind() {
            ValueKind::None => self.out.push_str("null"),
            ValueKind::Bool => self.out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number if value.is_integer() => self.out.push_str(&value.to_string()),
            ValueKind::Number => self.out.push_str(&float(f64::try_from(value.clone())?)),
            ValueKind::String => self.string(value.as_str().unwrap_or_default())?,
            ValueKind::Seq | ValueKind::Iterable => self.list(value, depth)?,
            ValueKind::Map => self.map(value, depth)?,
            _ => return Err(fault("a value of this kind has no JSON form")),
        }
        Ok(())
    }

    fn list(&mut self, list: &Value, depth: usize) -> Result<(), Error> {
        self.out.push('[');
        let mut empty = true;
        for item in list.try_iter()? {
            self.separate(&mut empty, depth + 1);
            self.value(&item, depth + 1)?;
        }
        self.close(empty, depth, ']');
        Ok(())
    }

    fn map(&mut self, map: &Value, depth: usize) -> Result<(), Error> {
        let mut keys: Vec<Value> = map.try_iter()?.collect();
        if self.sort {
            keys.sort();
        }
        self.out.push('{');
        let mut empty = true;
        for key in keys {
            self.separate(&mut empty, depth + 1);
            match key.kind() {
                ValueKind::String => self.string(key.as_str().unwrap_or_default())?,
                ValueKind::None | ValueKind::Bool | ValueKind::Number => {
                    self.out.push('"');
                    self.value(&key, depth + 1)?;
                    self.out.push('"');
                }
                _ => return Err(fault("a key of this kind has no JSON form")),
            }
            self.out.push_str(self.colon);
            self.value(&map.get_item(&key)?, depth + 1)?;
        }
        self.close(empty, depth, '}');
        Ok(())
    }

    /// What stands before an item: nothing or the comma, then the line break where there is an indent.
    fn separate(&mut self, empty: &mut bool, depth: usize) {
        if !std::mem::replace(empty, false) {
            self.out.push_str(self.comma);
        }
        self.line_break(depth);
    }

    fn close(&mut self, empty: bool, depth: usize, bracket: char) {
        if !empty {
            self.line_break(depth);
        }
        self.out.push(bracket);
    }

    fn line_break(&mut self, depth: usize) {
        if let Some(indent) = self.indent {
            self.out.push('\n');
            for _ in 0..depth {
                self.out.push_str(indent);
            }
        }
    }

    fn string(&mut self, text: &str) -> Result<(), Error> {
        if text.len() > MAX_LEN_BYTES {
            return Err(fault("a text is too long for tojson"));
        }
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                c if c < ' ' || (self.ascii && c > '~') => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        write!(self.out, "\\u{unit:04x}").expect("a String takes every write");
                    }
                }
                c => self.out.push(c),
            }
        }
        self.out.push('"');
        Ok(())
    }
}

/// A float as Python's `repr` writes it: the shortest digits that read back the same, with an exponent below 1e-4 and from 1e16.
fn float(x: f64) -> String {
    if x.is_nan() {
        return "NaN".to_owned();
    }
    if x.is_infinite() {
        return if x > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    if x == 0.0 || (1e-4..1e16).contains(&x.abs()) {
        return format!("{x:?}");
    }
    let text = format!("{x:e}");
    let (digits, exponent) = text.split_once('e').expect("{:e} writes an exponent");
    let exponent: i32 = exponent.parse().expect("{:e} writes a whole exponent");
    format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

fn fault(reason: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, reason)
}
