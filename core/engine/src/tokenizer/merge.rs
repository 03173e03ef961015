//! Merging neighbours, best first: the step that byte pair encoding and SentencePiece's BPE share.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

const NONE: u32 = u32::MAX;

/// A stretch of the text; the ones still alive form a doubly linked list.
struct Symbol {
    start: u32,
    len: u32, // 0: merged into its left neighbour
    previous: u32,
    next: u32,
}

/// Two neighbours that may merge. The smallest rank goes first, the leftmost of equal ranks.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    rank: u32,
    left: u32,
    right: u32,
    len: u32, // of both together when they were found: tells whether either has grown since
}

/// Scratch memory of the merging, kept from word to word.
#[derive(Default)]
pub(super) struct Merger {
    symbols: Vec<Symbol>,
    queue: BinaryHeap<Reverse<Candidate>>,
}

impl Merger {
    /// Merges the characters of `text` until no two neighbours have a rank. `rank(pair, middle)` ranks the pair
    /// `pair[..middle]`, `pair[middle..]`; smaller is earlier. `text` must be shorter than 2^32 bytes.
    pub(super) fn run(&mut self, text: &str, rank: impl Fn(&[u8], usize) -> Option<u32>) {
        self.symbols.clear();
        self.queue.clear();
        for (i, (start, c)) in text.char_indices().enumerate() {
            self.symbols.push(Symbol {
                start: start as u32,
                len: c.len_utf8() as u32,
                previous: (i as u32).wrapping_sub(1), // NONE for the first
                next: i as u32 + 1,
            });
        }
        let Some(last) = self.symbols.last_mut() else { return };
        last.next = NONE;
        let text = text.as_bytes();
        for right in 1..self.symbols.len() as u32 {
            self.consider(text, right - 1, right, &rank);
        }
        while let Some(Reverse(best)) = self.queue.pop() {
            let (left, right) = (&self.symbols[best.left as usize], &self.symbols[best.right as usize]);
            if left.len == 0 || right.len == 0 || left.len + right.len != best.len {
                continue; // one of the two has merged with another since
            }
            let (previous, next) = (left.previous, right.next);
            self.symbols[best.right as usize].len = 0;
            let left = &mut self.symbols[best.left as usize];
            left.len = best.len;
            left.next = next;
            if next != NONE {
                self.symbols[next as usize].previous = best.left;
            }
            self.consider(text, previous, best.left, &rank);
            self.consider(text, best.left, next, &rank);
        }
    }

    /// The stretches that are left, in order.
    pub(super) fn pieces(&self) -> impl Iterator<Item = Range<usize>> {
        self.symbols.iter().filter(|s| s.len > 0).map(|s| s.start as usize..(s.start + s.len) as usize)
    }

    fn consider(&mut self, text: &[u8], left: u32, right: u32, rank: &impl Fn(&[u8], usize) -> Option<u32>) {
        if left == NONE || right == NONE {
            return;
        }
        let (l, r) = (&self.symbols[left as usize], &self.symbols[right as usize]);
        let len = l.len + r.len;
        if let Some(rank) = rank(&text[l.start as usize..(l.start + len) as usize], l.len as usize) {
            self.queue.push(Reverse(Candidate { rank, left, right, len }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Merges with ranks by place in a list of `left right`.
    fn merge(text: &str, merges: &[&str]) -> Vec<String> {
        let mut merger = Merger::default();
        merger.run(text, |pair, middle| {
            let pair = std::str::from_utf8(pair).expect("cut at characters");
            let (left, right) = pair.split_at(middle);
            merges.iter().position(|m| *m == format!("{left} {right}")).map(|i| i as u32)
        });
        merger.pieces().map(|r| text[r].to_string()).collect()
    }

    #[test]
    fn the_best_pair_goes_first_and_the_leftmost_of_equals() {
        struct Case(&'static str, &'static [&'static str], &'static [&'static str]);
        let cases = [
            Case("", &["a b"], &[]),
            Case("x", &["a b"], &["x"]),
            Case("abc", &["b c", "a b"], &["a", "bc"]),
            Case("abc", &["a b", "b c"], &["ab", "c"]),
            Case("aaa", &["a a"], &["aa", "a"]),
            Case("aaaa", &["a a", "aa aa"], &["aaaa"]),
            Case("aaaaa", &["a a", "aa a", "aa aa"], &["aa", "aaa"]),
            Case("hérh", &["h é", "r h", "hé rh"], &["hérh"]),
        ];
        for Case(text, merges, want) in cases {
            assert_eq!(merge(text, merges), want, "{text} {merges:?}");
        }
    }
}
