//! Block layouts against an outside reader: bytes and expected floats from llama.cpp and the `gguf` package.

use sprat_kernels::{Format, Isa};

const RECORDS: &[u8] = include_bytes!("data/blocks.bin");

#[test]
fn every_quantized_format_reads_as_the_gguf_package_reads_it() {
    let mut rest = RECORDS;
    let mut seen = Vec::new();
    while !rest.is_empty() {
        let name = std::str::from_utf8(&rest[..8]).expect("an ASCII name").trim_end_matches('\0');
        let len_bytes = u32::from_le_bytes(rest[8..12].try_into().expect("4 bytes")) as usize;
        let (blocks, after) = rest[12..].split_at(len_bytes);
        let (expected, after) = after.split_at(512 * 4);
        rest = after;
        let format = *Format::ALL.iter().find(|f| format!("{f:?}") == name).expect("a format of that name");
        seen.push(format);

        let mut out = [0.0f32; 512];
        Isa::detect().dequantize(format, blocks, &mut out);
        for (i, (got, want)) in out.iter().zip(expected.chunks_exact(4)).enumerate() {
            let want = f32::from_le_bytes(want.try_into().expect("4 bytes"));
            assert_eq!(*got, want, "{name} value {i}");
        }
    }
    let quantized = Format::ALL.iter().filter(|f| f.block_len() > 1).count();
    assert_eq!(seen.len(), quantized, "a record for every quantized format: {seen:?}");
}
