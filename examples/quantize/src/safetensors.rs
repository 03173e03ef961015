//! The header of a safetensors file: names, shapes and places of its tensors.
//!
//! Eight bytes of length, that many bytes of JSON, then the data.
//! Source: <https://github.com/huggingface/safetensors#format>.

use serde_json::Value;
use sprat_gguf::{Tensor, TensorKind, limits};

/// Bytes of the header's length, at the beginning of the file.
pub const PREFIX_BYTES: u64 = 8;

/// Largest header, as in the reference implementation.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The file is shorter than its header, or the header is longer than any.
    #[error("the header would have {header_bytes} bytes in a file of {file_bytes}")]
    HeaderLength {
        /// What the file says.
        header_bytes: u64,
        /// How long the file is.
        file_bytes: u64,
    },
    /// The header is not a JSON object.
    #[error("the header is not JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// An entry lacks a field, or it is of another type or size than it must be.
    #[error("tensor {name:?}: `{field}` is missing or not usable")]
    Field {
        /// The tensor.
        name: String,
        /// Which field.
        field: &'static str,
    },
    /// Weights of a type that GGUF has no counterpart of.
    #[error("tensor {name:?}: values of type {dtype:?} cannot be read (F32, F16 and BF16 can)")]
    Type {
        /// The tensor.
        name: String,
        /// Its type.
        dtype: String,
    },
    /// The data lies outside the file, or is not as long as type and shape say.
    #[error("tensor {name:?}: {found} bytes at {start} of the data, {expected} are needed in a file of {file_bytes}")]
    Range {
        /// The tensor.
        name: String,
        /// Where it begins, from the end of the header.
        start: u64,
        /// Its bytes by the offsets.
        found: u64,
        /// Its bytes by type and shape.
        expected: u64,
        /// How long the file is.
        file_bytes: u64,
    },
}

/// The length of the header in a file of `file_bytes`, from the bytes of its prefix.
pub fn header_bytes(prefix: [u8; PREFIX_BYTES as usize], file_bytes: u64) -> Result<u64, Fault> {
    let header_bytes = u64::from_le_bytes(prefix);
    if header_bytes > MAX_HEADER_BYTES.min(file_bytes.saturating_sub(PREFIX_BYTES)) {
        return Err(Fault::HeaderLength { header_bytes, file_bytes });
    }
    Ok(header_bytes)
}

/// The tensors of a file, in GGUF's terms: innermost dimension first, ranges counted from the beginning of the file.
pub fn tensors(header: &[u8], file_bytes: u64) -> Result<Vec<Tensor>, Fault> {
    let entries: serde_json::Map<String, Value> = serde_json::from_slice(header)?;
    let data = PREFIX_BYTES + header.len() as u64;
    // `__metadata__` holds remarks about the file as a whole.
    entries
        .iter()
        .filter(|(name, _)| *name != "__metadata__")
        .map(|(name, entry)| tensor(name, entry, data, file_bytes))
        .collect()
}

fn tensor(name: &str, entry: &Value, data: u64, file_bytes: u64) -> Result<Tensor, Fault> {
    let fault = |field| Fault::Field { name: name.to_owned(), field };
    if name.len() as u64 > limits::NAME_BYTES {
        return Err(Fault::Field { name: name.chars().take(64).collect(), field: "name" });
    }
    let dtype = entry["dtype"].as_str().ok_or_else(|| fault("dtype"))?;
    let kind = match dtype {
        "F32" => TensorKind::F32,
        "F16" => TensorKind::F16,
        "BF16" => TensorKind::BF16,
        other => return Err(Fault::Type { name: name.to_owned(), dtype: other.to_owned() }),
    };
    let numbers = |field| {
        let values = entry[field].as_array().ok_or_else(|| fault(field))?;
        values.iter().map(|v| v.as_u64().ok_or_else(|| fault(field))).collect::<Result<Vec<u64>, Fault>>()
    };
    let mut shape = numbers("shape")?;
    shape.reverse();
    let expected = kind.tensor_bytes(&shape).filter(|_| shape.len() as u64 <= limits::DIMENSIONS.into());
    let expected = expected.ok_or_else(|| fault("shape"))?;
    let [start, end] = numbers("data_offsets")?.try_into().map_err(|_| fault("data_offsets"))?;
    let found = end.checked_sub(start).ok_or_else(|| fault("data_offsets"))?;
    if found != expected || end > file_bytes - data {
        return Err(Fault::Range { name: name.to_owned(), start, found, expected, file_bytes });
    }
    Ok(Tensor { name: name.to_owned(), shape, kind, range: data + start..data + end })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_turned_and_ranges_counted_from_the_beginning() {
        let header = br#"{"__metadata__":{"format":"pt"},"a":{"dtype":"BF16","shape":[2,3],"data_offsets":[4,16]}}"#;
        let data = PREFIX_BYTES + header.len() as u64;
        let found = tensors(header, data + 16).expect("right");
        let expected =
            Tensor { name: "a".into(), shape: vec![3, 2], kind: TensorKind::BF16, range: data + 4..data + 16 };
        assert_eq!(found, [expected]);
    }

    #[test]
    fn a_header_longer_than_the_file_is_an_error() {
        for (length, file_bytes) in [(93, 100), (u64::MAX, 100), (1, 3), (200_000_000, 1 << 40)] {
            assert!(header_bytes(length.to_le_bytes(), file_bytes).is_err(), "{length} in {file_bytes}");
        }
        assert_eq!(header_bytes(92u64.to_le_bytes(), 100).ok(), Some(92));
    }

    #[test]
    fn faulty_entries_are_errors() {
        let cases = [
            (r#"[]"#, "not JSON"),
            (r#"{"a":1}"#, "`dtype`"),
            (r#"{"a":{"dtype":"I8","shape":[4],"data_offsets":[0,4]}}"#, "\"I8\""),
            (r#"{"a":{"dtype":"F16","shape":[-1],"data_offsets":[0,4]}}"#, "`shape`"),
            (r#"{"a":{"dtype":"F16","shape":[],"data_offsets":[0,2]}}"#, "`shape`"),
            (r#"{"a":{"dtype":"F16","shape":[1,1,1,1,2],"data_offsets":[0,4]}}"#, "`shape`"),
            (r#"{"a":{"dtype":"F16","shape":[4294967296,4294967296],"data_offsets":[0,4]}}"#, "`shape`"),
            (r#"{"a":{"dtype":"F16","shape":[2],"data_offsets":[0]}}"#, "`data_offsets`"),
            (r#"{"a":{"dtype":"F16","shape":[2],"data_offsets":[4,0]}}"#, "`data_offsets`"),
            (r#"{"a":{"dtype":"F16","shape":[2],"data_offsets":[0,6]}}"#, "4 are needed"),
            (r#"{"a":{"dtype":"F16","shape":[2],"data_offsets":[96,100]}}"#, "at 96"),
            (
                r#"{"a":{"dtype":"F16","shape":[2],"data_offsets":[18446744073709551611,18446744073709551615]}}"#,
                "at 18",
            ),
        ];
        for (header, expected) in cases {
            let file_bytes = PREFIX_BYTES + header.len() as u64 + 64;
            let fault = tensors(header.as_bytes(), file_bytes).expect_err(header).to_string();
            assert!(fault.contains(expected), "{header}: {fault}");
        }
    }
}
