//! Files that are refused, each with an error that names the fault.

use super::*;
use crate::tokenizer::SpecialTokens;

fn error(change: impl FnOnce(&mut Writer)) -> String {
    let mut file = gpt2(&byte_level_vocabulary(), "gpt-2");
    change(&mut file);
    open(file).err().expect("the file is bad").to_string()
}

#[test]
fn a_bad_file_is_refused_by_the_name_of_the_fault() {
    struct Case {
        key: &'static str,
        change: fn(&mut Writer, &str),
        message: &'static str,
    }
    let cases = [
        Case {
            key: "tokenizer.ggml.model",
            change: |f, key| {
                f.str(key, "bert");
            },
            message: "tokenizer model `bert` is not supported (supported: gpt2, llama, t5, gemma4)",
        },
        Case {
            key: "tokenizer.ggml.pre",
            change: |f, key| {
                f.str(key, "gpt-17");
            },
            message: "pre-tokenizer `gpt-17` is not supported",
        },
        Case {
            key: "tokenizer.ggml.tokens",
            change: |f, key| {
                f.u32s(key, &[1]);
            },
            message: "tokenizer.ggml.tokens: an array of U32 instead of what belongs there",
        },
        Case {
            key: "tokenizer.ggml.token_type",
            change: |f, key| {
                f.i32s(key, &[1, 1]);
            },
            message: "tokenizer.ggml.token_type: 2 elements for ",
        },
        Case {
            key: "tokenizer.ggml.scores",
            change: |f, key| {
                f.f32s(key, &[]);
            },
            message: "tokenizer.ggml.scores: 0 elements for ",
        },
    ];
    let long = [
        Case {
            key: "tokenizer.ggml.tokens",
            change: |f, key| {
                f.strings(key, &["a".repeat(4097)]).i32s("tokenizer.ggml.token_type", &[1]);
            },
            message: "tokenizer.ggml.tokens: a string of 4097 bytes, at most 4096 are supported",
        },
        Case {
            key: "tokenizer.ggml.merges",
            change: |f, key| {
                f.strings(key, &[format!("a {}", "a".repeat(8192))]);
            },
            message: "tokenizer.ggml.merges: a string of 8194 bytes, at most 8193 are supported",
        },
    ];
    for Case { key, change, message } in cases.into_iter().chain(long) {
        let found = error(|file| change(file, key));
        assert!(found.starts_with(message), "{found}");
    }
    let nothing = open(Writer::new("llama")).err().expect("the file is bad");
    assert_eq!(nothing.to_string(), "the file has no tokenizer.ggml.model");
}

#[test]
fn a_byte_without_a_token_is_an_error_and_an_unknown_token_where_there_is_one() {
    let mut learned = byte_level_vocabulary();
    learned.pieces.retain(|piece| piece != "Z");
    let strict = open(gpt2(&learned, "gpt-2")).expect("a good file");
    let refused = strict.encode("xZ", SpecialTokens::AsText, false);
    assert!(matches!(refused, Err(TokenizerError::MissingByte { byte: b'Z' })), "{refused:?}");
    let mut file = gpt2(&learned, "gpt-2");
    file.u32("tokenizer.ggml.unknown_token_id", 5);
    let lenient = open(file).expect("a good file");
    let x = lenient.id_of("x").expect("a token");
    assert_eq!(lenient.encode("xZ", SpecialTokens::AsText, false).expect("encodes"), [x, 5]);
}

#[test]
fn a_file_shorter_than_its_contents_say_is_an_error_and_never_a_panic() {
    let mut bytes = Vec::new();
    gpt2(&byte_level_vocabulary(), "gpt-2").write(&mut bytes).expect("writing to memory");
    let contents = Contents::parse(&bytes, bytes.len() as u64).expect("just written");
    let needed = contents.array("tokenizer.ggml.merges").expect("an array").expect("there").range.end;
    for len in (0..needed).step_by(97) {
        let short = Tokenizer::from_gguf(&contents, Arc::new(bytes[..len].to_vec()));
        assert!(matches!(short, Err(TokenizerError::Truncated { .. })), "{len}");
    }
}

#[test]
fn a_number_outside_the_vocabulary_is_an_error() {
    let tokenizer = open(gpt2(&byte_level_vocabulary(), "gpt-2")).expect("a good file");
    let size = tokenizer.vocab_size() as u32;
    for id in [size, u32::MAX] {
        let refused = tokenizer.text(&[id]);
        assert!(matches!(refused, Err(TokenizerError::NoSuchToken { id: found, .. }) if found == id));
        assert!(!tokenizer.is_end(id));
    }
}
