//! Literal ids for two small vocabularies written with the `gguf` Python package, from llama.cpp (llama-cpp-python
//! 0.3.36, `llama_tokenize` with `vocab_only`).

use super::*;
use crate::tokenizer::{SpecialTokens, TokenKind};

/// What a text becomes with control tokens as text, and parsed.
struct Case(&'static str, &'static [u32], &'static [u32]);

fn check(tokenizer: &Tokenizer, cases: &[Case]) {
    for Case(text, as_text, parsed) in cases {
        assert_eq!(tokenizer.encode(text, SpecialTokens::AsText, false).expect("encodes"), *as_text, "{text:?}");
        assert_eq!(tokenizer.encode(text, SpecialTokens::Parse, false).expect("encodes"), *parsed, "{text:?}");
    }
}

#[test]
fn added_tokens_of_a_byte_level_vocabulary() {
    let merges = ["h e", "l l", "he ll", "hell o", "Ġ w", "o r", "Ġw or", "Ġwor ld", "l d", "Ġ Ġ"];
    let mut pieces: Vec<String> = (0..=255).map(|byte| byte_level::char_of(byte).to_string()).collect();
    pieces.extend(merges.map(|merge| merge.replace(' ', "")));
    let added = [("<a>", 4), ("<a><b>", 4), ("<b>", 4), ("<|im_start|>", 3), ("<|im_end|>", 1), ("  ", 4)];
    let mut kinds = vec![1; pieces.len()];
    for (piece, kind) in added {
        pieces.push(piece.into());
        kinds.push(kind);
    }
    let merges = merges.map(|m| m.split_once(' ').map(|(l, r)| (l.into(), r.into())).expect("has a space"));
    let mut file = gpt2(&Learned { pieces, merges: merges.to_vec() }, "llama-bpe");
    file.i32s("tokenizer.ggml.token_type", &kinds)
        .u32("tokenizer.ggml.bos_token_id", 269)
        .u32("tokenizer.ggml.eos_token_id", 270);
    let tokenizer = open(file).expect("a good file");
    check(
        &tokenizer,
        &[
            Case("hello world", &[259, 263], &[259, 263]),
            Case("<a><b><a>", &[267, 266], &[267, 266]),
            Case("<b><a><b>x", &[268, 267, 120], &[268, 267, 120]),
            Case(
                "<|im_start|>hello<|im_end|>",
                &[
                    60, 124, 105, 109, 95, 115, 116, 97, 114, 116, 124, 62, 259, 60, 124, 105, 109, 95, 101, 110, 100,
                    124, 62,
                ],
                &[269, 259, 270],
            ),
            Case("   world", &[271, 263], &[271, 263]),
            Case("a    b", &[97, 271, 271, 98], &[97, 271, 271, 98]),
        ],
    );
    // The name `llama-bpe` alone asks for BOS.
    assert!(tokenizer.adds_bos());
    assert_eq!(tokenizer.encode("hello", SpecialTokens::Parse, true).expect("encodes"), [269, 259]);
    // `<|im_end|>` is an end and a control token by its text, whatever the file says.
    assert_eq!((tokenizer.end_ids(), tokenizer.kind(270)), (&[270][..], TokenKind::Control));
    assert_eq!((tokenizer.bos(), tokenizer.eos(), tokenizer.eot()), (Some(269), Some(270), Some(270)));
}

#[test]
fn phi_3_takes_white_space_behind_added_tokens_and_others_do_not() {
    let mut pieces: Vec<String> = ["<unk>", "<s>", "</s>"].map(String::from).to_vec();
    let mut kinds = vec![2, 3, 3];
    let mut scores = vec![0.0; 259];
    for byte in 0..=255 {
        pieces.push(format!("<0x{byte:02X}>"));
        kinds.push(6);
    }
    let normal = "▁ h e l o w r d ▁w ll he or hell ▁h ▁he ▁hell ▁hello ▁wor ld ▁world lo hello ▁▁";
    for (i, piece) in normal.split(' ').enumerate() {
        pieces.push(piece.into());
        kinds.push(1);
        scores.push(((-7 * i as i32).rem_euclid(23) - 30) as f32);
    }
    for (piece, kind) in [("<|user|>", 3), ("<|end|>", 3), ("<think>", 4), ("<|endoftext|>", 3)] {
        pieces.push(piece.into());
        kinds.push(kind);
        scores.push(0.0);
    }
    let named = |name: &str| {
        let mut file = Writer::new("llama");
        file.str("general.name", name)
            .str("tokenizer.ggml.model", "llama")
            .strings("tokenizer.ggml.tokens", &pieces)
            .i32s("tokenizer.ggml.token_type", &kinds)
            .f32s("tokenizer.ggml.scores", &scores);
        open(file).expect("a good file")
    };
    let spelled: &[u32] =
        &[259, 63, 127, 120, 118, 261, 265, 127, 65, 13, 273, 262, 279, 63, 127, 261, 113, 266, 127, 65, 13];
    let end_of_text: &[u32] = &[259, 100, 63, 127, 261, 113, 266, 263, 105, 119, 261, 123, 119, 127, 65, 259, 101];
    let slash: &[u32] = &[273, 262, 279, 63, 50, 118, 65, 259, 13, 278];
    let both = [
        Case("hello world", &[273, 262, 279, 278], &[273, 262, 279, 278]),
        Case("hello  é", &[273, 262, 279, 281, 198, 172], &[273, 262, 279, 281, 198, 172]),
        Case("a<|endoftext|> b", end_of_text, &[259, 100, 285, 281, 101]),
    ];
    for name in ["Phi-3 mini", "phi3"] {
        let phi = named(name);
        check(&phi, &both);
        check(
            &phi,
            &[
                Case("<|user|>\n hello<|end|>\n", spelled, &[282, 273, 262, 279, 283]),
                Case("<think>\thello", &[284, 273, 262, 279], &[284, 273, 262, 279]),
                Case("hello</s> \n world", slash, &[273, 262, 279, 2, 278]),
            ],
        );
        assert_eq!(phi.encode("hello", SpecialTokens::Parse, true).expect("encodes"), [1, 273, 262, 279]);
        assert_eq!(phi.end_ids(), [2, 283, 285]);
    }
    let other = named("Other");
    check(&other, &both);
    check(
        &other,
        &[
            Case("<|user|>\n hello<|end|>\n", spelled, &[282, 259, 13, 273, 262, 279, 283, 259, 13]),
            Case("<think>\thello", &[284, 259, 12, 269, 262, 279], &[284, 259, 12, 269, 262, 279]),
            Case("hello</s> \n world", slash, &[273, 262, 279, 2, 281, 13, 278]),
        ],
    );
}

#[test]
fn a_reply_in_parts_does_not_end_with_a_part() {
    // gpt-oss: `<|end|>` closes a part, `<|return|>` and `<|call|>` the reply; the marks of parts are text.
    let ends = |added: &[&str]| {
        let mut learned = byte_level_vocabulary();
        let first = learned.pieces.len();
        learned.pieces.extend(added.iter().map(|piece| piece.to_string()));
        let mut file = gpt2(&learned, "gpt-4o");
        let kinds: Vec<i32> = (0..learned.pieces.len()).map(|id| if id < first { 1 } else { 3 }).collect();
        file.i32s("tokenizer.ggml.token_type", &kinds);
        let tokenizer = open(file).expect("a good file");
        let kind = |piece: &&str| tokenizer.kind(tokenizer.id_of(piece).expect("a token"));
        let kinds: Vec<TokenKind> = added.iter().map(kind).collect();
        let ends: Vec<usize> = tokenizer.end_ids().iter().map(|&id| id as usize - first).collect();
        (ends, kinds)
    };
    use TokenKind::{Control, UserDefined};
    let gpt_oss = ["<|end|>", "<|return|>", "<|call|>", "<|channel|>", "<|startoftext|>"];
    assert_eq!(ends(&gpt_oss), (vec![1, 2], vec![UserDefined, Control, Control, UserDefined, Control]));
    let phi = ["<|end|>", "<|assistant|>"];
    assert_eq!(ends(&phi), (vec![0], vec![Control, Control]));
}

#[test]
fn gemma_4_merges_plain_text_line_by_line() {
    let mut pieces: Vec<String> = ["<pad>", "<eos>", "<bos>", "<unk>"].map(String::from).to_vec();
    let mut kinds = vec![3, 3, 3, 2];
    for byte in 0..=255 {
        pieces.push(format!("<0x{byte:02X}>"));
        kinds.push(6);
    }
    for piece in "▁ h e l o w r d \n \n\n ▁h ▁he ll ▁hell ▁hello".split(' ') {
        pieces.push(piece.replace("\\n", "\n"));
        kinds.push(1);
    }
    let merges = ["▁ h", "▁h e", "l l", "▁he ll", "▁hell o"];
    let mut file = Writer::new("gemma4");
    file.str("tokenizer.ggml.model", "gemma4")
        .strings("tokenizer.ggml.tokens", &pieces)
        .i32s("tokenizer.ggml.token_type", &kinds)
        .strings("tokenizer.ggml.merges", &merges)
        .u32("tokenizer.ggml.bos_token_id", 2)
        .u32("tokenizer.ggml.eos_token_id", 1)
        .u32("tokenizer.ggml.unknown_token_id", 3)
        .bool("tokenizer.ggml.add_bos_token", false);
    let tokenizer = open(file).expect("a good file");
    check(
        &tokenizer,
        &[
            Case(" hello", &[274], &[274]),
            Case("hello  hello", &[261, 262, 272, 264, 260, 274], &[261, 262, 272, 264, 260, 274]),
            Case(
                "hell\n\n\n é",
                &[261, 262, 272, 268, 268, 268, 260, 199, 173],
                &[261, 262, 272, 268, 268, 268, 260, 199, 173],
            ),
            Case("<bos> h<eos>", &[64, 102, 264, 119, 66, 270, 64, 262, 264, 119, 66], &[2, 270, 1]),
        ],
    );
    assert_eq!(tokenizer.encode("h", SpecialTokens::Parse, true).expect("encodes"), [2, 261]);
    assert_eq!(tokenizer.text(&[274, 269, 199, 173]).expect("decodes"), " hello\n\né");
}
