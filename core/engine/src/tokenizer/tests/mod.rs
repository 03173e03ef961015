//! The tokenizer on small vocabularies, against the `tokenizers` crate's own models and against llama.cpp.

mod against_crate;
mod against_llama_cpp;
mod refused;
mod text_back;

use std::collections::HashMap;
use std::sync::Arc;

use sprat_gguf::{Contents, Writer};

use super::{Tokenizer, byte_level};
use crate::error::TokenizerError;

/// What the small vocabularies are made from: several scripts, numbers, code. No letter stands three times in a row, so
/// that no piece overlaps itself (the crate's model and SentencePiece differ in which of two such merges goes first).
const CORPUS: &str = "The quick brown fox jumps over the lazy dog. The dog sleeps; the fox doesn't care, it'll run again. \
    Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. L'été, les élèves préfèrent la plage. \
    Съешь же ещё этих мягких французских булок, да выпей чаю. 敏捷的棕色狐狸跳过懒狗。狗在睡觉，狐狸在跑。 \
    fn main() { let x = 42 + 1337; println!(\"{}\", x); } for i in 0..10 { if i % 2 == 0 { continue; } } \
    Numbers: 1, 12, 123, 1234, 98765. The end of the story is the end of the day, and the dog and the fox are friends.";

/// Whole random numbers that are the same on every run (Knuth's MMIX constants).
pub(super) struct Random(pub(super) u64);

impl Random {
    /// A number below `n`.
    pub(super) fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }
}

/// Texts put together at random from words of the corpus and from what tokenizers trip over.
pub(super) fn texts(n: usize) -> Vec<String> {
    const ODD: &[&str] = &[
        " ",
        "  ",
        "   ",
        "\n",
        "\n\n",
        " \n ",
        "\t",
        "\r\n",
        "\u{a0}",
        "\u{3000}",
        "\u{85}",
        "\u{b}",
        "'s",
        "'S",
        "'LL",
        "'",
        "don't",
        "I'VE",
        "!!",
        "?!.",
        "...",
        "#$%",
        "{}",
        "1",
        "12345678",
        "٣٤",
        "½",
        "e\u{301}",
        "\u{301}",
        "ß",
        "ﬁ",
        "👩\u{200d}👧",
        "🇩🇪",
        "한국어",
        "ไทย",
        "हिन्दी",
        "العربية",
        "▁",
        "▁▁",
        "CamelCase",
        "HTTPServer",
        "x=1",
        "//",
        "\0",
        "ǅ",
        "ʰ",
        "かな",
        "漢字",
    ];
    let words: Vec<&str> = CORPUS.split(' ').collect();
    let mut random = Random(7);
    (0..n)
        .map(|_| {
            let mut text = String::new();
            for _ in 0..=random.below(14) {
                let pool = if random.below(2) == 0 { ODD } else { &words };
                text += pool[random.below(pool.len())];
                if random.below(2) == 0 {
                    text.push(' ');
                }
            }
            text
        })
        .collect()
}

/// A vocabulary learned from words: single characters first, then the result of each merge.
pub(super) struct Learned {
    pub(super) pieces: Vec<String>,
    pub(super) merges: Vec<(String, String)>,
}

/// Learns `n` merges, the most frequent pair first. Source: Sennrich et al. 2016, arXiv 1508.07909, algorithm 1.
pub(super) fn learn(words: impl Iterator<Item = String>, alphabet: impl Iterator<Item = char>, n: usize) -> Learned {
    let mut words: Vec<Vec<String>> = words.map(|w| w.chars().map(String::from).collect()).collect();
    let mut pieces: Vec<String> = alphabet.map(String::from).collect();
    let mut merges = Vec::new();
    for _ in 0..n {
        let mut counts: HashMap<(&String, &String), usize> = HashMap::new();
        for pair in words.iter().flat_map(|w| w.windows(2)) {
            *counts.entry((&pair[0], &pair[1])).or_default() += 1;
        }
        let Some((&(left, right), _)) = counts.iter().max_by_key(|(pair, count)| (**count, **pair)) else { break };
        let (left, right) = (left.clone(), right.clone());
        let joined = format!("{left}{right}");
        for word in &mut words {
            let mut at = 0;
            while at + 1 < word.len() {
                if word[at] == left && word[at + 1] == right {
                    word[at] = joined.clone();
                    word.remove(at + 1);
                }
                at += 1;
            }
        }
        if !pieces.contains(&joined) {
            pieces.push(joined);
        }
        merges.push((left, right));
    }
    Learned { pieces, merges }
}

/// A byte-level vocabulary of the corpus: 256 bytes in their order, then 300 merges.
pub(super) fn byte_level_vocabulary() -> Learned {
    let words = CORPUS.split_inclusive(' ').map(|word| {
        let mut out = String::new();
        byte_level::encode(word, &mut out);
        out
    });
    learn(words, (0..=255).map(byte_level::char_of), 300)
}

/// GPT-2's kind of file, with every piece a normal token.
pub(super) fn gpt2(learned: &Learned, pre: &str) -> Writer<'static> {
    let mut file = Writer::new("llama");
    let merges: Vec<String> = learned.merges.iter().map(|(left, right)| format!("{left} {right}")).collect();
    file.str("tokenizer.ggml.model", "gpt2")
        .str("tokenizer.ggml.pre", pre)
        .strings("tokenizer.ggml.tokens", &learned.pieces)
        .i32s("tokenizer.ggml.token_type", &vec![1; learned.pieces.len()])
        .strings("tokenizer.ggml.merges", &merges);
    file
}

/// Writes the file and reads its tokenizer.
pub(super) fn open(file: Writer) -> Result<Tokenizer, TokenizerError> {
    let mut bytes = Vec::new();
    file.write(&mut bytes).expect("writing to memory");
    let contents = Contents::parse(&bytes, bytes.len() as u64).expect("just written");
    Tokenizer::from_gguf(&contents, Arc::new(bytes))
}
