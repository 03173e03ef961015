//! Byte pair encoding: words from the pre-tokenizer, their characters merged in the order of the file's merges.
//!
//! Pieces are written in GPT-2's alphabet, or (Gemma 4) as plain text with `▁` for the space.

use tokenizers::Offsets;
use tokenizers::tokenizer::pattern::Pattern;

use super::byte_level;
use super::fields::Fields;
use super::merge::Merger;
use super::pre::PreTokenizer;
use super::strings::string_at;
use super::table::{Hash, Table};
use super::vocabulary::{MAX_PIECE_BYTES, Vocabulary};
use crate::error::TokenizerError;

/// Two pieces and the space between them.
const MAX_MERGE_BYTES: usize = 2 * MAX_PIECE_BYTES + 1;

/// The merges of a file, found by their two sides.
struct Merges {
    start: usize,   // of the array in the file
    table: Table,   // offsets from `start`. They grow with the rank, so they serve as ranks
    longest: usize, // bytes of the longest merge, with the space between its sides
}

impl Merges {
    fn read(fields: &Fields, file: &[u8]) -> Result<Merges, TokenizerError> {
        const KEY: &str = "tokenizer.ggml.merges";
        let elements = fields.merges()?;
        let truncated = || TokenizerError::Truncated { key: KEY };
        let file = file.get(..elements.range.end).ok_or_else(truncated)?;
        let start = elements.range.start;
        if elements.range.len() >= 1 << 31 {
            return Err(TokenizerError::TooMany { key: KEY, found: elements.range.len(), limit: (1 << 31) - 1 });
        }
        let mut merges = Merges { start, table: Table::new(elements.len, elements.range.len() as u32)?, longest: 0 };
        let mut at = start;
        for _ in 0..elements.len {
            let (merge, next) = string_at(file, at).ok_or_else(truncated)?;
            merges.longest = merges.longest.max(merge.len());
            let same = |offset: u32| string_at(file, start + offset as usize).is_some_and(|other| other.0 == merge);
            if !merges.table.insert(Hash::EMPTY.then(merge), (at - start) as u32, same) {
                return Err(TokenizerError::Colliding { key: KEY });
            }
            at = next;
        }
        if merges.longest > MAX_MERGE_BYTES {
            return Err(TokenizerError::TooLong { key: KEY, found: merges.longest, limit: MAX_MERGE_BYTES });
        }
        Ok(merges)
    }

    /// The rank of merging `pair[..middle]` with `pair[middle..]`.
    fn rank(&self, file: &[u8], pair: &[u8], middle: usize) -> Option<u32> {
        if pair.len() >= self.longest {
            return None; // also keeps the cost of a long word's lookups bounded
        }
        let (left, right) = pair.split_at(middle);
        self.table.find(Hash::EMPTY.then(left).then(b" ").then(right), |offset| {
            string_at(file, self.start + offset as usize).is_some_and(|(merge, _)| {
                merge.len() == pair.len() + 1
                    && merge[..middle] == *left
                    && merge[middle] == b' '
                    && merge[middle + 1..] == *right
            })
        })
    }
}

/// A byte pair encoder.
pub(super) struct Bpe {
    merges: Merges,
    pre: PreTokenizer,
}

impl Bpe {
    pub(super) fn read(fields: &Fields, file: &[u8], pre: PreTokenizer) -> Result<Bpe, TokenizerError> {
        Ok(Bpe { merges: Merges::read(fields, file)?, pre })
    }

    /// Whether pieces are plain text with `▁` for the space.
    pub(super) fn plain_text(&self) -> bool {
        self.pre.rules.plain_text
    }

    /// Appends the tokens of `text`.
    pub(super) fn encode(&self, vocabulary: &Vocabulary, text: &str, out: &mut Vec<u32>) -> Result<(), TokenizerError> {
        let escaped;
        let text = if self.plain_text() {
            escaped = text.replace(' ', "▁");
            &escaped
        } else {
            text
        };
        let mut merger = Merger::default();
        let mut piece = String::new();
        for (start, end) in self.words(text)? {
            let word = &text[start..end];
            if self.plain_text() {
                self.encode_word(vocabulary, word, &mut merger, out)?;
            } else {
                piece.clear();
                byte_level::encode(word, &mut piece);
                self.encode_word(vocabulary, &piece, &mut merger, out)?;
            }
        }
        Ok(())
    }

    /// The words of `text`, by the steps of the pre-tokenizer one after the other.
    fn words(&self, text: &str) -> Result<Vec<Offsets>, TokenizerError> {
        let mut words = vec![(0, text.len())];
        for step in &self.pre.steps {
            let mut cut = Vec::with_capacity(words.len());
            for (start, end) in words {
                let found = step.find_matches(&text[start..end]).map_err(TokenizerError::PreTokenizer)?;
                cut.extend(found.iter().map(|&((a, b), _)| (start + a, start + b)).filter(|(a, b)| a < b));
            }
            words = cut;
        }
        Ok(words)
    }

    fn encode_word(
        &self,
        vocabulary: &Vocabulary,
        word: &str,
        merger: &mut Merger,
        out: &mut Vec<u32>,
    ) -> Result<(), TokenizerError> {
        // Gemma 4's runs of line ends are tokens that its merges do not reach.
        let whole = self.pre.rules.whole_words || self.plain_text() && word.bytes().all(|b| b == b'\n');
        if whole && let Some(id) = vocabulary.id_of(word.as_bytes()) {
            out.push(id);
            return Ok(());
        }
        let file = vocabulary.file();
        merger.run(word, |pair, middle| self.merges.rank(file, pair, middle));
        for piece in merger.pieces() {
            match vocabulary.id_of(word[piece.clone()].as_bytes()) {
                Some(id) => out.push(id),
                None => self.spell(vocabulary, &word[piece], out)?,
            }
        }
        Ok(())
    }

    /// Appends a piece that is no token, character by character.
    fn spell(&self, vocabulary: &Vocabulary, piece: &str, out: &mut Vec<u32>) -> Result<(), TokenizerError> {
        let mut utf8 = [0; 4];
        for c in piece.chars() {
            let text = c.encode_utf8(&mut utf8);
            if let Some(id) = vocabulary.id_of(text.as_bytes()) {
                out.push(id);
            } else if self.plain_text() {
                vocabulary.spell_bytes(text.as_bytes(), out)?;
            } else {
                let byte = byte_level::byte_of(c).expect("the word was written in the alphabet");
                out.push(vocabulary.unknown().ok_or(TokenizerError::MissingByte { byte })?);
            }
        }
        Ok(())
    }
}
