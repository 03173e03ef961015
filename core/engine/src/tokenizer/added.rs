//! Tokens that are found in the text before anything else: user-defined ones, and control tokens where allowed.
//!
//! The rules are llama.cpp's (`tokenizer_st_partition`): the longest piece takes its occurrences first, wherever they
//! are, then the next longest in what is left. The `tokenizers` crate's `AddedVocabulary` goes by position first and
//! decides about control tokens once for all calls, so its `TokenizerImpl` cannot serve here. llama.cpp searches the whole
//! text once for each token; here each place of the text is looked at once, since a file may have any number of such tokens.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use super::table::room;
use super::vocabulary::{TokenKind, Vocabulary};
use crate::error::TokenizerError;

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

/// A token that a text has at some place. The greatest comes first: the longest, of equally long ones the lower id, of one
/// token's the leftmost.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    len: u32,
    id: Reverse<u32>,
    start: Reverse<u32>,
    takes_right: bool,
}

impl Added {
    /// Collects the added tokens. `takes_right` says which of them swallow the white space behind them.
    pub(super) fn collect(
        vocabulary: &Vocabulary,
        takes_right: impl Fn(&[u8]) -> bool,
    ) -> Result<Added, TokenizerError> {
        let control = |id: u32| match vocabulary.kind(id) {
            TokenKind::Control | TokenKind::Unknown => Some(true),
            TokenKind::UserDefined => Some(false),
            _ => None,
        };
        let ids = 0..vocabulary.len() as u32;
        // A file may say that every token is one of these.
        let mut entries = room(ids.clone().filter(|&id| control(id).is_some()).count())?;
        for id in ids {
            let Some(control) = control(id) else { continue };
            let piece = vocabulary.piece(id);
            // A piece that is not text occurs in no text.
            if !piece.is_empty() && std::str::from_utf8(piece).is_ok() {
                entries.push(Entry { id, piece: vocabulary.piece_range(id), control, takes_right: takes_right(piece) });
            }
        }
        Ok(Added::new(entries, vocabulary.file()))
    }

    fn new(mut entries: Vec<Entry>, file: &[u8]) -> Added {
        // Of tokens with one piece only the lowest id is ever found, or the lowest that is no control token.
        entries.sort_unstable_by_key(|e| (e.text(file), e.control, e.id));
        entries.dedup_by(|later, first| first.text(file) == later.text(file) && first.control == later.control);
        let mut by_first = Box::new([0; 257]);
        for (b, first) in by_first.iter_mut().enumerate() {
            *first = entries.partition_point(|e| e.text(file).first().map(|&f| usize::from(f)) < Some(b)) as u32;
        }
        Added { entries, by_first }
    }

    /// Cuts `text` at the added tokens in it; control tokens count only if `control`. `text` must be shorter than 2^32 bytes.
    pub(super) fn split(&self, file: &[u8], text: &str, control: bool) -> Result<Vec<Fragment>, TokenizerError> {
        let mut places = self.places(file, text, control)?;
        places.sort_unstable_by_key(|place| place.1.start);
        let mut fragments = room(2 * places.len() + 1)?;
        let mut at = 0;
        for (id, place) in places {
            if at < place.start {
                fragments.push(Fragment::Text(at..place.start));
            }
            fragments.push(Fragment::Token(id));
            at = place.end;
        }
        if at < text.len() {
            fragments.push(Fragment::Text(at..text.len()));
        }
        Ok(fragments)
    }

    /// The tokens in `text`, each with what it takes of it.
    fn places(&self, file: &[u8], text: &str, control: bool) -> Result<Vec<(u32, Range<usize>)>, TokenizerError> {
        let mut candidates = Vec::new();
        for start in 0..text.len() {
            if let Some(found) = self.longest(file, text, start..text.len(), control) {
                candidates.try_reserve(1).map_err(|_| TokenizerError::NoMemory { bytes: text.len() })?;
                candidates.push(found);
            }
        }
        if candidates.is_empty() {
            return Ok(Vec::new());
        }
        let mut places = room(candidates.len())?;
        let mut taken: Vec<bool> = room(text.len())?;
        taken.resize(text.len(), false);
        let mut queue = BinaryHeap::from(candidates);
        while let Some(best) = queue.pop() {
            let start = best.start.0 as usize;
            let mut end = start + best.len as usize;
            if taken[start] {
                continue;
            }
            // What has a place already is no shorter, so if it overlaps this one it covers one of its ends.
            if taken[end - 1] {
                let gap = taken[start..end].iter().take_while(|&&taken| !taken).count();
                queue.extend(self.longest(file, text, start..start + gap, control));
                continue;
            }
            if best.takes_right {
                // C's isspace, as in llama.cpp: ASCII alone.
                let white = |&at: &usize| !taken[at] && matches!(text.as_bytes()[at], b' ' | b'\t'..=b'\r');
                end += (end..text.len()).take_while(white).count();
            }
            taken[start..end].fill(true);
            places.push((best.id.0, start..end));
        }
        Ok(places)
    }

    /// The longest entry that stands at the start of `range` and within it.
    fn longest(&self, file: &[u8], text: &str, range: Range<usize>, control: bool) -> Option<Candidate> {
        let bytes = &text.as_bytes()[range.clone()];
        let first = usize::from(*bytes.first()?);
        let (mut low, mut high) = (self.by_first[first] as usize, self.by_first[first + 1] as usize);
        let mut best: Option<&Entry> = None;
        // The entries are sorted, so those that share a prefix with the text are one run that narrows byte by byte.
        for depth in 1.. {
            while low < high && self.entries[low].piece.len() == depth {
                let entry = &self.entries[low];
                // Inside a character only where the file changed underneath.
                if (control || !entry.control)
                    && text.is_char_boundary(range.start + depth)
                    && best.is_none_or(|best| best.piece.len() < depth || entry.id < best.id)
                {
                    best = Some(entry);
                }
                low += 1;
            }
            let Some(&next) = bytes.get(depth) else { break };
            let byte = |e: &Entry| e.text(file).get(depth).copied();
            let run = &self.entries[low..high];
            high = low + run.partition_point(|e| byte(e) <= Some(next));
            low += run.partition_point(|e| byte(e) < Some(next));
            if low >= high {
                break;
            }
        }
        best.map(|entry| Candidate {
            len: entry.piece.len() as u32,
            id: Reverse(entry.id),
            start: Reverse(range.start as u32),
            takes_right: entry.takes_right,
        })
    }
}

impl Entry {
    fn text<'a>(&self, file: &'a [u8]) -> &'a [u8] {
        file.get(self.piece.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A token of a test: its piece, whether it is a control token, whether it takes white space.
    type Token = (&'static str, bool, bool);

    /// Tokens by id, and the file that has them.
    fn added(tokens: &[Token]) -> (Added, Vec<u8>) {
        let mut file = Vec::new();
        let mut entries = Vec::new();
        for (id, &(piece, control, takes_right)) in tokens.iter().enumerate() {
            let start = file.len();
            file.extend(piece.as_bytes());
            entries.push(Entry { id: id as u32, piece: start..file.len(), control, takes_right });
        }
        (Added::new(entries, &file), file)
    }

    /// The rule as llama.cpp has it: the whole text again for each token.
    fn by_the_rule(tokens: &[Token], text: &str, control: bool) -> Vec<Fragment> {
        let mut order: Vec<(usize, &Token)> = tokens.iter().enumerate().filter(|(_, t)| control || !t.1).collect();
        order.sort_by_key(|(id, token)| (Reverse(token.0.len()), *id));
        let mut fragments = if text.is_empty() { Vec::new() } else { vec![Fragment::Text(0..text.len())] };
        for (id, &(piece, _, takes_right)) in order {
            let mut cut = Vec::new();
            for fragment in fragments {
                let Fragment::Text(mut range) = fragment else {
                    cut.push(fragment);
                    continue;
                };
                while let Some(found) = text[range.clone()].find(piece) {
                    let at = range.start + found;
                    if at > range.start {
                        cut.push(Fragment::Text(range.start..at));
                    }
                    cut.push(Fragment::Token(id as u32));
                    range.start = at + piece.len();
                    if takes_right {
                        let white = |c| matches!(c, ' ' | '\t'..='\r');
                        range.start = range.end - text[range.clone()].trim_start_matches(white).len();
                    }
                }
                if !range.is_empty() {
                    cut.push(Fragment::Text(range));
                }
            }
            fragments = cut;
        }
        fragments
    }

    #[test]
    fn every_short_text_is_cut_by_the_rule() {
        let vocabularies: [&[Token]; 4] = [
            &[("ab", false, false), ("b", true, false), ("bab", false, false), ("b", false, false)],
            &[("a", true, true), ("a ", false, true), (" b", false, false), ("a", false, true), ("ba b", false, false)],
            &[("aa", false, false), ("aba", false, true), ("a b a", true, true), ("  ", false, false)],
            &[("\u{e9}", false, false), ("b\u{e9}a", false, true), ("\u{e9}a", true, false), (" ", false, true)],
        ];
        for tokens in vocabularies {
            let (added, file) = added(tokens);
            for number in 0..4usize.pow(7) {
                let letter = |i: u32| ["a", "b", " ", "\u{e9}"][number / 4usize.pow(i) % 4];
                let text: String = (0..1 + number as u32 % 7).map(letter).collect();
                for control in [false, true] {
                    let found = added.split(&file, &text, control).expect("a few bytes");
                    assert_eq!(found, by_the_rule(tokens, &text, control), "{tokens:?} {text:?} {control}");
                }
            }
        }
    }
}
