//! An array of strings in the mapped file: a string by its number, without a copy of any.

use std::ops::Range;

use super::table::room;
use crate::error::TokenizerError;

/// One offset is kept for this many strings; the rest is walked. Four keeps a step inside one or two cache lines and
/// costs one byte of memory a string.
const STEP: usize = 4;

/// The string at byte `at` of the file, and where the next one starts. GGUF: a u64 length, then the bytes.
/// `None` where the file ends first.
pub(super) fn string_at(file: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let len = file.get(at..at.checked_add(8)?)?;
    let len = usize::try_from(u64::from_le_bytes(len.try_into().expect("eight bytes"))).ok()?;
    let end = (at + 8).checked_add(len)?;
    Some((file.get(at + 8..end)?, end))
}

/// Where the strings of one array lie.
pub(super) struct Strings {
    start: usize,    // of the array in the file
    len: usize,      // number of strings
    marks: Vec<u32>, // [len / STEP], offset of every STEP-th string from `start`
}

impl Strings {
    /// Reads the array of `len` strings at `range` of the file's key `key`, calling `visit` with each string.
    ///
    /// Errors: strings that do not fit the range, or a range too long for 32-bit offsets; no memory.
    pub(super) fn read<'a>(
        key: &'static str,
        file: &'a [u8],
        range: Range<usize>,
        len: usize,
        mut visit: impl FnMut(&'a [u8]),
    ) -> Result<Strings, TokenizerError> {
        let truncated = || TokenizerError::Truncated { key };
        let file = file.get(..range.end).filter(|_| u32::try_from(range.len()).is_ok()).ok_or_else(truncated)?;
        let mut marks = room(len.min(range.len() / 8).div_ceil(STEP))?;
        let mut at = range.start;
        for i in 0..len {
            if i % STEP == 0 {
                marks.push((at - range.start) as u32);
            }
            let (string, next) = string_at(file, at).ok_or_else(truncated)?;
            visit(string);
            at = next;
        }
        Ok(Strings { start: range.start, len, marks })
    }

    /// How many strings there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Where the bytes of string `i` lie in the file. `None` past the end (and where a file was cut short after it
    /// was opened).
    pub(super) fn range(&self, file: &[u8], i: usize) -> Option<Range<usize>> {
        if i >= self.len {
            return None;
        }
        let mut at = self.start + self.marks[i / STEP] as usize;
        for _ in 0..i % STEP {
            at = string_at(file, at)?.1;
        }
        let end = string_at(file, at)?.1;
        Some(at + 8..end)
    }

    /// String `i`, where there is one as in [`range`](Self::range).
    pub(super) fn get<'a>(&self, file: &'a [u8], i: usize) -> Option<&'a [u8]> {
        file.get(self.range(file, i)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file whose array starts at byte 5.
    fn file(strings: &[&str]) -> Vec<u8> {
        let mut file = b"head.".to_vec();
        for s in strings {
            file.extend((s.len() as u64).to_le_bytes());
            file.extend(s.as_bytes());
        }
        file
    }

    fn read<'a>(
        file: &'a [u8],
        range: Range<usize>,
        len: usize,
        visit: impl FnMut(&'a [u8]),
    ) -> Result<Strings, TokenizerError> {
        Strings::read("key", file, range, len, visit)
    }

    #[test]
    fn every_string_is_found_by_its_number() {
        let want = ["a", "", "ccc", "dddd", "e", "ff", "", "h", "iiiiiiiiiii"];
        let file = file(&want);
        let mut seen = Vec::new();
        let strings = read(&file, 5..file.len(), want.len(), |s| seen.push(s)).expect("well formed");
        for (i, s) in want.iter().enumerate() {
            assert_eq!(strings.get(&file, i), Some(s.as_bytes()));
            assert_eq!(seen[i], s.as_bytes());
        }
        assert_eq!(strings.get(&file, want.len()), None);
    }

    #[test]
    fn strings_past_the_range_are_refused_and_a_shrunken_file_gives_none() {
        let whole = file(&["abc", "def"]);
        assert!(read(&whole, 5..whole.len() - 1, 2, |_| ()).is_err());
        assert!(read(&whole, 5..whole.len(), 3, |_| ()).is_err());
        assert!(read(&whole, 5..whole.len() + 1, 2, |_| ()).is_err());
        let mut lying = whole.clone();
        lying[5..13].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(read(&lying, 5..whole.len(), 2, |_| ()).is_err());
        let strings = read(&whole, 5..whole.len(), 2, |_| ()).expect("well formed");
        assert_eq!(strings.get(&whole[..20], 1), None);
    }
}
