//! SentencePiece's BPE: no words, neighbours merge where the result is a token, the best score first.

use super::fields::Fields;
use super::merge::Merger;
use super::vocabulary::{TokenKind, Vocabulary};
use crate::error::TokenizerError;

/// A SentencePiece BPE encoder.
pub(super) struct SentencePiece {
    add_space: bool,
    /// No token has a `▁` behind another character, so no merge crosses the start of a word: each can go alone, in
    /// memory that fits the caches.
    words_apart: bool,
}

impl SentencePiece {
    pub(super) fn read(fields: &Fields, vocabulary: &Vocabulary) -> Result<SentencePiece, TokenizerError> {
        let crosses = |id| word_starts(vocabulary.piece(id)).any(|at| at > 0);
        Ok(SentencePiece {
            add_space: fields.flag("add_space_prefix")?.unwrap_or(true),
            words_apart: !(0..vocabulary.len() as u32).any(crosses),
        })
    }

    /// Whether text at the start, or behind an added token, gets a space before it.
    pub(super) fn add_space(&self) -> bool {
        self.add_space
    }

    /// Appends the tokens of `text`, which is never empty. Every text that is cut off by added tokens is a start.
    pub(super) fn encode(&self, vocabulary: &Vocabulary, text: &str, out: &mut Vec<u32>) -> Result<(), TokenizerError> {
        let mut escaped = String::with_capacity(text.len() + text.len() / 2);
        if self.add_space {
            escaped.push('▁');
        }
        escaped.extend(text.chars().map(|c| if c == ' ' { '▁' } else { c }));
        let mut merger = Merger::default();
        if !self.words_apart {
            return encode_word(vocabulary, &escaped, &mut merger, out);
        }
        let mut start = 0;
        for at in word_starts(escaped.as_bytes()) {
            encode_word(vocabulary, &escaped[start..at], &mut merger, out)?;
            start = at;
        }
        encode_word(vocabulary, &escaped[start..], &mut merger, out)
    }
}

/// Where a `▁` stands that has no `▁` before it.
fn word_starts(text: &[u8]) -> impl Iterator<Item = usize> {
    const SPACE: &[u8] = "▁".as_bytes();
    let starts = |at: &usize| text[*at..].starts_with(SPACE) && !text[..*at].ends_with(SPACE);
    (0..text.len()).filter(starts)
}

fn encode_word(
    vocabulary: &Vocabulary,
    word: &str,
    merger: &mut Merger,
    out: &mut Vec<u32>,
) -> Result<(), TokenizerError> {
    merger.run(word, |pair, _| mergeable(vocabulary, pair).map(|id| rank(vocabulary.score(id))));
    for piece in merger.pieces() {
        let piece = &word.as_bytes()[piece];
        match mergeable(vocabulary, piece) {
            Some(id) => out.push(id),
            None => vocabulary.spell_bytes(piece, out)?,
        }
    }
    Ok(())
}

/// The token of a piece that text may become: never a control token or a byte's name, however it is spelled.
fn mergeable(vocabulary: &Vocabulary, piece: &[u8]) -> Option<u32> {
    let id = vocabulary.id_of(piece)?;
    (!matches!(vocabulary.kind(id), TokenKind::Control | TokenKind::Unknown | TokenKind::Byte)).then_some(id)
}

/// Turns a score, higher is better, into a rank, smaller is better.
fn rank(score: f32) -> u32 {
    let bits = (score + 0.0).to_bits(); // + 0.0: both zeros are the same score
    // The usual map from floats to integers in the same order, upside down.
    !if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

#[cfg(test)]
mod tests {
    use super::rank;

    #[test]
    fn a_better_score_is_a_smaller_rank() {
        let scores = [f32::INFINITY, 1e6, 1.0, 0.5, 0.0, -1e-30, -1.0, -2.5, -1e9, f32::NEG_INFINITY];
        assert!(scores.windows(2).all(|w| rank(w[0]) < rank(w[1])));
        assert_eq!(rank(0.0), rank(-0.0));
    }
}
