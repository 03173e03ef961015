//! Valid files cut off, with bytes changed and with numbers that lie: an error or a table of contents that holds.

use std::time::{Duration, Instant};

use sprat_gguf::{Contents, Error, Value};

use crate::{KINDS, PYTHON, parse};

/// Miri, which interprets, tries a sample: one of so many.
const SAMPLE: usize = if cfg!(miri) { 1999 } else { 1 };

/// Reads a damaged file; if it passes, all that it says must lie inside it. Tells whether it passed.
fn survive(bytes: &[u8]) -> bool {
    let Ok(contents) = parse(bytes) else { return false };
    for (_, value) in &contents.metadata {
        let Value::Array(array) = value else { continue };
        assert!(array.range.end <= bytes.len());
        let elements = array.strings(bytes).count() + array.bools(bytes).count() + array.f64s(bytes).count();
        assert!(elements == 0 || elements == array.len, "{elements} of {}", array.len);
    }
    for tensor in &contents.tensors {
        assert!(contents.data_offset <= tensor.range.start && tensor.range.end <= bytes.len() as u64);
        assert!(tensor.range.start.is_multiple_of(contents.alignment) && !tensor.range.is_empty());
        assert_eq!(contents.tensor(&tensor.name), Some(tensor));
    }
    true
}

#[test]
fn every_truncation_is_an_error() {
    for file in [PYTHON, KINDS] {
        let valid = parse(file).expect("a valid file");
        // The padding behind the last tensor's data may be missing; nothing else may.
        let end = valid.tensors.iter().map(|t| t.range.end).max().expect("it has tensors");
        for len in (0..file.len() as u64).step_by(SAMPLE) {
            let error = parse(&file[..len as usize]).err();
            match error {
                None => assert!(len >= end, "{len} bytes pass"),
                Some(Error::Truncated { needed, available }) => assert!(available == len && needed > len),
                Some(Error::OutOfBounds { file_len, .. }) => assert_eq!(file_len, len),
                Some(other) => panic!("{len} bytes: {other}"),
            }
        }
    }
}

#[test]
fn a_prefix_that_holds_the_header_is_enough_and_a_shorter_one_says_how_much_is_missing() {
    let files: &[&[u8]] = if cfg!(miri) { &[PYTHON] } else { &[PYTHON, KINDS] };
    for &file in files {
        let header = parse(file).expect("valid").data_offset as usize;
        assert!(Contents::parse(&file[..header], file.len() as u64).is_ok());
        let mut available = 0;
        while let Err(error) = Contents::parse(&file[..available], file.len() as u64) {
            let Error::Truncated { needed, available: told } = error else { panic!("{error}") };
            assert_eq!(told, available as u64);
            assert!(needed > told && needed as usize <= header, "following the advice makes progress and ends");
            available = needed as usize;
        }
    }
}

#[test]
fn bytes_behind_the_files_end_are_not_looked_at() {
    let end = parse(PYTHON).expect("valid").data_offset - 40;
    assert!(matches!(Contents::parse(PYTHON, end), Err(Error::Truncated { available, .. }) if available == end));
}

#[test]
fn random_damage_never_panics_and_is_found_fast() {
    let start = Instant::now();
    // Knuth's MMIX generator.
    let mut state = 1u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    let mut passed = 0;
    for round in 0..20_000 / SAMPLE {
        let mut bytes = [PYTHON, KINDS][round % 2].to_vec();
        for _ in 0..1 + random() % 4 {
            let at = random() % bytes.len();
            bytes[at] = random() as u8;
        }
        passed += u32::from(survive(&bytes));
    }
    assert!(passed > 0 && passed < 20_000, "some damage is harmless, some is found: {passed}");
    // 20 microseconds each on a desktop; a loop over a lying count would take hours.
    assert!(start.elapsed() < Duration::from_secs(60));
}

#[test]
fn a_lying_number_anywhere_never_panics_and_is_found_fast() {
    let start = Instant::now();
    let short = [0u32, 1 << 31, u32::MAX].map(|lie| lie.to_le_bytes().to_vec());
    let long = [1u64 << 61, u64::MAX - 31, u64::MAX].map(|lie| lie.to_le_bytes().to_vec());
    for file in [PYTHON, KINDS] {
        for lie in short.iter().chain(&long) {
            for at in (0..file.len() - lie.len()).step_by(SAMPLE) {
                let mut bytes = file.to_vec();
                bytes[at..at + lie.len()].copy_from_slice(lie);
                survive(&bytes);
            }
        }
    }
    assert!(start.elapsed() < Duration::from_secs(60));
}
