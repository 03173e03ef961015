//! A hash table from byte strings to numbers that stores no strings: four bytes a slot, the strings stay in the
//! mapped file.
//!
//! A slot holds a number and, in the bits the largest number leaves free, a few bits of the hash. Those spare most
//! looks at the file for strings that are not there.

use crate::error::TokenizerError;

/// A 64-bit FNV-1a hash: one byte at a time, so the hash of every prefix of a string falls out on the way.
/// Source: draft-eastlake-fnv, section 2.
#[derive(Clone, Copy)]
pub(super) struct Hash(u64);

impl Hash {
    /// The hash of the empty string.
    pub(super) const EMPTY: Hash = Hash(0xcbf2_9ce4_8422_2325);

    /// The hash of this string with `bytes` behind it.
    pub(super) fn then(self, bytes: &[u8]) -> Hash {
        Hash(bytes.iter().fold(self.0, |h, &b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)))
    }

    /// All bits of the hash mixed, since FNV's high bits lag behind the last bytes.
    fn mixed(self) -> u64 {
        let h = (self.0 ^ (self.0 >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        h ^ (h >> 29)
    }
}

/// An empty vector with room for `len` elements.
pub(super) fn room<T>(len: usize) -> Result<Vec<T>, TokenizerError> {
    let mut values = Vec::new();
    let no_memory = |_| TokenizerError::NoMemory { bytes: len.saturating_mul(size_of::<T>()) };
    values.try_reserve_exact(len).map_err(no_memory)?;
    Ok(values)
}

/// Longest run of taken slots before an insertion gives up. Honest files stay far below (the load is three quarters);
/// a file made of colliding strings would otherwise cost quadratic time.
const MAX_RUN: usize = 1 << 12;

/// The table. Numbers are found by hash, and the caller says whether a number's string is the one sought.
pub(super) struct Table {
    slots: Vec<u32>, // 0 = free, else tag << value_bits | value + 1
    value_bits: u32,
}

impl Table {
    /// A table with room for `n` numbers, none above `largest`. `largest` must be below 2^31.
    pub(super) fn new(n: usize, largest: u32) -> Result<Table, TokenizerError> {
        assert!(largest < 1 << 31, "a slot needs room for value + 1");
        let len = n + n / 3 + 1;
        let mut slots = room(len)?;
        slots.resize(len, 0);
        Ok(Table { slots, value_bits: 32 - (largest + 1).leading_zeros() })
    }

    /// Puts `value` in, unless a number for which `same` holds is there already. False if too many hashes collide.
    pub(super) fn insert(&mut self, hash: Hash, value: u32, same: impl Fn(u32) -> bool) -> bool {
        let (mut at, tag) = self.start(hash);
        for _ in 0..MAX_RUN.min(self.slots.len()) {
            let slot = self.slots[at];
            if slot == 0 {
                self.slots[at] = tag | (value + 1);
                return true;
            }
            if self.holds(slot, tag) && same(self.value(slot)) {
                return true;
            }
            at = self.after(at);
        }
        false
    }

    /// The number with this hash for which `same` holds.
    pub(super) fn find(&self, hash: Hash, same: impl Fn(u32) -> bool) -> Option<u32> {
        let (mut at, tag) = self.start(hash);
        // Ends: `insert` never fills a run of MAX_RUN, and the table is a quarter free.
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                return None;
            }
            if self.holds(slot, tag) && same(self.value(slot)) {
                return Some(self.value(slot));
            }
            at = self.after(at);
        }
    }

    /// The first slot to look at, and the tag in its place.
    fn start(&self, hash: Hash) -> (usize, u32) {
        let h = hash.mixed();
        let at = ((h >> 32) * self.slots.len() as u64) >> 32;
        (at as usize, (h as u32) & !self.value_mask())
    }

    fn after(&self, at: usize) -> usize {
        if at + 1 == self.slots.len() { 0 } else { at + 1 }
    }

    fn value_mask(&self) -> u32 {
        u32::MAX >> (32 - self.value_bits)
    }

    fn holds(&self, slot: u32, tag: u32) -> bool {
        slot & !self.value_mask() == tag
    }

    fn value(&self, slot: u32) -> u32 {
        (slot & self.value_mask()) - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_string_put_in_is_found_and_no_other() {
        let strings: Vec<String> = (0..5000).map(|i| format!("piece {}", i * 7)).collect();
        let mut table = Table::new(strings.len(), strings.len() as u32 - 1).expect("a few bytes");
        for (i, s) in strings.iter().enumerate() {
            assert!(table.insert(Hash::EMPTY.then(s.as_bytes()), i as u32, |v| strings[v as usize] == *s));
        }
        let find = |s: &str| table.find(Hash::EMPTY.then(s.as_bytes()), |v| strings[v as usize] == s);
        for (i, s) in strings.iter().enumerate() {
            assert_eq!(find(s), Some(i as u32));
        }
        for i in 0..5000 {
            assert_eq!(find(&format!("other {i}")), None);
        }
    }

    #[test]
    fn the_first_of_two_equal_strings_stays() {
        let mut table = Table::new(2, 1).expect("a few bytes");
        let hash = Hash::EMPTY.then(b"same");
        assert!(table.insert(hash, 0, |_| true));
        assert!(table.insert(hash, 1, |_| true));
        assert_eq!(table.find(hash, |_| true), Some(0));
    }

    #[test]
    fn colliding_strings_are_refused_in_bounded_time() {
        let n = 1 << 14;
        let mut table = Table::new(n, n as u32).expect("a few bytes");
        let hash = Hash::EMPTY.then(b"x");
        let taken = (0..n as u32).take_while(|&i| table.insert(hash, i, |_| false)).count();
        assert_eq!(taken, MAX_RUN);
    }

    #[test]
    fn hashing_in_pieces_gives_the_hash_of_the_whole() {
        // Value from the reference implementation's test vectors: FNV-1a 64 of "foobar".
        assert_eq!(Hash::EMPTY.then(b"foobar").0, 0x8594_4171_f739_67e8);
        assert_eq!(Hash::EMPTY.then(b"foo").then(b"bar").0, Hash::EMPTY.then(b"foobar").0);
    }
}
