//! Ids of the `tokenizers` crate's models for the same vocabularies.

use tokenizers::models::bpe::{BPE, BpeBuilder, Vocab};
use tokenizers::models::unigram::Unigram;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{Model, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer, SplitDelimiterBehavior};

use super::*;
use crate::tokenizer::SpecialTokens;

/// GPT-2's expression, from its encoder.py.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
/// Llama 3's expression, from its tokenizer.json.
const LLAMA3: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
);

fn ids(model: &impl Model, text: &str) -> Vec<u32> {
    model.tokenize(text).expect("the crate tokenizes").into_iter().map(|token| token.id).collect()
}

fn bpe(learned: &Learned) -> BpeBuilder {
    let vocabulary: Vocab = learned.pieces.iter().cloned().zip(0..).collect();
    BPE::builder().vocab_and_merges(vocabulary, learned.merges.clone())
}

#[test]
fn byte_level_ids_are_the_crates() {
    let learned = byte_level_vocabulary();
    for (pre, expression, whole_words) in [("gpt-2", GPT2, false), ("llama-bpe", LLAMA3, true)] {
        let ours = open(gpt2(&learned, pre)).expect("a good file");
        let model = bpe(&learned).ignore_merges(whole_words).build().expect("a good vocabulary");
        let split = Split::new(SplitPattern::Regex(expression.into()), SplitDelimiterBehavior::Isolated, false);
        let split = split.expect("a good expression");
        for text in texts(500) {
            let mut words = PreTokenizedString::from(text.as_str());
            split.pre_tokenize(&mut words).expect("splits");
            ByteLevel::new(false, false, false).pre_tokenize(&mut words).expect("maps");
            let words = words.get_splits(OffsetReferential::Normalized, OffsetType::Byte);
            let want: Vec<u32> = words.iter().flat_map(|(word, ..)| ids(&model, word)).collect();
            assert_eq!(ours.encode(&text, SpecialTokens::AsText, false).expect("encodes"), want, "{text:?}");
        }
    }
}

/// A SentencePiece vocabulary: the three usual control tokens, 256 bytes, then what was learned.
fn sentence_piece_vocabulary(extra: &[&str]) -> Learned {
    let words = CORPUS.split(' ').map(|word| format!("▁{word}"));
    let mut alphabet: Vec<char> = CORPUS.chars().filter(|c| *c != ' ').chain(['▁']).collect();
    alphabet.sort_unstable();
    alphabet.dedup();
    let mut learned = learn(words, alphabet.into_iter(), 300);
    learned.pieces.extend(extra.iter().map(|piece| piece.to_string()));
    let mut pieces: Vec<String> = ["<unk>", "<s>", "</s>"].map(String::from).to_vec();
    pieces.extend((0..=255).map(|byte| format!("<0x{byte:02X}>")));
    pieces.append(&mut learned.pieces);
    Learned { pieces, merges: learned.merges }
}

/// The file of such a vocabulary, the earlier pieces with the better scores.
fn sentence_piece(learned: &Learned, model: &str, scores: &[f32]) -> Writer<'static> {
    let mut kinds = vec![2, 3, 3];
    kinds.extend([6; 256]);
    kinds.resize(learned.pieces.len(), 1);
    let mut file = Writer::new("llama");
    file.str("tokenizer.ggml.model", model)
        .strings("tokenizer.ggml.tokens", &learned.pieces)
        .i32s("tokenizer.ggml.token_type", &kinds)
        .f32s("tokenizer.ggml.scores", scores)
        .u32("tokenizer.ggml.unknown_token_id", 0);
    file
}

#[test]
fn sentence_piece_ids_are_those_of_the_crates_bpe_with_merges_by_score() {
    // With a piece across words the text cannot be cut at spaces, so the second case goes another way.
    for extra in [&[][..], &["e▁", "e▁d", "s▁the"][..]] {
        let mut learned = sentence_piece_vocabulary(extra);
        let scores: Vec<f32> = (0..learned.pieces.len()).map(|id| -(id as f32)).collect();
        let ours = open(sentence_piece(&learned, "llama", &scores)).expect("a good file");
        // As in Hugging Face's conversion: every way to put a piece together, in the order of the pieces' scores.
        learned.merges.clear();
        for piece in &learned.pieces[259..] {
            let splits = piece.char_indices().skip(1).map(|(at, _)| piece.split_at(at));
            let known = |part: &str| learned.pieces.iter().any(|p| p == part);
            learned.merges.extend(
                splits.filter(|(l, r)| known(l) && known(r)).map(|(left, right)| (left.to_string(), right.to_string())),
            );
        }
        let model = bpe(&learned).byte_fallback(true).unk_token("<unk>".into()).fuse_unk(true).build();
        let model = model.expect("a good vocabulary");
        for text in texts(500) {
            let want = ids(&model, &format!("▁{}", text.replace(' ', "▁")));
            assert_eq!(ours.encode(&text, SpecialTokens::AsText, false).expect("encodes"), want, "{extra:?} {text:?}");
        }
    }
}

#[test]
fn unigram_ids_are_the_crates() {
    let learned = sentence_piece_vocabulary(&[]);
    let mut random = Random(11);
    let scores: Vec<f32> = (0..learned.pieces.len()).map(|_| -1.0 - random.below(100_000) as f32 / 8192.0).collect();
    let mut file = sentence_piece(&learned, "t5", &scores);
    // The crate knows no byte or control tokens: leave those without a chance in its vocabulary.
    let worst = scores[259..].iter().copied().fold(0.0, f32::min);
    let theirs = learned.pieces.iter().zip(&scores).enumerate().map(|(id, (piece, &score))| {
        let hidden = (id < 259).then(|| (format!("\0{piece}"), f64::from(worst)));
        hidden.unwrap_or((piece.clone(), f64::from(score)))
    });
    let model = Unigram::from(theirs.collect(), Some(0), false).expect("a good vocabulary");
    file.bool("tokenizer.ggml.add_space_prefix", false);
    let ours = open(file).expect("a good file");
    for text in texts(500) {
        let want = ids(&model, &text.replace(' ', "▁"));
        assert_eq!(ours.encode(&text, SpecialTokens::AsText, false).expect("encodes"), want, "{text:?}");
    }
}
