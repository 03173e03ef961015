//! Metadata values: small ones owned, arrays as byte ranges of the file.

use std::fmt;
use std::ops::Range;

/// The thirteen types of values, numbered as in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
#[allow(missing_docs, reason = "the names say it all")]
pub enum ValueKind {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    String,
    Array,
    U64,
    I64,
    F64,
}

impl ValueKind {
    const ALL: [Self; 13] = [
        Self::U8,
        Self::I8,
        Self::U16,
        Self::I16,
        Self::U32,
        Self::I32,
        Self::F32,
        Self::Bool,
        Self::String,
        Self::Array,
        Self::U64,
        Self::I64,
        Self::F64,
    ];

    /// The type of a number in the file.
    pub fn from_id(id: u32) -> Option<Self> {
        Self::ALL.get(id as usize).copied()
    }

    /// The number in the file.
    pub fn id(self) -> u32 {
        self as u32
    }

    /// Bytes of one value; none for strings and arrays, whose length varies.
    pub fn bytes(self) -> Option<usize> {
        match self {
            Self::U8 | Self::I8 | Self::Bool => Some(1),
            Self::U16 | Self::I16 => Some(2),
            Self::U32 | Self::I32 | Self::F32 => Some(4),
            Self::U64 | Self::I64 | Self::F64 => Some(8),
            Self::String | Self::Array => None,
        }
    }
}

impl fmt::Display for ValueKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format!("{self:?}").to_lowercase())
    }
}

/// One metadata value.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the names say it all")]
pub enum Value {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    String(String),
    Array(Array),
    U64(u64),
    I64(i64),
    F64(f64),
}

/// An array whose elements stay in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Array {
    /// Type of the elements.
    pub kind: ValueKind,
    /// How many there are.
    pub len: usize,
    /// The elements' bytes in the file. Checked when the file was read: all of them are there.
    pub range: Range<usize>,
}

impl Value {
    /// Its type.
    pub fn kind(&self) -> ValueKind {
        match self {
            Self::U8(_) => ValueKind::U8,
            Self::I8(_) => ValueKind::I8,
            Self::U16(_) => ValueKind::U16,
            Self::I16(_) => ValueKind::I16,
            Self::U32(_) => ValueKind::U32,
            Self::I32(_) => ValueKind::I32,
            Self::F32(_) => ValueKind::F32,
            Self::Bool(_) => ValueKind::Bool,
            Self::String(_) => ValueKind::String,
            Self::Array(_) => ValueKind::Array,
            Self::U64(_) => ValueKind::U64,
            Self::I64(_) => ValueKind::I64,
            Self::F64(_) => ValueKind::F64,
        }
    }

    /// As a count, from any integer type that is not negative.
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            Self::U8(v) => Some(v.into()),
            Self::U16(v) => Some(v.into()),
            Self::U32(v) => Some(v.into()),
            Self::U64(v) => Some(v),
            Self::I8(v) => v.try_into().ok(),
            Self::I16(v) => v.try_into().ok(),
            Self::I32(v) => v.try_into().ok(),
            Self::I64(v) => v.try_into().ok(),
            _ => None,
        }
    }
}

impl fmt::Display for Value {
    /// One line, long strings cut.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::U8(v) => write!(f, "{v}"),
            Self::I8(v) => write!(f, "{v}"),
            Self::U16(v) => write!(f, "{v}"),
            Self::I16(v) => write!(f, "{v}"),
            Self::U32(v) => write!(f, "{v}"),
            Self::I32(v) => write!(f, "{v}"),
            Self::F32(v) => write!(f, "{v}"),
            Self::Bool(v) => write!(f, "{v}"),
            Self::U64(v) => write!(f, "{v}"),
            Self::I64(v) => write!(f, "{v}"),
            Self::F64(v) => write!(f, "{v}"),
            Self::Array(a) => write!(f, "{} x {}", a.len, a.kind),
            Self::String(s) => {
                let cut: String = s.chars().take(72).collect();
                let dots = if cut.len() < s.len() { "…" } else { "" };
                write!(f, "{cut:?}{dots}")
            }
        }
    }
}

impl Array {
    /// The strings of a string array, from the bytes of the file it was read from; empty for other arrays.
    pub fn strings<'a>(&self, file: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut rest = if self.kind == ValueKind::String { self.bytes(file) } else { &[] };
        std::iter::from_fn(move || {
            let (len, tail) = rest.split_first_chunk::<8>()?;
            let (string, tail) = tail.split_at_checked(usize::try_from(u64::from_le_bytes(*len)).ok()?)?;
            rest = tail;
            Some(string)
        })
    }

    /// The elements of an array of `f32`; empty for other arrays.
    pub fn f32s<'a>(&self, file: &'a [u8]) -> impl Iterator<Item = f32> + use<'a> {
        self.words(file, self.kind == ValueKind::F32).map(f32::from_le_bytes)
    }

    /// The elements of an array of `u32` or `i32`, as they are in two's complement; empty for other arrays.
    pub fn u32s<'a>(&self, file: &'a [u8]) -> impl Iterator<Item = u32> + use<'a> {
        self.words(file, matches!(self.kind, ValueKind::U32 | ValueKind::I32)).map(u32::from_le_bytes)
    }

    /// The elements of an array of `i32` or `u32`; empty for other arrays.
    pub fn i32s<'a>(&self, file: &'a [u8]) -> impl Iterator<Item = i32> + use<'a> {
        self.words(file, matches!(self.kind, ValueKind::U32 | ValueKind::I32)).map(i32::from_le_bytes)
    }

    /// The elements of an array of bools; empty for other arrays.
    pub fn bools<'a>(&self, file: &'a [u8]) -> impl Iterator<Item = bool> + use<'a> {
        let bytes = if self.kind == ValueKind::Bool { self.bytes(file) } else { &[] };
        bytes.iter().map(|&b| b != 0)
    }

    fn words<'a>(&self, file: &'a [u8], right: bool) -> impl Iterator<Item = [u8; 4]> + use<'a> {
        let bytes = if right { self.bytes(file) } else { &[] };
        bytes.as_chunks::<4>().0.iter().copied()
    }

    /// The elements' bytes; empty if `file` is not the file that the array was read from.
    fn bytes<'a>(&self, file: &'a [u8]) -> &'a [u8] {
        file.get(self.range.clone()).unwrap_or_default()
    }
}
