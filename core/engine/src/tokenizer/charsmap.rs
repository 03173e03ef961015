//! SentencePiece's compiled normalization rules, looked up in place in the mapped file.
//!
//! The `tokenizers` crate has a reader of its own, but it copies the rules to eight times their size and indexes
//! them unchecked, so that a damaged file ends in a panic.
//!
//! Layout (SentencePiece's builder.cc): u32 length of a trie in bytes, the trie (a double array of u32), then
//! replacements, each ended by a zero byte. Layout of a unit of the trie: darts-clone's darts.h.

use std::ops::Range;

use crate::error::TokenizerError;

/// Where the rules lie in the file.
pub(super) struct Charsmap {
    trie: Range<usize>,
    replacements: Range<usize>,
}

/// One unit of a double array.
#[derive(Clone, Copy)]
struct Unit(u32);

impl Unit {
    fn has_value(self) -> bool {
        self.0 >> 8 & 1 == 1
    }

    fn value(self) -> usize {
        (self.0 & !(1 << 31)) as usize
    }

    /// The byte that leads here; never a byte for a unit that holds a value.
    fn label(self) -> u32 {
        self.0 & (1 << 31 | 0xff)
    }

    fn offset(self) -> usize {
        ((self.0 >> 10) << ((self.0 & 1 << 9) >> 6)) as usize
    }
}

impl Charsmap {
    /// Finds the parts of the rules at `range`.
    pub(super) fn read(file: &[u8], range: Range<usize>) -> Result<Charsmap, TokenizerError> {
        let bytes = file.get(range.clone()).ok_or(TokenizerError::Charsmap)?;
        let (len, rest) = bytes.split_first_chunk().ok_or(TokenizerError::Charsmap)?;
        let len = u32::from_le_bytes(*len) as usize;
        if !len.is_multiple_of(4) || len > rest.len() {
            return Err(TokenizerError::Charsmap);
        }
        let start = range.start + 4;
        Ok(Charsmap { trie: start..start + len, replacements: start + len..range.end })
    }

    /// The rule for the longest start of `text` that has one: how many bytes it takes, and what replaces them.
    pub(super) fn longest<'a>(&self, file: &'a [u8], text: &str) -> Option<(usize, &'a str)> {
        let trie = file.get(self.trie.clone())?.as_chunks::<4>().0;
        let unit = |at: usize| trie.get(at).map(|b| Unit(u32::from_le_bytes(*b)));
        let mut found = None;
        let mut at = unit(0)?.offset();
        for (i, &byte) in text.as_bytes().iter().enumerate() {
            at ^= usize::from(byte);
            let Some(here) = unit(at).filter(|u| byte != 0 && u.label() == u32::from(byte)) else { break };
            at ^= here.offset();
            if here.has_value() {
                found = unit(at).map(|u| (i + 1, u.value()));
            }
        }
        let (len, start) = found?;
        let rest = file.get(self.replacements.clone())?.get(start..)?;
        let end = rest.iter().position(|&b| b == 0)?;
        Some((len, std::str::from_utf8(&rest[..end]).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokenizers::normalizers::Precompiled;

    const RULES: &[(&str, &str)] =
        &[("ﬁ", "fi"), ("Ａ", "A"), ("①", "1"), ("\t", " "), ("é", "e"), ("é́", "E"), ("\u{ad}", "")];

    /// Compiles rules, every node of the trie with 256 units of its own for its children.
    fn compile(rules: &[(&str, &str)]) -> Vec<u8> {
        let mut units = vec![0u32; 512];
        let offset = |from: usize, to: usize| ((from ^ to) as u32) << 10;
        units[0] = offset(0, 256);
        let mut replacements = Vec::new();
        for (from, to) in rules {
            let mut base = 256;
            let mut node = 0;
            for byte in from.bytes() {
                node = base ^ usize::from(byte);
                if units[node] == 0 {
                    let children = units.len();
                    units.resize(children + 256, 0);
                    units[node] = offset(node, children) | u32::from(byte);
                }
                base = node ^ Unit(units[node]).offset();
            }
            units[node] |= 1 << 8;
            units[base] = 1 << 31 | replacements.len() as u32;
            replacements.extend(to.bytes().chain([0]));
        }
        let mut blob = (units.len() as u32 * 4).to_le_bytes().to_vec();
        blob.extend(units.iter().flat_map(|u| u.to_le_bytes()));
        blob.extend(replacements);
        blob
    }

    #[test]
    fn rules_are_found_as_the_crate_finds_them_and_the_longest_wins() {
        let blob = compile(RULES);
        let map = Charsmap::read(&blob, 0..blob.len()).expect("well formed");
        let theirs = Precompiled::from(&blob).expect("well formed");
        for c in ["ﬁ", "Ａ", "①", "\t", "é", "\u{ad}", "A", "f", "②", " ", "漢"] {
            assert_eq!(map.longest(&blob, c).map(|r| r.1), theirs.transform(c), "{c:?}");
        }
        assert_eq!(map.longest(&blob, "é́x"), Some(("é́".len(), "E")));
        assert_eq!(map.longest(&blob, "éx"), Some(("é".len(), "e")));
        assert_eq!(map.longest(&blob, ""), None);
    }

    #[test]
    fn damaged_rules_give_errors_or_no_rules_and_never_a_panic() {
        let blob = compile(RULES);
        for len in 0..64 {
            assert!(Charsmap::read(&blob, 0..len).is_err());
        }
        assert!(Charsmap::read(&blob, 0..blob.len() + 1).is_err());
        let mut random = crate::tokenizer::tests::Random(3);
        for _ in 0..2000 {
            let mut blob = blob.clone();
            for _ in 0..20 {
                let at = random.below(blob.len());
                blob[at] = random.below(256) as u8;
            }
            if let Ok(map) = Charsmap::read(&blob, 0..blob.len()) {
                for (from, _) in RULES {
                    if let Some((len, _)) = map.longest(&blob, from) {
                        assert!(len <= from.len());
                    }
                }
            }
        }
    }
}
