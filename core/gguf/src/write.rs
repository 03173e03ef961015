//! Writes GGUF version 3 in one pass.

use std::collections::HashSet;
use std::io::{self, Write};

use crate::contents::Contents;
use crate::tensor::TensorKind;
use crate::value::{Value, ValueKind};
use crate::{DEFAULT_ALIGNMENT, MAGIC, limits};

/// Writes a tensor's bytes when its turn comes.
type Data<'a> = Box<dyn FnOnce(&mut dyn Write) -> io::Result<()> + 'a>;

/// The key that says where tensor data may begin.
const ALIGNMENT_KEY: &str = "general.alignment";

/// A file to be: metadata and tensors in the order in which they were added.
///
/// What the reader would refuse is not written: names and strings above their [`limits`] and two tensors of one name
/// panic, as they are mistakes of the program that writes.
pub struct Writer<'a> {
    metadata: Vec<(String, Vec<u8>)>,
    tensors: Vec<Entry<'a>>,
    names: HashSet<String>,
    alignment: u64,
}

struct Entry<'a> {
    name: String,
    shape: Vec<u64>,
    kind: TensorKind,
    bytes: u64,
    data: Data<'a>,
}

macro_rules! setters {
    ($($name:ident: $type:ty = $kind:ident;)*) => {
        $(
            #[doc = concat!("Sets a key to a value of type `", stringify!($kind), "`, in place of what it had.")]
            pub fn $name(&mut self, key: &str, value: $type) -> &mut Self {
                self.set(key, ValueKind::$kind, &value.to_le_bytes())
            }
        )*
    };
}

macro_rules! array_setters {
    ($($name:ident: $type:ty = $kind:ident;)*) => {
        $(
            #[doc = concat!("Sets a key to an array of type `", stringify!($kind), "`, in place of what it had.")]
            pub fn $name(&mut self, key: &str, values: &[$type]) -> &mut Self {
                let elements: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
                self.set_array(key, ValueKind::$kind, values.len(), &elements)
            }
        )*
    };
}

impl<'a> Writer<'a> {
    /// An empty file of an architecture.
    pub fn new(architecture: &str) -> Self {
        let mut writer = Self::empty();
        writer.str("general.architecture", architecture);
        writer
    }

    /// A file with the metadata and the alignment of another, whose bytes are `file`, and no tensors yet.
    /// Panics if `file` is too short to be that one.
    pub fn like(contents: &Contents, file: &[u8]) -> Self {
        let mut writer = Self::empty();
        for (key, value) in &contents.metadata {
            if key == ALIGNMENT_KEY {
                writer.alignment(contents.alignment);
            } else {
                writer.value(key, value, file);
            }
        }
        writer
    }

    fn empty() -> Self {
        Self { metadata: Vec::new(), tensors: Vec::new(), names: HashSet::new(), alignment: DEFAULT_ALIGNMENT }
    }

    /// Sets where tensor data may begin, in place of [`DEFAULT_ALIGNMENT`].
    /// Panics if it is not a power of two from 8 to [`limits::ALIGNMENT`].
    pub fn alignment(&mut self, bytes: u64) -> &mut Self {
        assert!(bytes.is_power_of_two() && (8..=limits::ALIGNMENT).contains(&bytes), "alignment {bytes}");
        self.alignment = bytes;
        self.replace(ALIGNMENT_KEY, ValueKind::U32, &(bytes as u32).to_le_bytes())
    }

    setters! {
        u8: u8 = U8;
        i8: i8 = I8;
        u16: u16 = U16;
        i16: i16 = I16;
        u32: u32 = U32;
        i32: i32 = I32;
        f32: f32 = F32;
        u64: u64 = U64;
        i64: i64 = I64;
        f64: f64 = F64;
    }

    array_setters! {
        u8s: u8 = U8;
        i8s: i8 = I8;
        u16s: u16 = U16;
        i16s: i16 = I16;
        u32s: u32 = U32;
        i32s: i32 = I32;
        f32s: f32 = F32;
        u64s: u64 = U64;
        i64s: i64 = I64;
        f64s: f64 = F64;
    }

    /// Sets a key to a bool, in place of what it had.
    pub fn bool(&mut self, key: &str, value: bool) -> &mut Self {
        self.set(key, ValueKind::Bool, &[value.into()])
    }

    /// Sets a key to a string, in place of what it had.
    pub fn str(&mut self, key: &str, value: &str) -> &mut Self {
        assert!(value.len() as u64 <= limits::STRING_BYTES, "key {key}: {} bytes", value.len());
        self.set(key, ValueKind::String, &prefixed(value.as_bytes()))
    }

    /// Sets a key to an array of strings, which need not be UTF-8, in place of what it had.
    pub fn strings<S: AsRef<[u8]>>(&mut self, key: &str, values: &[S]) -> &mut Self {
        let elements: Vec<u8> = values.iter().flat_map(|v| prefixed(v.as_ref())).collect();
        self.set_array(key, ValueKind::String, values.len(), &elements)
    }

    /// Sets a key to an array of bools, in place of what it had.
    pub fn bools(&mut self, key: &str, values: &[bool]) -> &mut Self {
        let elements: Vec<u8> = values.iter().map(|&v| v.into()).collect();
        self.set_array(key, ValueKind::Bool, values.len(), &elements)
    }

    /// Sets a key to a value of another file, whose bytes are `file`. Panics if `file` is too short to be that one.
    pub fn value(&mut self, key: &str, value: &Value, file: &[u8]) -> &mut Self {
        match value {
            Value::U8(v) => self.u8(key, *v),
            Value::I8(v) => self.i8(key, *v),
            Value::U16(v) => self.u16(key, *v),
            Value::I16(v) => self.i16(key, *v),
            Value::U32(v) => self.u32(key, *v),
            Value::I32(v) => self.i32(key, *v),
            Value::F32(v) => self.f32(key, *v),
            Value::Bool(v) => self.bool(key, *v),
            Value::String(v) => self.str(key, v),
            Value::U64(v) => self.u64(key, *v),
            Value::I64(v) => self.i64(key, *v),
            Value::F64(v) => self.f64(key, *v),
            Value::Array(a) => {
                let elements = file.get(a.range.clone()).expect("the value is of this file");
                self.set_array(key, a.kind, a.len, elements)
            }
        }
    }

    fn set_array(&mut self, key: &str, kind: ValueKind, len: usize, elements: &[u8]) -> &mut Self {
        let mut value = Vec::with_capacity(12 + elements.len());
        value.extend(kind.id().to_le_bytes());
        value.extend((len as u64).to_le_bytes());
        value.extend(elements);
        self.set(key, ValueKind::Array, &value)
    }

    fn set(&mut self, key: &str, kind: ValueKind, value: &[u8]) -> &mut Self {
        assert!(key != ALIGNMENT_KEY, "`Writer::alignment` sets it together with what it rules");
        self.replace(key, kind, value)
    }

    fn replace(&mut self, key: &str, kind: ValueKind, value: &[u8]) -> &mut Self {
        assert!(key.len() as u64 <= limits::NAME_BYTES, "a key of {} bytes", key.len());
        let mut bytes = kind.id().to_le_bytes().to_vec();
        bytes.extend(value);
        match self.metadata.iter_mut().find(|(k, _)| k == key) {
            Some((_, old)) => *old = bytes,
            None => self.metadata.push((key.to_owned(), bytes)),
        }
        self
    }

    /// Adds a tensor whose bytes are at hand. Shape: innermost dimension first.
    /// Panics if `data` is not as long as shape and type say.
    pub fn tensor(&mut self, name: &str, shape: &[u64], kind: TensorKind, data: &'a [u8]) -> &mut Self {
        assert_eq!(kind.tensor_bytes(shape), Some(data.len() as u64), "bytes of tensor {name}");
        self.tensor_with(name, shape, kind, move |out| out.write_all(data))
    }

    /// Adds a tensor whose bytes `data` writes when their turn comes; writing another number of them is an error then.
    /// Panics if the shape is not usable for the type.
    pub fn tensor_with(
        &mut self,
        name: &str,
        shape: &[u64],
        kind: TensorKind,
        data: impl FnOnce(&mut dyn Write) -> io::Result<()> + 'a,
    ) -> &mut Self {
        assert!(shape.len() as u64 <= limits::DIMENSIONS.into(), "tensor {name}: shape {shape:?}");
        assert!(name.len() as u64 <= limits::NAME_BYTES, "a tensor's name of {} bytes", name.len());
        assert!(self.names.insert(name.to_owned()), "tensor {name} stands twice");
        let bytes = kind.tensor_bytes(shape).expect("the shape is usable for the type");
        self.tensors.push(Entry { name: name.to_owned(), shape: shape.to_vec(), kind, bytes, data: Box::new(data) });
        self
    }

    /// Writes the file, from front to back.
    pub fn write(self, out: &mut dyn Write) -> io::Result<()> {
        let mut header = MAGIC.to_vec();
        header.extend(3u32.to_le_bytes());
        header.extend((self.tensors.len() as u64).to_le_bytes());
        header.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in &self.metadata {
            header.extend(prefixed(key.as_bytes()));
            header.extend(value);
        }
        let mut offset = 0u64;
        for tensor in &self.tensors {
            header.extend(prefixed(tensor.name.as_bytes()));
            header.extend((tensor.shape.len() as u32).to_le_bytes());
            header.extend(tensor.shape.iter().flat_map(|d| d.to_le_bytes()));
            header.extend(tensor.kind.id().to_le_bytes());
            header.extend(offset.to_le_bytes());
            offset = (tensor.bytes.checked_next_multiple_of(self.alignment))
                .and_then(|bytes| offset.checked_add(bytes))
                .expect("a file has less than 2^64 bytes");
        }
        header.resize(header.len().next_multiple_of(self.alignment as usize), 0);
        out.write_all(&header)?;
        for tensor in self.tensors {
            let mut counted = Counted { out: &mut *out, bytes: 0 };
            (tensor.data)(&mut counted)?;
            if counted.bytes != tensor.bytes {
                let what =
                    format!("tensor {}: {} bytes written, {} expected", tensor.name, counted.bytes, tensor.bytes);
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
            let padding = tensor.bytes.next_multiple_of(self.alignment) - tensor.bytes;
            out.write_all(&vec![0; padding as usize])?;
        }
        out.flush()
    }
}

/// A string as GGUF stores it.
fn prefixed(bytes: &[u8]) -> Vec<u8> {
    let mut out = (bytes.len() as u64).to_le_bytes().to_vec();
    out.extend(bytes);
    out
}

struct Counted<'a> {
    out: &'a mut dyn Write,
    bytes: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.out.write(buf)?;
        self.bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
