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
            Self::String(s) => Quoted(s).fmt(f),
        }
    }
}

/// Text of a file as it may be shown: quoted, control characters escaped, cut to what fits a line.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.0.char_indices().nth(72).map_or(self.0.len(), |(end, _)| end);
        let dots = if end < self.0.len() { "…" } else { "" };
        write!(f, "{:?}{dots}", &self.0[..end])
    }
}

macro_rules! numbers {
    ($($name:ident: $type:ty = $($kind:ident)|*, $doc:literal;)*) => {
        $(
            #[doc = $doc]
            pub fn $name<'a>(&self, file: &'a [u8]) -> impl Iterator<Item = $type> + use<'a> {
                let bytes = if matches!(self.kind, $(ValueKind::$kind)|*) { self.bytes(file) } else { &[] };
                bytes.as_chunks::<{ size_of::<$type>() }>().0.iter().map(|&number| <$type>::from_le_bytes(number))
            }
        )*
    };
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

    numbers! {
        u8s: u8 = U8, "The elements of an array of `u8`; empty for other arrays.";
        i8s: i8 = I8, "The elements of an array of `i8`; empty for other arrays.";
        u16s: u16 = U16, "The elements of an array of `u16`; empty for other arrays.";
        i16s: i16 = I16, "The elements of an array of `i16`; empty for other arrays.";
        u32s: u32 = U32 | I32, "The elements of an array of `u32` or `i32`, bit by bit; empty for other arrays.";
        i32s: i32 = I32 | U32, "The elements of an array of `i32` or `u32`, bit by bit; empty for other arrays.";
        f32s: f32 = F32, "The elements of an array of `f32`; empty for other arrays.";
        u64s: u64 = U64, "The elements of an array of `u64`; empty for other arrays.";
        i64s: i64 = I64, "The elements of an array of `i64`; empty for other arrays.";
        f64s: f64 = F64, "The elements of an array of `f64`; empty for other arrays.";
    }

    /// The elements of an array of bools; empty for other arrays.
    pub fn bools<'a>(&self, file: &'a [u8]) -> impl Iterator<Item = bool> + use<'a> {
        let bytes = if self.kind == ValueKind::Bool { self.bytes(file) } else { &[] };
        bytes.iter().map(|&b| b != 0)
    }

    /// The elements' bytes; empty if `file` is not the file that the array was read from.
    fn bytes<'a>(&self, file: &'a [u8]) -> &'a [u8] {
        file.get(self.range.clone()).unwrap_or_default()
    }
}
