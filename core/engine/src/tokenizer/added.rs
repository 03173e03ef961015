//! Tokens that are found in the text before anything else: user-defined ones, and control tokens where allowed.
//!
//! The rules are llama.cpp's (`tokenizer_st_partition`): the longest piece takes its occurrences first, wherever they
//! are, then the next longest in what is left. The `tokenizers` crate's `AddedVocabulary` goes by position first and
//! decides about control tokens once for all calls, so its `TokenizerImpl` cannot serve here.

use std::cmp::Reverse;
use std::ops::Range;

use super::vocabulary::{TokenKind, Vocabulary};

/// A stretch of the text, or a token found in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fragment {
    /// Text still to be tokenized.
    Text(Range<usize>),
    /// A token.
    Token(u32),
}

/// One added token.
struct Entry {
    id: u32,
    piece: Range<usize>, // in the file
    control: bool,       // only where the caller allows it
    takes_right: bool,   // swallows the white space behind it
}

/// The added tokens of a vocabulary.
pub(super) struct Added {
    entries: Vec<Entry>,       // by piece
    by_first: Box<[u32; 257]>, // entries whose piece starts with byte b: by_first[b]..by_first[b + 1]
}

impl Added {
    /// Collects the added tokens. `takes_right` says which of them swallow the white space behind them.
    pub(super) fn collect(vocabulary: &Vocabulary, takes_right: impl Fn(&[u8]) -> bool) -> Added {
        let mut entries = Vec::new();
        for id in 0..vocabulary.len() as u32 {
            let control = match vocabulary.kind(id) {
                TokenKind::Control | TokenKind::Unknown => true,
                TokenKind::UserDefined => false,
                _ => continue,
            };
            let piece = vocabulary.piece(id);
            // A piece that is not text occurs in no text.
            if !piece.is_empty() && std::str::from_utf8(piece).is_ok() {
                entries.push(Entry { id, piece: vocabulary.piece_range(id), control, takes_right: takes_right(piece) });
            }
        }
        let file = vocabulary.file();
        entries.sort_by_key(|e| e.text(file));
        let mut by_first = Box::new([0; 257]);
        for (b, first) in by_first.iter_mut().enumerate() {
            *first = entries.partition_point(|e| e.text(file).first().map(|&f| usize::from(f)) < Some(b)) as u32;
        }
        Added { entries, by_first }
    }

    /// Cuts `text` at the added tokens in it; control tokens count only if `control`.
    pub(super) fn split(&self, file: &[u8], text: &str, control: bool) -> Vec<Fragment> {
        let mut fragments = Vec::new();
        if !text.is_empty() {
            fragments.push(Fragment::Text(0..text.len()));
        }
        for entry in self.occurring(file, text.as_bytes(), control) {
            let piece = std::str::from_utf8(entry.text(file)).unwrap_or_default();
            if piece.is_empty() {
                continue; // the file changed underneath
            }
            let mut cut = Vec::with_capacity(fragments.len() + 2);
            for fragment in fragments {
                match fragment {
                    Fragment::Token(_) => cut.push(fragment),
                    Fragment::Text(range) => entry.cut(piece, text, range, &mut cut),
                }
            }
            fragments = cut;
        }
        fragments
    }

    /// The entries that occur anywhere in `text`, longest piece first, the lower id of equally long ones.
    fn occurring(&self, file: &[u8], text: &[u8], control: bool) -> Vec<&Entry> {
        let mut seen = vec![false; self.entries.len()];
        for at in 0..text.len() {
            let first = usize::from(text[at]);
            let (mut low, mut high) = (self.by_first[first] as usize, self.by_first[first + 1] as usize);
            // The entries are sorted, so those that share a prefix with the text are one run that narrows byte by byte.
            for depth in 1.. {
                while low < high && self.entries[low].piece.len() == depth {
                    seen[low] = true;
                    low += 1;
                }
                let Some(&next) = text.get(at + depth) else { break };
                let byte = |e: &Entry| e.text(file).get(depth).copied();
                let run = &self.entries[low..high];
                high = low + run.partition_point(|e| byte(e) <= Some(next));
                low += run.partition_point(|e| byte(e) < Some(next));
                if low >= high {
                    break;
                }
            }
        }
        let mut found: Vec<&Entry> = self
            .entries
            .iter()
            .zip(&seen)
            .filter(|(entry, seen)| **seen && (control || !entry.control))
            .map(|(entry, _)| entry)
            .collect();
        found.sort_by_key(|e| (Reverse(e.piece.len()), e.id));
        found
    }
}

impl Entry {
    fn text<'a>(&self, file: &'a [u8]) -> &'a [u8] {
        file.get(self.piece.clone()).unwrap_or_default()
    }

    /// Cuts `text[range]` at every occurrence of `piece`, left to right.
    fn cut(&self, piece: &str, text: &str, mut range: Range<usize>, out: &mut Vec<Fragment>) {
        while let Some(found) = text[range.clone()].find(piece) {
            let at = range.start + found;
            if at > range.start {
                out.push(Fragment::Text(range.start..at));
            }
            out.push(Fragment::Token(self.id));
            range.start = at + piece.len();
            if self.takes_right {
                // C's isspace, as in llama.cpp: ASCII alone.
                let white = |c| matches!(c, ' ' | '\t'..='\r');
                range.start = range.end - text[range.clone()].trim_start_matches(white).len();
            }
        }
        if !range.is_empty() {
            out.push(Fragment::Text(range));
        }
    }
}
