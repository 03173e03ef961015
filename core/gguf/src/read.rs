//! Reads the header: every length is compared with the bytes that are there before anything is allocated for it.

use std::ops::Range;

use crate::contents::Contents;
use crate::error::Error;
use crate::tensor::{Tensor, TensorKind, removed};
use crate::value::{Array, Value, ValueKind};
use crate::{DEFAULT_ALIGNMENT, MAGIC, limits};

/// Fewest bytes that a key with its value takes: a length, a type and one byte.
const MIN_KEY_BYTES: u64 = 8 + 4 + 1;
/// Fewest bytes that a tensor's entry takes: a length, a dimension, a type, an offset.
const MIN_TENSOR_BYTES: u64 = 8 + 4 + 8 + 4 + 8;

impl Contents {
    /// Reads the header of a file of `file_len` bytes. `bytes` is the file, or a beginning of it that holds the whole
    /// header; if it does not, [`Error::Truncated`] says how many bytes to get at least. Bytes behind `file_len` are
    /// not looked at.
    pub fn parse(bytes: &[u8], file_len: u64) -> Result<Self, Error> {
        let bytes = usize::try_from(file_len).ok().and_then(|len| bytes.get(..len)).unwrap_or(bytes);
        let mut cursor = Cursor { bytes, at: 0 };
        let magic = &bytes[..bytes.len().min(4)];
        if magic != &MAGIC[..magic.len()] {
            return Err(Error::Magic { found: magic.to_vec() });
        }
        cursor.take(4)?;
        let version = cursor.u32()?;
        if !matches!(version, 2 | 3) {
            let swapped = matches!(version.swap_bytes(), 1..=3);
            return Err(if swapped { Error::BigEndian } else { Error::Version { version } });
        }
        let n_tensors = cursor.count("number of tensors", limits::TENSORS)?;
        let n_keys = cursor.count("number of metadata keys", limits::KEYS)?;
        cursor.expect(n_keys * MIN_KEY_BYTES + n_tensors * MIN_TENSOR_BYTES)?;

        let mut metadata = room(n_keys)?;
        for _ in 0..n_keys {
            let key = cursor.string("metadata key", limits::NAME_BYTES)?;
            let value = cursor.value(&key)?;
            metadata.push((key, value));
        }
        let keys_by_name = sorted("metadata key", &metadata, |(key, _)| key)?;
        let mut contents = Self {
            version,
            alignment: DEFAULT_ALIGNMENT,
            data_offset: 0,
            metadata,
            tensors: room(n_tensors)?,
            keys_by_name,
            tensors_by_name: Vec::new(),
        };
        if let Some(found) = contents.u64("general.alignment")? {
            if !found.is_power_of_two() || !(8..=limits::ALIGNMENT).contains(&found) {
                return Err(Error::Alignment { found });
            }
            contents.alignment = found;
        }
        for _ in 0..n_tensors {
            let tensor = cursor.tensor(contents.alignment)?;
            contents.tensors.push(tensor);
        }
        contents.tensors_by_name = sorted("tensor", &contents.tensors, |t| &t.name)?;
        contents.data_offset = (cursor.at as u64).next_multiple_of(contents.alignment);
        contents.place(file_len)?;
        Ok(contents)
    }

    /// Turns the tensors' offsets into ranges of the file, and checks that each lies inside and on its own.
    fn place(&mut self, file_len: u64) -> Result<(), Error> {
        for tensor in &mut self.tensors {
            let (start, end) = (
                self.data_offset.saturating_add(tensor.range.start),
                self.data_offset.saturating_add(tensor.range.end),
            );
            if end > file_len || end == u64::MAX {
                return Err(Error::OutOfBounds { name: tensor.name.clone(), start, end, file_len });
            }
            tensor.range = start..end;
        }
        let mut order: Vec<&Tensor> = room(self.tensors.len() as u64)?;
        order.extend(&self.tensors);
        // Of tensors in this order, none of them empty, neighbours overlap if any do.
        order.sort_unstable_by_key(|t| t.range.start);
        match order.windows(2).find(|pair| pair[0].range.end > pair[1].range.start) {
            Some(pair) => Err(Error::Overlap { first: pair[0].name.clone(), second: pair[1].name.clone() }),
            None => Ok(()),
        }
    }
}

/// Indices in the order of the names; an error if one stands twice.
fn sorted<T>(what: &'static str, items: &[T], name: fn(&T) -> &String) -> Result<Vec<u32>, Error> {
    let mut order: Vec<u32> = room(items.len() as u64)?;
    order.extend(0..items.len() as u32);
    order.sort_unstable_by_key(|&i| name(&items[i as usize]));
    let twice = order.windows(2).find(|pair| name(&items[pair[0] as usize]) == name(&items[pair[1] as usize]));
    match twice {
        Some(pair) => Err(Error::Duplicate { what, name: name(&items[pair[0] as usize]).clone() }),
        None => Ok(order),
    }
}

/// An empty vector with room for `n`, which the bytes at hand have borne out.
fn room<T>(n: u64) -> Result<Vec<T>, Error> {
    let mut room = Vec::new();
    match room.try_reserve_exact(n as usize) {
        Ok(()) => Ok(room),
        Err(_) => Err(Error::Memory { bytes: n.saturating_mul(size_of::<T>() as u64) }),
    }
}

/// A place in the header.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// Fails unless `n` more bytes are there.
    fn expect(&self, n: u64) -> Result<(), Error> {
        let available = self.bytes.len() as u64;
        let needed = (self.at as u64).saturating_add(n);
        if needed > available { Err(Error::Truncated { needed, available }) } else { Ok(()) }
    }

    fn take(&mut self, n: u64) -> Result<&'a [u8], Error> {
        self.expect(n)?;
        // `expect` saw that this many bytes are in memory, so it fits usize.
        let taken = &self.bytes[self.at..self.at + n as usize];
        self.at += n as usize;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let bytes = self.take(N as u64)?;
        Ok(bytes.try_into().expect("take gives as many bytes as asked for"))
    }

    fn u32(&mut self) -> Result<u32, Error> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, Error> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn count(&mut self, what: &'static str, limit: u64) -> Result<u64, Error> {
        let found = self.u64()?;
        if found > limit { Err(Error::TooLarge { what, found, limit }) } else { Ok(found) }
    }

    fn string(&mut self, what: &'static str, limit: u64) -> Result<String, Error> {
        let len = self.count(what, limit)?;
        let offset = self.at as u64;
        let bytes = self.take(len)?;
        let text = std::str::from_utf8(bytes).map_err(|_| Error::Utf8 { what, offset })?;
        let mut owned = String::new();
        owned.try_reserve_exact(text.len()).map_err(|_| Error::Memory { bytes: len })?;
        owned.push_str(text);
        Ok(owned)
    }

    fn value(&mut self, key: &str) -> Result<Value, Error> {
        Ok(match self.kind(key)? {
            ValueKind::U8 => Value::U8(u8::from_le_bytes(self.array()?)),
            ValueKind::I8 => Value::I8(i8::from_le_bytes(self.array()?)),
            ValueKind::U16 => Value::U16(u16::from_le_bytes(self.array()?)),
            ValueKind::I16 => Value::I16(i16::from_le_bytes(self.array()?)),
            ValueKind::U32 => Value::U32(self.u32()?),
            ValueKind::I32 => Value::I32(i32::from_le_bytes(self.array()?)),
            ValueKind::F32 => Value::F32(f32::from_le_bytes(self.array()?)),
            ValueKind::U64 => Value::U64(self.u64()?),
            ValueKind::I64 => Value::I64(i64::from_le_bytes(self.array()?)),
            ValueKind::F64 => Value::F64(f64::from_le_bytes(self.array()?)),
            ValueKind::Bool => Value::Bool(match self.array::<1>()? {
                [0] => false,
                [1] => true,
                [found] => return Err(Error::Bool { key: key.to_owned(), found }),
            }),
            ValueKind::String => Value::String(self.string("string value", limits::STRING_BYTES)?),
            ValueKind::Array => {
                let (kind, len, range) = self.elements(key, 1)?;
                Value::Array(Array { kind, len, range })
            }
        })
    }

    fn kind(&mut self, key: &str) -> Result<ValueKind, Error> {
        let kind = self.u32()?;
        ValueKind::from_id(kind).ok_or_else(|| Error::ValueKind { key: key.to_owned(), kind })
    }

    /// Walks over an array; its elements stay where they are.
    fn elements(&mut self, key: &str, depth: usize) -> Result<(ValueKind, usize, Range<usize>), Error> {
        let kind = self.kind(key)?;
        let len = self.u64()?;
        let start = self.at;
        match kind.bytes() {
            Some(bytes) => {
                let elements = self.take(len.saturating_mul(bytes as u64))?;
                if kind == ValueKind::Bool
                    && let Some(&found) = elements.iter().find(|&&b| b > 1)
                {
                    return Err(Error::Bool { key: key.to_owned(), found });
                }
            }
            None => {
                // A string has at least the eight bytes of its length, an array four more for its type: this loop is
                // bounded by the file.
                let min_bytes = if kind == ValueKind::String { 8 } else { 12 };
                self.expect(len.saturating_mul(min_bytes))?;
                for _ in 0..len {
                    if kind == ValueKind::String {
                        let bytes = self.u64()?;
                        self.take(bytes)?;
                    } else if depth == limits::NESTING {
                        let (found, limit) = (depth as u64 + 1, limits::NESTING as u64);
                        return Err(Error::TooLarge { what: "nesting of arrays", found, limit });
                    } else {
                        self.elements(key, depth + 1)?;
                    }
                }
            }
        }
        // As many bytes were there, so the count fits.
        Ok((kind, len as usize, start..self.at))
    }

    /// One tensor's entry; its range is still relative to the data section.
    fn tensor(&mut self, alignment: u64) -> Result<Tensor, Error> {
        let name = self.string("tensor name", limits::NAME_BYTES)?;
        let dimensions = self.u32()?;
        if dimensions > limits::DIMENSIONS {
            let (found, limit) = (dimensions.into(), limits::DIMENSIONS.into());
            return Err(Error::TooLarge { what: "number of dimensions", found, limit });
        }
        let shape = (0..dimensions).map(|_| self.u64()).collect::<Result<Vec<_>, _>>()?;
        let kind = self.u32()?;
        let Some(kind) = TensorKind::from_id(kind) else {
            return Err(match removed(kind) {
                Some(was) => Error::RemovedTensorKind { name, kind, was },
                None => Error::TensorKind { name, kind },
            });
        };
        let offset = self.u64()?;
        if !offset.is_multiple_of(alignment) {
            return Err(Error::Misaligned { name, offset, alignment });
        }
        match kind.tensor_bytes(&shape) {
            Some(bytes) => Ok(Tensor { name, shape, kind, range: offset..offset.saturating_add(bytes) }),
            None => Err(Error::Shape { name, shape, kind }),
        }
    }
}
