//! `namespace()`: the one thing that a template can change, and so the one way to build values without end.
//!
//! The renderer's own namespace takes any value, itself included; printing or freeing what a hostile template nests that
//! way overflows the stack. Ours keeps plain data of limited depth.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::value::{Kwargs, Object, ObjectRepr, Tuple, Value, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State};

/// What `{% set ns.x = … %}` is rewritten to call.
pub(super) const SET_METHOD: &str = "sprat_set";

/// Real templates keep lists of messages at most.
const MAX_DEPTH: usize = 64;

/// One unit of a template's budget pays for copying this many items.
const ITEMS_PER_FUEL: u64 = 2;

#[derive(Default)]
pub(super) struct Namespace {
    values: Mutex<BTreeMap<String, Value>>,
}

/// `namespace(mapping, **values)`.
pub(super) fn namespace(state: &State, given: Option<Value>, kwargs: Kwargs) -> Result<Value, Error> {
    let space = Namespace::default();
    if let Some(given) = given {
        for name in given.try_iter()? {
            let name = name.as_str().ok_or_else(|| fault("names in a namespace are texts"))?;
            space.set(state, name, &given.get_item(&Value::from(name))?)?;
        }
    }
    for name in kwargs.args() {
        space.set(state, name, &kwargs.get::<Value>(name)?)?;
    }
    Ok(Value::from_object(space))
}

impl Namespace {
    fn set(&self, state: &State, name: &str, value: &Value) -> Result<(), Error> {
        let mut items = 0;
        let value = plain(state, value, 0, &mut items)?;
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        values.insert(name.to_owned(), value);
        Ok(())
    }
}

impl Object for Namespace {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        values.get(key.as_str()?).cloned()
    }

    fn call_method(self: &Arc<Self>, state: &mut State, method: &str, args: &[Value]) -> Result<Value, Error> {
        if method != SET_METHOD {
            return Err(Error::from(ErrorKind::UnknownMethod));
        }
        let (name, value): (&str, &Value) = from_args(args)?;
        self.set(state, name, value)?;
        Ok(Value::UNDEFINED)
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<Namespace>")
    }
}

/// A copy of `value` in plain lists and maps: no views of other values, no functions, no namespaces.
fn plain(state: &State, value: &Value, depth: usize, items: &mut u64) -> Result<Value, Error> {
    *items += 1;
    if items.is_multiple_of(ITEMS_PER_FUEL) {
        state.consume_fuel(1)?;
    }
    if depth > MAX_DEPTH {
        return Err(fault("a namespace keeps no value nested so deeply"));
    }
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => {
            let copies: Result<Vec<Value>, Error> =
                value.try_iter()?.map(|item| plain(state, &item, depth + 1, items)).collect();
            let copies = copies?;
            Ok(if value.is_tuple() { Value::from(Tuple::from(copies)) } else { Value::from(copies) })
        }
        ValueKind::Map => {
            let pairs: Result<Vec<(Value, Value)>, Error> = value
                .try_iter()?
                .map(|key| {
                    let inner = plain(state, &value.get_item(&key)?, depth + 1, items)?;
                    Ok((plain(state, &key, depth + 1, items)?, inner))
                })
                .collect();
            Ok(Value::from_pairs(pairs?))
        }
        ValueKind::Plain => Err(fault("a namespace keeps neither functions nor namespaces")),
        _ => Ok(value.clone()),
    }
}

fn fault(reason: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, reason)
}
