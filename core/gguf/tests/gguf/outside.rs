//! Files of another writer, whose content is known.

use sprat_gguf::{Array, Contents, Error, TensorKind, Value, ValueKind};

use crate::{KINDS, PYTHON, parse};

fn array<'a>(contents: &'a Contents, key: &str) -> &'a Array {
    contents.array(key).expect("an array").expect("present")
}

#[test]
fn single_values_read_as_they_were_written() {
    let c = parse(PYTHON).expect("a valid file");
    assert_eq!((c.version, c.alignment, c.metadata.len(), c.tensors.len()), (3, 32, 26, 3));
    let expected = [
        ("general.architecture", Value::String("llama".to_owned()), "\"llama\""),
        ("uint8", Value::U8(200), "200"),
        ("int8", Value::I8(-5), "-5"),
        ("uint16", Value::U16(60000), "60000"),
        ("int16", Value::I16(-30000), "-30000"),
        ("uint32", Value::U32(4_000_000_000), "4000000000"),
        ("int32", Value::I32(-7), "-7"),
        ("float32", Value::F32(0.5), "0.5"),
        ("bool", Value::Bool(true), "true"),
        ("string", Value::String("café".to_owned()), "\"café\""),
        ("uint64", Value::U64(1 << 40), "1099511627776"),
        ("int64", Value::I64(-(1 << 40)), "-1099511627776"),
        ("float64", Value::F64(0.1), "0.1"),
    ];
    for (at, (key, value, shown)) in expected.into_iter().enumerate() {
        assert_eq!(c.metadata[at].0, key, "the file's order");
        assert_eq!(c.get(key), Some(&value), "{key}");
        assert_eq!(value.to_string(), shown, "{key}");
    }
}

#[test]
fn arrays_read_as_they_were_written() {
    let c = parse(PYTHON).expect("a valid file");
    let strings: Vec<&[u8]> = array(&c, "strings").strings(PYTHON).collect();
    assert_eq!(strings, [b"a".as_slice(), b"", "é中".as_bytes()]);
    assert_eq!(array(&c, "bools").bools(PYTHON).collect::<Vec<_>>(), [true, false]);
    assert_eq!(array(&c, "array.uint8").u8s(PYTHON).collect::<Vec<_>>(), [0, 255]);
    assert_eq!(array(&c, "array.int8").i8s(PYTHON).collect::<Vec<_>>(), [-128, 127]);
    assert_eq!(array(&c, "array.uint16").u16s(PYTHON).collect::<Vec<_>>(), [65535]);
    assert_eq!(array(&c, "array.int16").i16s(PYTHON).collect::<Vec<_>>(), [-32768]);
    assert_eq!(array(&c, "array.uint32").u32s(PYTHON).collect::<Vec<_>>(), [1, 4_000_000_000]);
    assert_eq!(array(&c, "array.int32").i32s(PYTHON).collect::<Vec<_>>(), [1, -2, 3]);
    assert_eq!(array(&c, "array.uint64").u64s(PYTHON).collect::<Vec<_>>(), [1 << 63]);
    assert_eq!(array(&c, "array.int64").i64s(PYTHON).collect::<Vec<_>>(), [-(1 << 62)]);
    assert_eq!(array(&c, "array.float32").f32s(PYTHON).collect::<Vec<_>>(), [0.5, -1.5]);
    assert_eq!(array(&c, "array.float64").f64s(PYTHON).collect::<Vec<_>>(), [0.1]);
    assert_eq!(c.get("array.float32").expect("present").to_string(), "2 x f32");

    // Two arrays, each a type, a length, and three and one numbers.
    let nested = array(&c, "nested");
    assert_eq!((nested.kind, nested.len, nested.range.len()), (ValueKind::Array, 2, 2 * (4 + 8) + (3 + 1) * 4));
}

#[test]
fn an_array_asked_for_another_type_is_empty() {
    let c = parse(PYTHON).expect("a valid file");
    assert_eq!(array(&c, "array.int32").strings(PYTHON).count(), 0);
    assert_eq!(array(&c, "strings").f32s(PYTHON).count(), 0);
    assert_eq!(array(&c, "array.float32").i32s(PYTHON).count(), 0);
    assert_eq!(array(&c, "array.uint64").bools(PYTHON).count(), 0);
    assert_eq!(array(&c, "strings").strings(&PYTHON[..64]).count(), 0, "bytes that are not the file's");
}

#[test]
fn asking_for_the_wrong_type_is_an_error_and_for_an_absent_key_is_not() {
    let c = parse(PYTHON).expect("a valid file");
    assert!(matches!(c.u64("int32"), Err(Error::WrongKind { .. })), "negative");
    assert!(matches!(c.u32("uint64"), Err(Error::WrongKind { .. })), "too large");
    assert!(matches!(c.str("uint8"), Err(Error::WrongKind { found: ValueKind::U8, .. })));
    assert_eq!((c.u32("uint8"), c.u64("uint16")), (Ok(Some(200)), Ok(Some(60000))), "any count will do");
    assert_eq!((c.f32("absent"), c.bool("bool")), (Ok(None), Ok(Some(true))));
    assert!(c.tensor("absent").is_none());
}

#[test]
fn tensors_are_where_they_were_written() {
    let c = parse(PYTHON).expect("a valid file");
    let of = |name: &str| {
        let tensor = c.tensor(name).expect("present");
        (tensor.shape.clone(), tensor.kind, &PYTHON[tensor.range.start as usize..tensor.range.end as usize])
    };
    let (shape, kind, bytes) = of("a.weight");
    assert_eq!((shape.as_slice(), kind), ([4, 3].as_slice(), TensorKind::F32));
    let values: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    assert_eq!(values, (0..12u8).map(f32::from).collect::<Vec<_>>());

    let (shape, kind, bytes) = of("b.weight");
    assert_eq!((shape.as_slice(), kind, bytes.len()), ([32, 2].as_slice(), TensorKind::F16, 128));
    assert_eq!(bytes[2..4], 0x3c00u16.to_le_bytes(), "1 as binary16");

    // 63 is the largest value of the second row, so its last byte is 127.
    let (shape, kind, bytes) = of("c.weight");
    assert_eq!((shape.as_slice(), kind, bytes.len()), ([32, 2].as_slice(), TensorKind::Q8_0, 68));
    assert_eq!(bytes[67], 127);
}

/// The padding in the file of all types hides a byte or two; ggml's own table does not.
#[test]
fn the_sizes_of_blocks_are_those_of_ggml() {
    let known = TensorKind::ALL.iter().map(|kind| {
        let (id, name) = (kind.id(), kind.name().to_lowercase());
        format!("{id} {name} {} {}", kind.block_len(), kind.block_bytes())
    });
    let table = include_str!("../data/kinds.txt");
    assert_eq!(known.collect::<Vec<_>>(), table.lines().map(str::to_lowercase).collect::<Vec<_>>());
    assert_eq!(TensorKind::Q4_K.row_bytes(512), Some(288));
    assert_eq!((TensorKind::Q4_K.row_bytes(128), TensorKind::F32.row_bytes(u64::MAX)), (None, None));
}

#[test]
fn every_type_of_the_other_writer_is_known_by_name_and_size() {
    let c = parse(KINDS).expect("a valid file");
    assert_eq!((c.alignment, c.tensors.len()), (8, TensorKind::ALL.len()));
    let mut offset = c.data_offset;
    for tensor in &c.tensors {
        let kind = tensor.kind;
        assert_eq!((kind.name(), TensorKind::from_name(&tensor.name)), (tensor.name.as_str(), Some(kind)));
        assert_eq!(tensor.shape, [kind.block_len()], "{kind}");
        assert_eq!(tensor.range, offset..offset + kind.block_bytes(), "{kind}");
        offset = tensor.range.end.next_multiple_of(8);
    }
    assert_eq!(offset, KINDS.len() as u64);
}
