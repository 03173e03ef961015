//! Any text through each kind of tokenizer: an error or tokens, and the text comes back.

use std::sync::{Arc, OnceLock};

use sprat::{SpecialTokens, Tokenizer};
use sprat_gguf::{Contents, Writer};

use crate::models;

/// One for each expression or rule of its own.
const PRE: &[&str] = &[
    "default",
    "llama-bpe",
    "gpt-2",
    "starcoder",
    "qwen2",
    "qwen35",
    "gpt-4o",
    "tekken",
    "kimi-k2",
    "falcon",
    "deepseek-llm",
    "deepseek-coder",
    "deepseek-v3",
    "bloom",
    "viking",
    "superbpe",
    "bailingmoe",
    "seed-coder",
    "exaone-moe",
    "minicpm5",
];

pub fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        "Hello, world! It's 12345 o'clock.\r\n\n\tThe th the",
        "\u{4f60}\u{597d} \u{30c6}\u{30b9}\u{30c8} \u{d55c}\u{ad6d} \u{1f9d1}\u{200d}\u{1f680} e\u{301}\u{2581}x",
        "<|bos|>a<|eos|><|pad300|>  <0x41> \u{0}",
    ];
    (0..=PRE.len() as u8 + 1).flat_map(|kind| texts.map(|text| [&[kind], text.as_bytes()].concat())).collect()
}

/// A kind of tokenizer, and whether a text comes back from it byte for byte.
fn tokenizers() -> &'static [Tokenizer] {
    static ALL: OnceLock<Vec<Tokenizer>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut all: Vec<Tokenizer> = PRE.iter().map(|pre| byte_pairs(pre)).collect();
        all.extend(["llama", "t5"].map(pieces));
        all
    })
}

fn byte_pairs(pre: &str) -> Tokenizer {
    let header = models::header("llama");
    let contents = Contents::parse(&header, u64::MAX).expect("a good header");
    let mut writer = Writer::like(&contents, &header);
    writer.str("tokenizer.ggml.pre", pre);
    read(writer)
}

/// Pieces with scores, and a token for each byte.
fn pieces(model: &str) -> Tokenizer {
    let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>"].map(str::to_owned).into();
    let mut types = vec![2, 3, 3];
    tokens.extend((0..=255).map(|byte: u8| format!("<0x{byte:02X}>")));
    types.resize(tokens.len(), 6);
    let words =
        ["\u{2581}", "e", "t", "h", "th", "the", "\u{2581}the", "\u{e9}", "\u{4f60}\u{597d}", " ", "\u{2581}\u{2581}"];
    tokens.extend(words.map(str::to_owned));
    types.resize(tokens.len(), 1);
    let scores: Vec<f32> = (0..tokens.len()).map(|i| -(i as f32) / 16.0).collect();
    let mut writer = Writer::new("llama");
    writer.str("tokenizer.ggml.model", model).strings("tokenizer.ggml.tokens", &tokens);
    writer.i32s("tokenizer.ggml.token_type", &types).f32s("tokenizer.ggml.scores", &scores);
    writer.u32("tokenizer.ggml.unknown_token_id", 0).u32("tokenizer.ggml.eos_token_id", 2);
    read(writer)
}

fn read(writer: Writer<'_>) -> Tokenizer {
    let mut bytes = Vec::new();
    writer.write(&mut bytes).expect("memory takes all");
    let contents = Contents::parse(&bytes, bytes.len() as u64).expect("a good header");
    Tokenizer::from_gguf(&contents, Arc::new(bytes)).expect("a good vocabulary")
}

pub fn run(data: &[u8]) {
    let Some((&kind, text)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(text);
    let all = tokenizers();
    let which = usize::from(kind) % all.len();
    let tokenizer = &all[which];
    for special in [SpecialTokens::AsText, SpecialTokens::Parse] {
        let Ok(ids) = tokenizer.encode(&text, special, false) else { continue };
        let mut bytes = Vec::new();
        tokenizer.decode(&ids, &mut bytes).expect("its own tokens have a text");
        if special == SpecialTokens::AsText && which < PRE.len() {
            assert_eq!(bytes, text.as_bytes(), "{}: the text comes back", PRE[which]);
        }
        if special == SpecialTokens::AsText && which == PRE.len() {
            assert_eq!(
                bytes,
                text.replace('\u{2581}', " ").as_bytes(),
                "the text comes back, its lower bars as spaces"
            );
        }
    }
}
