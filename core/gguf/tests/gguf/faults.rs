//! Each fault of a file, made by hand, has its own error; what is merely unusual passes.

use sprat_gguf::{Error, TensorKind, ValueKind, limits};

use crate::parse;

/// Where the first key or, without keys, the first tensor stands.
const FIRST: u64 = 4 + 4 + 8 + 8;

/// A file by hand: version and counts, then raw bytes, then zeros enough for small tensors.
fn file(version: u32, tensors: u64, keys: u64, rest: &[u8]) -> Vec<u8> {
    [b"GGUF".as_slice(), &version.to_le_bytes(), &tensors.to_le_bytes(), &keys.to_le_bytes(), rest, &[0; 256]].concat()
}

fn string(s: &[u8]) -> Vec<u8> {
    [(s.len() as u64).to_le_bytes().as_slice(), s].concat()
}

/// A file of one key `k` with a value of a type.
fn one_key(kind: u32, value: &[u8]) -> Vec<u8> {
    file(3, 0, 1, &key("k", kind, value))
}

fn key(name: &str, kind: u32, value: &[u8]) -> Vec<u8> {
    [string(name.as_bytes()).as_slice(), &kind.to_le_bytes(), value].concat()
}

/// An array's value.
fn array(kind: u32, len: u64, elements: &[u8]) -> Vec<u8> {
    [kind.to_le_bytes().as_slice(), &len.to_le_bytes(), elements].concat()
}

/// A file of one tensor `t`.
fn one_tensor(shape: &[u64], kind: u32, offset: u64) -> Vec<u8> {
    file(3, 1, 0, &tensor("t", shape, kind, offset))
}

fn tensor(name: &str, shape: &[u64], kind: u32, offset: u64) -> Vec<u8> {
    let shape_bytes: Vec<u8> = shape.iter().flat_map(|d| d.to_le_bytes()).collect();
    let dims = (shape.len() as u32).to_le_bytes();
    [string(name.as_bytes()).as_slice(), &dims, &shape_bytes, &kind.to_le_bytes(), &offset.to_le_bytes()].concat()
}

/// `depth` arrays, each in the one before.
fn nested(depth: usize) -> Vec<u8> {
    [array(9, 1, &[]).repeat(depth - 1), array(0, 1, &[5])].concat()
}

fn check(cases: Vec<(&str, Vec<u8>, Error)>) {
    for (name, bytes, expected) in cases {
        assert_eq!(parse(&bytes).err(), Some(expected), "{name}");
    }
}

fn truncated(needed: u64, bytes: &[u8]) -> Error {
    Error::Truncated { needed, available: bytes.len() as u64 }
}

fn too_large(what: &'static str, found: u64, limit: u64) -> Error {
    Error::TooLarge { what, found, limit }
}

#[test]
fn faults_of_the_header() {
    let many_keys = file(3, 0, limits::KEYS, &[]);
    let many_tensors = file(3, limits::TENSORS, 0, &[]);
    let keys_needed = truncated(FIRST + limits::KEYS * 13, &many_keys);
    let tensors_needed = truncated(FIRST + limits::TENSORS * 32, &many_tensors);
    check(vec![
        ("magic", b"GGML\x03\0\0\0".to_vec(), Error::Magic { found: b"GGML".to_vec() }),
        ("two bytes, wrong", b"PK".to_vec(), Error::Magic { found: b"PK".to_vec() }),
        ("two bytes, right", b"GG".to_vec(), truncated(4, b"GG")),
        ("no bytes", vec![], truncated(4, b"")),
        ("version 0", file(0, 0, 0, &[]), Error::Version { version: 0 }),
        ("version 1", file(1, 0, 0, &[]), Error::Version { version: 1 }),
        ("version 4", file(4, 0, 0, &[]), Error::Version { version: 4 }),
        ("big-endian 2", file(2u32.swap_bytes(), 0, 0, &[]), Error::BigEndian),
        ("big-endian 3", file(3u32.swap_bytes(), 0, 0, &[]), Error::BigEndian),
        ("keys", file(3, 0, 1 << 40, &[]), too_large("number of metadata keys", 1 << 40, limits::KEYS)),
        ("tensors", file(3, u64::MAX, 0, &[]), too_large("number of tensors", u64::MAX, limits::TENSORS)),
        ("more keys than bytes", many_keys, keys_needed),
        ("more tensors than bytes", many_tensors, tensors_needed),
    ]);
}

#[test]
fn faults_of_metadata() {
    let k = || "k".to_owned();
    let endless = one_key(9, &array(4, u64::MAX, &[]));
    let endless_strings = one_key(9, &array(8, 1 << 61, &[]));
    let endless_string = one_key(9, &array(8, 1, &(1u64 << 40).to_le_bytes()));
    let (n, m) = (truncated(u64::MAX, &endless), truncated(u64::MAX, &endless_strings));
    // The key takes 8 + 1 bytes, its type 4, the array's head 4 + 8, the string's length 8.
    let o = truncated(FIRST + 9 + 4 + 12 + 8 + (1 << 40), &endless_string);
    let long_key = file(3, 0, 1, &u64::MAX.to_le_bytes());
    let twice = file(3, 0, 2, &key("k", 0, &[1]).repeat(2));
    let align = |kind, value: &[u8]| file(3, 0, 1, &key("general.alignment", kind, value));
    let wrong = Error::WrongKind { key: "general.alignment".to_owned(), expected: "a count", found: ValueKind::String };
    check(vec![
        ("long key", long_key, too_large("metadata key", u64::MAX, limits::NAME_BYTES)),
        (
            "long string",
            one_key(8, &(1u64 << 30).to_le_bytes()),
            too_large("string value", 1 << 30, limits::STRING_BYTES),
        ),
        ("unknown type", one_key(13, &[]), Error::ValueKind { key: k(), kind: 13 }),
        ("unknown type in an array", one_key(9, &array(13, 0, &[])), Error::ValueKind { key: k(), kind: 13 }),
        ("bool", one_key(7, &[2]), Error::Bool { key: k(), found: 2 }),
        ("bool in an array", one_key(9, &array(7, 3, &[1, 0, 255])), Error::Bool { key: k(), found: 255 }),
        ("key not UTF-8", file(3, 0, 1, &string(&[0xff])), Error::Utf8 { what: "metadata key", offset: FIRST + 8 }),
        (
            "string not UTF-8",
            one_key(8, &string(&[b'a', 0xff])),
            Error::Utf8 { what: "string value", offset: FIRST + 9 + 4 + 8 },
        ),
        ("endless array", endless, n),
        ("endless array of strings", endless_strings, m),
        ("endless string in an array", endless_string, o),
        ("deep nesting", one_key(9, &nested(5)), too_large("nesting of arrays", 5, limits::NESTING as u64)),
        ("key twice", twice, Error::Duplicate { what: "metadata key", name: k() }),
        ("alignment 0", align(4, &[0; 4]), Error::Alignment { found: 0 }),
        ("alignment 4", align(4, &4u32.to_le_bytes()), Error::Alignment { found: 4 }),
        ("alignment 24", align(4, &24u32.to_le_bytes()), Error::Alignment { found: 24 }),
        ("alignment 2 MiB", align(10, &(2u64 << 20).to_le_bytes()), Error::Alignment { found: 2 << 20 }),
        ("alignment as text", align(8, &string(b"32")), wrong),
    ]);
}

#[test]
fn faults_of_tensors() {
    let t = || "t".to_owned();
    let shape = |shape: &[u64], kind: TensorKind| {
        (one_tensor(shape, kind.id(), 0), Error::Shape { name: t(), shape: shape.to_vec(), kind })
    };
    let removed = |kind, was| (one_tensor(&[32], kind, 0), Error::RemovedTensorKind { name: t(), kind, was });
    let unknown = |kind| (one_tensor(&[32], kind, 0), Error::TensorKind { name: t(), kind });
    let outside = |dims: &[u64], offset| {
        let bytes = one_tensor(dims, 0, offset);
        // Eight bytes of length, one of name, four each of dimension count and type, eight of offset.
        let data = (FIRST + 9 + 4 + 8 * dims.len() as u64 + 4 + 8).next_multiple_of(32);
        let start = data.saturating_add(offset);
        let end = start.saturating_add(4 * dims.iter().product::<u64>());
        let file_len = bytes.len() as u64;
        (bytes, Error::OutOfBounds { name: t(), start, end, file_len })
    };
    let two = |first: Vec<u8>, second: Vec<u8>| file(3, 2, 0, &[first, second].concat());
    let five = one_tensor(&[1; 5], 0, 0);
    let cases = vec![
        ("Q4_2", removed(4, "Q4_2")),
        ("Q4_0_8_8", removed(33, "Q4_0_8_8")),
        ("IQ4_NL_8_8", removed(38, "IQ4_NL_8_8")),
        ("unknown type", unknown(42)),
        ("unknown type, large", unknown(u32::MAX)),
        ("five dimensions", (five, too_large("number of dimensions", 5, limits::DIMENSIONS.into()))),
        ("no dimensions", shape(&[], TensorKind::F32)),
        ("a zero", shape(&[32, 0], TensorKind::F32)),
        ("a zero in a row", shape(&[0, 32], TensorKind::Q4_0)),
        ("a block and a half", shape(&[48], TensorKind::Q4_0)),
        ("blocks only over two rows", shape(&[128, 2], TensorKind::Q4_K)),
        ("too many values", shape(&[1 << 32, 1 << 32], TensorKind::F32)),
        ("too many bytes", shape(&[1 << 31, 1 << 31], TensorKind::F64)),
        ("too many values, few bytes", shape(&[1 << 33, 1 << 31], TensorKind::IQ1_S)),
        ("misaligned", (one_tensor(&[4], 0, 8), Error::Misaligned { name: t(), offset: 8, alignment: 32 })),
        ("outside", outside(&[4], 1 << 20)),
        ("longer than the file", outside(&[1 << 20], 0)),
        ("far outside", outside(&[4], u64::MAX - 31)),
        (
            "overlap, in another order",
            (
                two(tensor("t", &[4], 0, 32), tensor("u", &[16], 0, 0)),
                Error::Overlap { first: "u".to_owned(), second: t() },
            ),
        ),
        (
            "tensor twice",
            (two(tensor("t", &[4], 0, 0), tensor("t", &[4], 0, 32)), Error::Duplicate { what: "tensor", name: t() }),
        ),
    ];
    check(cases.into_iter().map(|(name, (bytes, error))| (name, bytes, error)).collect());
}

#[test]
fn the_unusual_passes() {
    let cases = [
        ("version 2", file(2, 0, 0, &[])),
        ("nothing but a header", file(3, 0, 0, &[])[..FIRST as usize].to_vec()),
        ("an empty key", file(3, 0, 1, &key("", 0, &[1]))),
        ("an empty array", one_key(9, &array(8, 0, &[]))),
        ("four arrays deep", one_key(9, &nested(4))),
        ("an array of strings that are not UTF-8", one_key(9, &array(8, 1, &string(&[0xff, 0xfe])))),
        ("a small alignment", file(3, 0, 1, &key("general.alignment", 0, &[8]))),
        ("a large alignment", file(3, 0, 1, &key("general.alignment", 4, &(1u32 << 20).to_le_bytes()))),
        ("a gap before a tensor", one_tensor(&[4], 0, 64)),
        ("four dimensions", one_tensor(&[2, 1, 3, 1], 0, 0)),
    ];
    for (name, bytes) in cases {
        assert_eq!(parse(&bytes).err(), None, "{name}");
    }
}

#[test]
fn a_message_shows_a_name_of_the_file_quoted_and_cut() {
    let name = format!("\u{1b}[2J{}", "x".repeat(1000));
    let error = parse(&file(3, 1, 0, &tensor(&name, &[32], 4, 0))).expect_err("the type is gone");
    let shown = format!("\"\\u{{1b}}[2J{}\"…", "x".repeat(68));
    let expected = format!("tensor {shown}: type 4 (Q4_2) was removed from ggml; convert the model again");
    assert_eq!(error.to_string(), expected);
}
