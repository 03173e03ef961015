//! What the renderer offers and charges too little for: the same, paid for before it happens.
//!
//! Its tests compare lists whose parts are shared, and texts, for nothing; some filters look for every character of one text
//! among those of another, or make a list of a text's pieces first and charge for it then.

use std::borrow::Cow;
use std::sync::Arc;

use minijinja::value::{Kwargs, Rest, StringInput, Value, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, Output, State, escape_formatter, filters, functions, tests};

use super::guard::{self, charge, charge_parts, pay};

/// Parts of a path such as `a.b.c`; it is followed for every item of a list, and real ones have three at most.
const MAX_PATH: usize = 8;

/// Memory of one more item in a list that grows.
const ITEM_BYTES: usize = 64;

/// A test of two values, paid for by both.
macro_rules! compare {
    ($environment:ident: $($($name:literal)|+ => $test:ident),+) => {$({
        fn compare(state: &State, a: &Value, b: &Value) -> Result<bool, Error> {
            charge(state, a)?;
            charge(state, b)?;
            Ok(tests::$test(a, b))
        }
        $($environment.add_test($name, compare);)+
    })+};
}

/// A filter that follows a path for every item of a list, for short paths.
macro_rules! by_path {
    ($environment:ident: $($filter:ident),+) => {$({
        fn by_path(
            state: &mut State,
            value: Value,
            path: Cow<'_, str>,
            test: Option<Cow<'_, str>>,
            args: Rest<ValueOrKwargs>,
        ) -> Result<Vec<Value>, Error> {
            is_short(&path)?;
            filters::$filter(state, value, path, test, args)
        }
        $environment.add_filter(stringify!($filter), by_path);
    })+};
}

/// Puts all of this in the place of the renderer's own.
pub(super) fn replace_in(environment: &mut Environment<'static>) {
    compare!(environment:
        "eq" | "equalto" | "==" => is_eq,
        "ne" | "!=" => is_ne,
        "lt" | "lessthan" | "<" => is_lt,
        "le" | "<=" => is_le,
        "gt" | "greaterthan" | ">" => is_gt,
        "ge" | ">=" => is_ge,
        "sameas" => is_sameas
    );
    environment.add_test("in", is_in);
    environment.add_test("startingwith", is_startingwith);
    environment.add_test("endingwith", is_endingwith);
    environment.add_test("lower", is_lower);
    environment.add_test("upper", is_upper);
    environment.add_filter(guard::USE, guard::used);
    environment.add_filter(guard::FACTOR, guard::factor);
    environment.add_filter(guard::KEY, guard::key);
    environment.add_filter(guard::SORTED, guard::sorted);
    environment.add_filter("trim", trim);
    environment.add_filter("split", split);
    environment.add_filter("lines", lines);
    environment.add_filter("sum", sum);
    by_path!(environment: selectattr, rejectattr);
    environment.add_function("dict", dict);
    environment.set_formatter(write);
    // Not of Jinja: one copies what it is given before it is charged, one writes out all there is.
    environment.remove_filter("chain");
    environment.remove_filter("pprint");
    environment.remove_global("debug");
}

/// What `{{ … }}` writes, into the prompt or into a variable.
fn write(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    charge_parts(state, value)?;
    escape_formatter(out, state, value)
}

fn is_in(state: &State, value: &Value, other: &Value) -> Result<bool, Error> {
    charge(state, value)?;
    charge(state, other)?;
    tests::is_in(state, value, other)
}

fn is_startingwith(state: &State, value: &Value, start: &Value) -> Result<bool, Error> {
    Ok(tests::is_startingwith(text(state, value)?, text(state, start)?))
}

fn is_endingwith(state: &State, value: &Value, end: &Value) -> Result<bool, Error> {
    Ok(tests::is_endingwith(text(state, value)?, text(state, end)?))
}

fn is_lower(state: &State, value: &Value) -> Result<bool, Error> {
    charge(state, value)?;
    Ok(tests::is_lower(value))
}

fn is_upper(state: &State, value: &Value) -> Result<bool, Error> {
    charge(state, value)?;
    Ok(tests::is_upper(value))
}

/// A value as it would be printed.
fn text<'a>(state: &State, value: &'a Value) -> Result<Cow<'a, str>, Error> {
    charge(state, value)?;
    Ok(value.as_str().map_or_else(|| Cow::Owned(value.to_string()), Cow::Borrowed))
}

fn trim(state: &State, value: StringInput<'_>, chars: Option<Cow<'_, str>>) -> Result<Value, Error> {
    // Each character is looked for among these.
    pay(state, value.as_str().len().saturating_mul(chars.as_ref().map_or(0, |chars| chars.len())))?;
    Ok(filters::trim(value, chars))
}

fn split(state: &State, value: &Value, separator: Option<Arc<str>>, most: Option<i64>) -> Result<Value, Error> {
    let text = value.as_str().unwrap_or_default();
    pay_for_items(
        state,
        match &separator {
            Some(separator) => text.matches(&**separator).count(),
            None => text.split_whitespace().count(),
        },
    )?;
    filters::split(value, separator, most)
}

fn lines(state: &State, value: &Value) -> Result<Value, Error> {
    pay_for_items(state, value.as_str().unwrap_or_default().matches('\n').count())?;
    filters::lines(value)
}

/// Pays for a list before it is made.
pub(super) fn pay_for_items(state: &State, n: usize) -> Result<(), Error> {
    pay(state, n.saturating_mul(ITEM_BYTES))
}

/// Of numbers: to add up texts or lists one by one copies what there is each time.
fn sum(
    state: &State,
    values: Value,
    attribute: Option<&str>,
    start: Option<Value>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    let start = match start {
        Some(start) => Some(start),
        None => kwargs.get("start")?,
    };
    if start.as_ref().is_some_and(|start| !start.is_number()) {
        return Err(Error::new(ErrorKind::InvalidOperation, "only numbers are summed up"));
    }
    filters::sum(state, values, attribute, start, kwargs)
}

fn is_short(path: &str) -> Result<(), Error> {
    if path.split('.').nth(MAX_PATH).is_some() {
        return Err(Error::new(ErrorKind::InvalidOperation, "the path of an attribute has too many parts"));
    }
    Ok(())
}

/// A copy of a mapping, for which all of its keys are looked at.
fn dict(state: &State, value: Option<Value>, update: Kwargs) -> Result<Value, Error> {
    value.as_ref().map_or(Ok(()), |value| charge(state, value))?;
    functions::dict(value, update)
}
