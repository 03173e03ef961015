//! SentencePiece's unigram model: of all ways to cut a text into tokens, the one with the highest sum of scores.
//!
//! Source: Kudo 2018, arXiv 1804.10959; details (penalty of the unknown token, white space) as in llama.cpp.

use super::charsmap::Charsmap;
use super::fields::Fields;
use super::table::{Hash, room};
use super::vocabulary::{TokenKind, Vocabulary};
use crate::error::TokenizerError;

/// How much worse than the worst token an unknown character is. SentencePiece: `kUnkPenalty`.
const UNKNOWN_PENALTY: f64 = 10.0;

/// A unigram encoder.
pub(super) struct Unigram {
    charsmap: Option<Charsmap>,
    add_space: bool,
    merge_spaces: bool,
    unknown: u32,
    unknown_score: f64,
}

/// The best way found so far to reach a byte of the text.
#[derive(Clone, Copy)]
struct Best {
    token: u32, // the last token of it
    from: u32,  // where that token starts
    score: f64,
}

impl Unigram {
    pub(super) fn read(fields: &Fields, vocabulary: &Vocabulary) -> Result<Unigram, TokenizerError> {
        let worst = (0..vocabulary.len() as u32)
            .filter(|&id| vocabulary.kind(id) == TokenKind::Normal)
            .map(|id| vocabulary.score(id))
            .fold(f32::MAX, f32::min);
        Ok(Unigram {
            charsmap: fields.charsmap()?.map(|range| Charsmap::read(vocabulary.file(), range)).transpose()?,
            add_space: fields.flag("add_space_prefix")?.unwrap_or(false),
            merge_spaces: fields.flag("remove_extra_whitespaces")?.unwrap_or(false),
            unknown: vocabulary.unknown().ok_or(TokenizerError::Missing { key: "tokenizer.ggml.unknown_token_id" })?,
            unknown_score: f64::from(worst) - UNKNOWN_PENALTY,
        })
    }

    /// Whether text gets a space before it.
    pub(super) fn add_space(&self) -> bool {
        self.add_space
    }

    /// Appends the tokens of `text`.
    pub(super) fn encode(&self, vocabulary: &Vocabulary, text: &str, out: &mut Vec<u32>) -> Result<(), TokenizerError> {
        let text = self.normalized(vocabulary.file(), text)?;
        let best = self.search(vocabulary, &text)?;
        let first = out.len();
        let mut at = text.len();
        let mut last = None;
        while at > 0 {
            let step = best[at];
            // Neighbouring unknown characters are one unknown token.
            if step.token != self.unknown || last != Some(self.unknown) {
                out.push(step.token);
            }
            last = Some(step.token);
            at = step.from as usize;
        }
        out[first..].reverse();
        Ok(())
    }

    /// The text as the model knows it: rules of the charsmap applied, `▁` for spaces, one before each word where
    /// merged.
    fn normalized(&self, file: &[u8], text: &str) -> Result<String, TokenizerError> {
        let mut out = String::with_capacity(text.len() + text.len() / 2);
        let mut in_word = false;
        let mut started = false;
        let mut add = |c: char| {
            if c == ' ' {
                in_word = false;
                if !self.merge_spaces {
                    out.push('▁');
                }
            } else {
                if !in_word && (self.merge_spaces || self.add_space && !started) {
                    out.push('▁');
                    started = true;
                }
                in_word = true;
                out.push(c);
            }
        };
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let rule = self.charsmap.as_ref().and_then(|map| map.longest(file, rest));
            match rule {
                Some((len, replacement)) => {
                    let len = len.max(1);
                    rest = rest.get(len..).ok_or(TokenizerError::Charsmap)?;
                    replacement.chars().for_each(&mut add);
                }
                None => {
                    add(c);
                    rest = &rest[c.len_utf8()..];
                }
            }
        }
        Ok(out)
    }

    /// The best way to reach each byte of `text`.
    fn search(&self, vocabulary: &Vocabulary, text: &str) -> Result<Vec<Best>, TokenizerError> {
        let unreached = Best { token: self.unknown, from: 0, score: f64::NEG_INFINITY };
        let mut best = room(text.len() + 1)?;
        best.resize(text.len() + 1, unreached);
        best[0].score = 0.0;
        for (start, c) in text.char_indices() {
            let so_far = best[start].score;
            let mut offer = |end: usize, token: u32, score: f64| {
                if so_far + score > best[end].score {
                    best[end] = Best { token, from: start as u32, score: so_far + score };
                }
            };
            let mut hash = Hash::EMPTY;
            let mut known = false;
            for (offset, next) in text[start..].char_indices() {
                let end = start + offset + next.len_utf8();
                if end - start > vocabulary.longest() {
                    break;
                }
                hash = hash.then(&text.as_bytes()[start + offset..end]);
                let Some(id) = vocabulary.find(hash, &text.as_bytes()[start..end]) else { continue };
                let score = match vocabulary.kind(id) {
                    TokenKind::Normal | TokenKind::Unused => f64::from(vocabulary.score(id)),
                    TokenKind::UserDefined => 0.0, // scores are logarithms: nothing beats it
                    _ => continue,
                };
                known |= offset == 0;
                offer(end, id, score);
            }
            if !known {
                offer(start + c.len_utf8(), self.unknown, self.unknown_score);
            }
        }
        Ok(best)
    }
}
