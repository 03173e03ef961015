//! From ids back to bytes, and texts that would be slow.

use std::time::{Duration, Instant};

use super::*;
use crate::tokenizer::{MAX_TEXT_BYTES, SpecialTokens};

fn sentence_piece() -> Tokenizer {
    let mut pieces: Vec<String> = ["<unk>", "<s>", "</s>"].map(String::from).to_vec();
    pieces.extend((0..=255).map(|byte| format!("<0x{byte:02X}>")));
    pieces.extend(["▁", "a", "▁a", "aa", "▁▁", "aaaa", "▁▁▁▁"].map(String::from));
    let mut kinds = vec![2, 3, 3];
    kinds.extend([6; 256]);
    kinds.resize(pieces.len(), 1);
    let mut file = Writer::new("llama");
    file.str("tokenizer.ggml.model", "llama")
        .strings("tokenizer.ggml.tokens", &pieces)
        .i32s("tokenizer.ggml.token_type", &kinds);
    open(file).expect("a good file")
}

#[test]
fn every_text_comes_back() {
    let byte_level = open(gpt2(&byte_level_vocabulary(), "llama-bpe")).expect("a good file");
    for text in texts(500) {
        for tokenizer in [&byte_level, &sentence_piece()] {
            // SentencePiece cannot tell its own sign from a space.
            let text = if tokenizer.adds_space_prefix() { text.replace('▁', "_") } else { text.clone() };
            let ids = tokenizer.encode(&text, SpecialTokens::AsText, true).expect("encodes");
            assert_eq!(tokenizer.text(&ids).expect("decodes"), text);
        }
    }
}

#[test]
fn the_bytes_of_tokens_are_appended_in_place() {
    let tokenizer = sentence_piece();
    let ids = tokenizer.encode("a é", SpecialTokens::AsText, true).expect("encodes");
    let mut out = Vec::with_capacity(ids.len() * tokenizer.longest_token());
    let (place, room) = (out.as_ptr(), out.capacity());
    for &id in &ids {
        tokenizer.token_bytes(id, &mut out).expect("decodes");
    }
    assert_eq!(out, "<s> a é".as_bytes());
    assert_eq!((out.as_ptr(), out.capacity()), (place, room));
    let mut out = Vec::new();
    tokenizer.decode(&ids, &mut out).expect("decodes");
    assert_eq!(out, "a é".as_bytes());
}

#[test]
fn a_megabyte_of_one_character_takes_no_quadratic_time() {
    // A second or so, several on a busy machine; quadratic time would be hours.
    const LIMIT: Duration = Duration::from_secs(20);
    let byte_level = open(gpt2(&byte_level_vocabulary(), "llama-bpe")).expect("a good file");
    let long = ["a", " "].map(|unit| (unit, 1_000_000));
    let others = ["\n", " \n", "<", "1", "!", "e ", "é"].map(|unit| (unit, 200_000));
    for (unit, len) in long.into_iter().chain(others) {
        let text = unit.repeat(len / unit.len());
        for tokenizer in [&byte_level, &sentence_piece()] {
            let start = Instant::now();
            let ids = tokenizer.encode(&text, SpecialTokens::Parse, false).expect("encodes");
            assert!(start.elapsed() < LIMIT, "{unit:?} took {:?}", start.elapsed());
            assert_eq!(tokenizer.text(&ids).expect("decodes").len(), text.len());
        }
    }
}

#[test]
fn a_text_of_many_added_tokens_takes_no_quadratic_time() {
    // A second or so on a busy machine; a search of the whole text for each token takes time by their product.
    const LIMIT: Duration = Duration::from_secs(20);
    let marks: Vec<String> = (0..60_000).map(|i| format!("<{i}>")).collect();
    let mut learned = byte_level_vocabulary();
    learned.pieces.extend(marks.iter().cloned());
    let mut kinds = vec![1; learned.pieces.len() - marks.len()];
    kinds.resize(learned.pieces.len(), 4);
    let mut file = gpt2(&learned, "gpt-2");
    file.i32s("tokenizer.ggml.token_type", &kinds);
    let tokenizer = open(file).expect("a good file");
    let text = marks.concat().repeat(2);
    let start = Instant::now();
    let ids = tokenizer.encode(&text, SpecialTokens::AsText, false).expect("encodes");
    assert!(start.elapsed() < LIMIT, "{:?}", start.elapsed());
    assert_eq!(ids.len(), 2 * marks.len());
    assert_eq!(tokenizer.text(&ids).expect("decodes"), text);
}

#[test]
fn a_text_above_the_limit_is_refused_and_one_at_it_is_not() {
    let tokenizer = sentence_piece();
    let mut text = "é".repeat(MAX_TEXT_BYTES / 2);
    assert_eq!(tokenizer.count(&text, SpecialTokens::AsText, false).expect("encodes"), MAX_TEXT_BYTES + 1);
    text.push('a');
    let refused = tokenizer.encode(&text, SpecialTokens::AsText, false);
    assert!(matches!(refused, Err(TokenizerError::TextTooLong { found, .. }) if found == MAX_TEXT_BYTES + 1));
}
