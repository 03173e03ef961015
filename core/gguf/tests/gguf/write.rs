//! What our writer makes: the reader finds in it what was put in.

use sprat_gguf::{Contents, TensorKind, Writer};

use crate::{KINDS, PYTHON, parse};

fn bytes_of(writer: Writer) -> Vec<u8> {
    let mut bytes = Vec::new();
    writer.write(&mut bytes).expect("memory takes all");
    bytes
}

fn data<'a>(contents: &Contents, file: &'a [u8], name: &str) -> &'a [u8] {
    let range = contents.tensor(name).expect("present").range.clone();
    &file[range.start as usize..range.end as usize]
}

#[test]
fn what_is_written_reads_back() {
    let rows: Vec<u8> = (0..2 * 34).collect();
    let mut writer = Writer::new("qwen3");
    writer.u32("a", 1).str("b", "text").strings("c", &["x", "yz"]).f32s("d", &[1.0]).bool("e", true);
    writer.tensor("w", &[32, 2], TensorKind::Q8_0, &rows);
    writer.tensor_with("v", &[3], TensorKind::F32, |out| {
        out.write_all(&[1; 4])?;
        out.write_all(&[2; 8])
    });
    writer.u32("a", 2);
    let bytes = bytes_of(writer);
    let c = parse(&bytes).expect("valid");
    let keys: Vec<&str> = c.metadata.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["general.architecture", "a", "b", "c", "d", "e"], "a key set twice stands in its first place");
    assert_eq!((c.u32("a"), c.str("b"), c.bool("e")), (Ok(Some(2)), Ok(Some("text")), Ok(Some(true))));
    let c_array = c.array("c").expect("an array").expect("present");
    assert_eq!(c_array.strings(&bytes).collect::<Vec<_>>(), [b"x".as_slice(), b"yz"]);
    assert_eq!(data(&c, &bytes, "w"), rows);
    assert_eq!(data(&c, &bytes, "v"), [1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2]);
    assert_eq!((c.version, bytes.len() % 32), (3, 0));
}

/// The strongest check of the writer: an outside writer's file comes out again byte by byte.
#[test]
fn a_copy_of_another_writers_file_is_that_file() {
    for file in [PYTHON, KINDS] {
        let c = parse(file).expect("valid");
        let mut writer = Writer::like(&c, file);
        for tensor in &c.tensors {
            writer.tensor(&tensor.name, &tensor.shape, tensor.kind, data(&c, file, &tensor.name));
        }
        assert!(bytes_of(writer) == file);
    }
}

#[test]
fn the_setters_make_the_bytes_of_another_writer() {
    let mut w = Writer::new("llama");
    w.u8("uint8", 200).i8("int8", -5).u16("uint16", 60000).i16("int16", -30000);
    w.u32("uint32", 4_000_000_000).i32("int32", -7).f32("float32", 0.5).bool("bool", true).str("string", "café");
    w.u64("uint64", 1 << 40).i64("int64", -(1 << 40)).f64("float64", 0.1);
    w.strings("strings", &["a", "", "é中"]).bools("bools", &[true, false]);
    let c = parse(PYTHON).expect("valid");
    w.value("nested", c.get("nested").expect("present"), PYTHON);
    w.u8s("array.uint8", &[0, 255]).i8s("array.int8", &[-128, 127]);
    w.u16s("array.uint16", &[65535]).i16s("array.int16", &[-32768]);
    w.u32s("array.uint32", &[1, 4_000_000_000]).i32s("array.int32", &[1, -2, 3]);
    w.u64s("array.uint64", &[1 << 63]).i64s("array.int64", &[-(1 << 62)]);
    w.f32s("array.float32", &[0.5, -1.5]).f64s("array.float64", &[0.1]);
    for tensor in &c.tensors {
        w.tensor(&tensor.name, &tensor.shape, tensor.kind, data(&c, PYTHON, &tensor.name));
    }
    assert!(bytes_of(w) == PYTHON);
}

#[test]
fn keys_of_a_copied_file_can_be_replaced() {
    let c = parse(PYTHON).expect("valid");
    let mut writer = Writer::like(&c, PYTHON);
    writer.u32("uint8", 7).strings("strings", &["one"]).alignment(64);
    writer.tensor("v", &[1], TensorKind::I8, &[9]).tensor("w", &[1], TensorKind::I8, &[8]);
    let bytes = bytes_of(writer);
    let copy = parse(&bytes).expect("valid");
    assert_eq!((copy.metadata.len(), copy.u32("uint8")), (c.metadata.len() + 1, Ok(Some(7))));
    assert_eq!((copy.alignment, data(&copy, &bytes, "v"), data(&copy, &bytes, "w")), (64, &[9][..], &[8][..]));
}

#[test]
fn a_file_without_tensors_reads_back() {
    let bytes = bytes_of(Writer::new("llama"));
    assert!(parse(&bytes).expect("valid").tensors.is_empty());
    // Other writers leave the padding out.
    let header = 24 + (8 + 20) + 4 + (8 + 5);
    assert!(parse(&bytes[..header]).is_ok() && parse(&bytes[..header - 1]).is_err());
}

#[test]
fn a_tensor_that_writes_too_little_or_too_much_is_an_error() {
    for len in [8, 16] {
        let mut writer = Writer::new("llama");
        writer.tensor_with("v", &[3], TensorKind::F32, move |out| out.write_all(&vec![1; len]));
        let error = writer.write(&mut Vec::new()).expect_err("12 bytes were promised");
        assert_eq!(error.to_string(), format!("tensor v: {len} bytes written, 12 expected"));
    }
}

#[test]
#[should_panic(expected = "tensor v stands twice")]
fn two_tensors_of_one_name_panic() {
    let mut writer = Writer::new("llama");
    writer.tensor("v", &[1], TensorKind::I8, &[9]).tensor("v", &[1], TensorKind::I8, &[8]);
}
