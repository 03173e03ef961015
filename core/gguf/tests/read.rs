//! Reading: a file of another writer, every fault, truncation at every byte, random damage.

use sprat_gguf::{Contents, Error, TensorKind, Value, Writer, limits};

static PYTHON: &[u8] = include_bytes!("data/python.gguf");

fn parse(bytes: &[u8]) -> Result<Contents, Error> {
    Contents::parse(bytes, bytes.len() as u64)
}

#[test]
fn a_file_of_the_python_writer_reads_as_it_was_written() {
    let c = parse(PYTHON).expect("a valid file");
    assert_eq!((c.version, c.alignment, c.tensors.len()), (3, 32, 3));
    assert_eq!(c.str("general.architecture"), Ok(Some("llama")));
    let expected = [
        ("t.u8", Value::U8(200)),
        ("t.i8", Value::I8(-5)),
        ("t.u16", Value::U16(60000)),
        ("t.i16", Value::I16(-30000)),
        ("t.u32", Value::U32(4_000_000_000)),
        ("t.i32", Value::I32(-7)),
        ("t.f32", Value::F32(0.5)),
        ("t.bool", Value::Bool(true)),
        ("t.string", Value::String("café".to_owned())),
        ("t.u64", Value::U64(1 << 40)),
        ("t.i64", Value::I64(-(1 << 40))),
        ("t.f64", Value::F64(0.1)),
    ];
    for (key, value) in expected {
        assert_eq!(c.get(key), Some(&value), "{key}");
    }
    let array = |key: &str| c.array(key).expect("an array").expect("present").clone();
    let strings: Vec<&[u8]> = array("t.strings").strings(PYTHON).collect();
    assert_eq!(strings, [b"a".as_slice(), b"", "é中".as_bytes()]);
    assert_eq!(array("t.i32s").i32s(PYTHON).collect::<Vec<_>>(), [1, -2, 3]);
    assert_eq!(array("t.f32s").f32s(PYTHON).collect::<Vec<_>>(), [0.5, -1.5]);
    assert_eq!(array("t.bools").bools(PYTHON).collect::<Vec<_>>(), [true, false]);

    let tensor = |name: &str| c.tensor(name).expect("present");
    assert_eq!((tensor("a.weight").shape.as_slice(), tensor("a.weight").kind), ([4, 3].as_slice(), TensorKind::F32));
    assert_eq!((tensor("c.weight").shape.as_slice(), tensor("c.weight").kind), ([32, 2].as_slice(), TensorKind::Q8_0));
    let a = &PYTHON[tensor("a.weight").range.start as usize..tensor("a.weight").range.end as usize];
    let values: Vec<f32> = a.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    assert_eq!(values, (0..12u8).map(f32::from).collect::<Vec<_>>());
}

#[test]
fn asking_for_the_wrong_type_is_an_error_and_for_an_absent_key_is_not() {
    let c = parse(PYTHON).expect("a valid file");
    assert!(matches!(c.u64("t.i32"), Err(Error::WrongKind { .. })), "negative");
    assert!(matches!(c.u32("t.u64"), Err(Error::WrongKind { .. })), "too large");
    assert!(matches!(c.str("t.u8"), Err(Error::WrongKind { .. })));
    assert_eq!(c.f32("t.absent"), Ok(None));
    assert!(c.tensor("absent").is_none());
}

#[test]
fn every_truncation_is_an_error() {
    for len in 0..PYTHON.len() {
        let error = parse(&PYTHON[..len]).err();
        // The padding behind the last tensor's data may be missing; nothing else may.
        let end = parse(PYTHON).expect("valid").tensors.iter().map(|t| t.range.end).max();
        assert!(error.is_some() || Some(len as u64) >= end, "{len} bytes pass");
    }
}

#[test]
fn a_prefix_that_holds_the_header_is_enough_and_a_shorter_one_says_how_much_is_missing() {
    let header = parse(PYTHON).expect("valid").data_offset as usize;
    assert!(Contents::parse(&PYTHON[..header], PYTHON.len() as u64).is_ok());
    let mut available = 8;
    while let Err(error) = Contents::parse(&PYTHON[..available], PYTHON.len() as u64) {
        let Error::Truncated { needed, available: told } = error else { panic!("{error}") };
        assert_eq!(told, available as u64);
        assert!(needed > told && needed as usize <= header, "following the advice makes progress and ends");
        available = needed as usize;
    }
}

#[test]
fn random_damage_never_panics() {
    let mut state = 1u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    let mut accepted = 0;
    for _ in 0..20_000 {
        let mut bytes = PYTHON.to_vec();
        for _ in 0..1 + random() % 4 {
            let at = random() % bytes.len();
            bytes[at] = random() as u8;
        }
        if let Ok(contents) = parse(&bytes) {
            accepted += 1;
            for (_, value) in &contents.metadata {
                if let Value::Array(array) = value {
                    assert!(array.strings(&bytes).count() <= array.len);
                }
            }
        }
    }
    assert!(accepted > 0 && accepted < 20_000, "some damage is harmless, some is found: {accepted}");
}

/// A header by hand: counts, then raw bytes.
fn header(version: u32, tensors: u64, keys: u64, rest: &[u8]) -> Vec<u8> {
    [b"GGUF".as_slice(), &version.to_le_bytes(), &tensors.to_le_bytes(), &keys.to_le_bytes(), rest].concat()
}

fn string(s: &[u8]) -> Vec<u8> {
    [(s.len() as u64).to_le_bytes().as_slice(), s].concat()
}

fn key(name: &str, kind: u32, value: &[u8]) -> Vec<u8> {
    [string(name.as_bytes()).as_slice(), &kind.to_le_bytes(), value].concat()
}

fn tensor(name: &str, shape: &[u64], kind: u32, offset: u64) -> Vec<u8> {
    let shape_bytes: Vec<u8> = shape.iter().flat_map(|d| d.to_le_bytes()).collect();
    let dims = (shape.len() as u32).to_le_bytes();
    [string(name.as_bytes()).as_slice(), &dims, &shape_bytes, &kind.to_le_bytes(), &offset.to_le_bytes()].concat()
}

#[test]
fn each_fault_has_its_own_error() {
    let pad = |mut bytes: Vec<u8>| {
        bytes.resize(bytes.len() + 256, 0);
        bytes
    };
    let one_key = |k: Vec<u8>| pad(header(3, 0, 1, &k));
    let one_tensor = |t: Vec<u8>| pad(header(3, 1, 0, &t));
    let nested = [9u32, 9, 9, 9, 9].iter().fold(Vec::new(), |mut bytes, kind| {
        bytes.extend(kind.to_le_bytes());
        bytes.extend(1u64.to_le_bytes());
        bytes
    });
    type Check = fn(&Error) -> bool;
    let cases: Vec<(&str, Vec<u8>, Check)> = vec![
        ("magic", pad(b"GGML".to_vec()), |e| matches!(e, Error::Magic { .. })),
        ("empty", vec![], |e| matches!(e, Error::Truncated { .. })),
        ("version 1", pad(header(1, 0, 0, &[])), |e| *e == Error::Version { version: 1 }),
        ("big-endian", pad(header(3u32.swap_bytes(), 0, 0, &[])), |e| *e == Error::BigEndian),
        ("too many keys", pad(header(3, 0, 1 << 40, &[])), |e| matches!(e, Error::TooLarge { .. })),
        ("too many tensors", pad(header(3, u64::MAX, 0, &[])), |e| matches!(e, Error::TooLarge { .. })),
        ("more keys than bytes", header(3, 0, limits::KEYS, &[]), |e| matches!(e, Error::Truncated { .. })),
        ("long key", one_key(u64::MAX.to_le_bytes().to_vec()), |e| matches!(e, Error::TooLarge { .. })),
        ("unknown value type", one_key(key("k", 13, &[])), |e| matches!(e, Error::ValueKind { kind: 13, .. })),
        ("bad bool", one_key(key("k", 7, &[2])), |e| matches!(e, Error::Bool { found: 2, .. })),
        ("key not UTF-8", one_key([string(&[0xff]).as_slice(), &[0; 5]].concat()), |e| matches!(e, Error::Utf8 { .. })),
        ("endless array", one_key(key("k", 9, &[&[4, 0, 0, 0], [0xff; 8].as_slice()].concat())), |e| {
            matches!(e, Error::Truncated { .. })
        }),
        ("endless string array", one_key(key("k", 9, &[&[8, 0, 0, 0], [0xff; 8].as_slice()].concat())), |e| {
            matches!(e, Error::Truncated { .. })
        }),
        ("deep nesting", one_key(key("k", 9, &nested)), |e| {
            matches!(e, Error::TooLarge { what: "nesting of arrays", .. })
        }),
        ("key twice", pad(header(3, 0, 2, &key("k", 0, &[1]).repeat(2))), |e| matches!(e, Error::Duplicate { .. })),
        ("alignment", one_key(key("general.alignment", 4, &24u32.to_le_bytes())), |e| {
            *e == Error::Alignment { found: 24 }
        }),
        ("tensor type", one_tensor(tensor("t", &[32], 4, 0)), |e| matches!(e, Error::TensorKind { kind: 4, .. })),
        ("five dimensions", one_tensor(tensor("t", &[1; 5], 0, 0)), |e| matches!(e, Error::TooLarge { .. })),
        ("no dimensions", one_tensor(tensor("t", &[], 0, 0)), |e| matches!(e, Error::Shape { .. })),
        ("a zero", one_tensor(tensor("t", &[32, 0], 0, 0)), |e| matches!(e, Error::Shape { .. })),
        ("half a block", one_tensor(tensor("t", &[48], 2, 0)), |e| matches!(e, Error::Shape { .. })),
        ("overflow", one_tensor(tensor("t", &[1 << 32, 1 << 32], 0, 0)), |e| matches!(e, Error::Shape { .. })),
        ("misaligned", one_tensor(tensor("t", &[4], 0, 8)), |e| matches!(e, Error::Misaligned { offset: 8, .. })),
        ("outside", one_tensor(tensor("t", &[4], 0, 1 << 20)), |e| matches!(e, Error::OutOfBounds { .. })),
        ("far outside", one_tensor(tensor("t", &[4], 0, u64::MAX - 31)), |e| matches!(e, Error::OutOfBounds { .. })),
        ("overlap", pad(header(3, 2, 0, &[tensor("t", &[16], 0, 0), tensor("u", &[4], 0, 32)].concat())), |e| {
            matches!(e, Error::Overlap { .. })
        }),
        ("tensor twice", pad(header(3, 2, 0, &[tensor("t", &[4], 0, 0), tensor("t", &[4], 0, 32)].concat())), |e| {
            matches!(e, Error::Duplicate { what: "tensor", .. })
        }),
    ];
    for (name, bytes, is_right) in cases {
        match parse(&bytes) {
            Ok(_) => panic!("{name} passes"),
            Err(error) => assert!(is_right(&error), "{name}: {error:?}"),
        }
    }
}

#[test]
fn what_is_written_reads_back() {
    let data = [0u8; 2 * 34];
    let mut writer = Writer::new("qwen3");
    writer.u32("a", 1).u32("a", 2).str("b", "text").strings("c", &["x", "yz"]).f32s("d", &[1.0]).bool("e", true);
    writer.tensor("w", &[32, 2], TensorKind::Q8_0, &data);
    writer.tensor_with("v", &[3], TensorKind::F32, |out| out.write_all(&[1; 12]));
    let mut bytes = Vec::new();
    writer.write(&mut bytes).expect("memory takes all");
    let c = parse(&bytes).expect("valid");
    assert_eq!(c.metadata.len(), 6);
    assert_eq!((c.u32("a"), c.str("b"), c.bool("e")), (Ok(Some(2)), Ok(Some("text")), Ok(Some(true))));
    assert_eq!(c.array("c").unwrap().unwrap().strings(&bytes).collect::<Vec<_>>(), [b"x".as_slice(), b"yz"]);
    let v = c.tensor("v").expect("present");
    assert_eq!(bytes[v.range.start as usize..v.range.end as usize], [1; 12]);

    // A copy of the metadata is the same metadata.
    let mut again = Vec::new();
    Writer::like(&c, &bytes).write(&mut again).expect("memory takes all");
    let copy = parse(&again).expect("valid");
    assert!(copy.metadata.iter().map(|(k, v)| (k, v.kind())).eq(c.metadata.iter().map(|(k, v)| (k, v.kind()))));
    assert_eq!(copy.array("c").unwrap().unwrap().strings(&again).count(), 2);
}

#[test]
fn a_tensor_that_writes_too_little_is_an_error() {
    let mut writer = Writer::new("llama");
    writer.tensor_with("v", &[3], TensorKind::F32, |out| out.write_all(&[1; 8]));
    assert!(writer.write(&mut Vec::new()).is_err());
}
