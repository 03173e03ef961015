//! The table of contents: typed access to metadata, tensors by name.

use crate::error::Error;
use crate::tensor::Tensor;
use crate::value::{Array, Value};

/// What is in a file, and where.
#[derive(Clone, Debug)]
pub struct Contents {
    /// 2 or 3.
    pub version: u32,
    /// Alignment of tensor data.
    pub alignment: u64,
    /// Where the data section begins in the file.
    pub data_offset: u64,
    /// Keys and values in the file's order.
    pub metadata: Vec<(String, Value)>,
    /// Tensors in the file's order.
    pub tensors: Vec<Tensor>,
    pub(crate) keys_by_name: Vec<u32>,
    pub(crate) tensors_by_name: Vec<u32>,
}

macro_rules! getters {
    ($($(#[$doc:meta])* $name:ident -> $type:ty, $expected:literal, $pattern:pat => $value:expr;)*) => {
        $($(#[$doc])*
        pub fn $name(&self, key: &str) -> Result<Option<$type>, Error> {
            match self.get(key) {
                None => Ok(None),
                Some($pattern) => Ok(Some($value)),
                Some(other) => Err(wrong(key, $expected, other)),
            }
        })*
    };
}

fn wrong(key: &str, expected: &'static str, found: &Value) -> Error {
    Error::WrongKind { key: key.to_owned(), expected, found: found.kind() }
}

impl Contents {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let name = |&i: &u32| self.metadata[i as usize].0.as_str();
        let at = self.keys_by_name.binary_search_by_key(&key, name).ok()?;
        Some(&self.metadata[self.keys_by_name[at] as usize].1)
    }

    /// A tensor by its name.
    pub fn tensor(&self, name: &str) -> Option<&Tensor> {
        let key = |&i: &u32| self.tensors[i as usize].name.as_str();
        let at = self.tensors_by_name.binary_search_by_key(&name, key).ok()?;
        Some(&self.tensors[self.tensors_by_name[at] as usize])
    }

    getters! {
        /// A float; none if the key is absent, an error if it is of another type.
        f32 -> f32, "a float", Value::F32(v) => *v;
        /// A bool; none if the key is absent, an error if it is of another type.
        bool -> bool, "a bool", Value::Bool(v) => *v;
        /// A string; none if the key is absent, an error if it is of another type.
        str -> &str, "a string", Value::String(v) => v.as_str();
        /// An array; none if the key is absent, an error if it is of another type.
        array -> &Array, "an array", Value::Array(v) => v;
    }

    /// A count, from any integer type that is not negative; none if the key is absent, an error otherwise.
    pub fn u64(&self, key: &str) -> Result<Option<u64>, Error> {
        let value = |v: &Value| v.as_u64().ok_or_else(|| wrong(key, "a count", v));
        self.get(key).map(value).transpose()
    }

    /// As [`Contents::u64`], for counts that fit 32 bits.
    pub fn u32(&self, key: &str) -> Result<Option<u32>, Error> {
        let value = |v: &Value| {
            v.as_u64().and_then(|v| u32::try_from(v).ok()).ok_or_else(|| wrong(key, "a count of 32 bits", v))
        };
        self.get(key).map(value).transpose()
    }
}
