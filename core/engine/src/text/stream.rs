//! Token bytes in, whole characters out, and nothing of a stop string.

use crate::error::OptionsError;

/// More would be looked for after every token.
const MAX_STOPS: usize = 64;

/// Text this long may be held back.
const MAX_STOP_BYTES: usize = 1024;

/// What most replies never hold back more than; room beyond it is made once and kept.
const CAPACITY: usize = 4096;

/// Turns the bytes of a reply's tokens into text.
///
/// A token may end in the middle of a character, and a stop string may begin in one token and end in a later one: such
/// bytes are held back until it is known what they are. The text given out, taken together, is what
/// `String::from_utf8_lossy` makes of all bytes up to the first stop string. Stop strings are looked for in the bytes, so
/// U+FFFD in one is that character and not what stands for bytes that are no text.
#[derive(Debug, Clone)]
pub struct TextStream {
    stops: Box<[Box<[u8]>]>,
    /// Bytes not given out yet.
    held: Vec<u8>,
    /// What the last call gave out.
    out: String,
    /// Which stop string ended the text.
    hit: Option<usize>,
}

impl TextStream {
    /// A stream that ends at the first of these strings to be complete.
    ///
    /// # Errors
    /// An empty or overlong string, or too many of them.
    pub fn new<S: AsRef<str>>(stops: &[S]) -> Result<TextStream, OptionsError> {
        if stops.len() > MAX_STOPS {
            return Err(OptionsError::TooManyStops { found: stops.len(), limit: MAX_STOPS });
        }
        for (index, stop) in stops.iter().enumerate() {
            let len_bytes = stop.as_ref().len();
            if len_bytes == 0 {
                return Err(OptionsError::EmptyStop { index });
            }
            if len_bytes > MAX_STOP_BYTES {
                return Err(OptionsError::StopTooLong { index, len_bytes, limit_bytes: MAX_STOP_BYTES });
            }
        }
        Ok(TextStream {
            stops: stops.iter().map(|stop| stop.as_ref().as_bytes().into()).collect(),
            held: Vec::with_capacity(CAPACITY),
            out: String::with_capacity(CAPACITY),
            hit: None,
        })
    }

    /// Takes a token's bytes and gives the text that is certain now. After a stop string it gives nothing more.
    pub fn push(&mut self, bytes: &[u8]) -> &str {
        self.out.clear();
        if self.hit.is_none() {
            for &byte in bytes {
                self.held.push(byte);
                if let Some((index, start)) = self.complete_stop() {
                    self.hit = Some(index);
                    self.held.truncate(start);
                    self.give_out(start, true);
                    self.held.clear();
                    return &self.out;
                }
            }
            self.give_out(self.held.len() - self.stop_prefix_len(), false);
        }
        &self.out
    }

    /// Gives what was held back, when no more bytes follow. An unfinished character becomes U+FFFD.
    pub fn finish(&mut self) -> &str {
        self.out.clear();
        self.give_out(self.held.len(), true);
        &self.out
    }

    /// Which of the stop strings ended the text, by its place in the list.
    pub fn stopped_by(&self) -> Option<usize> {
        self.hit
    }

    /// Begins a new text with the same stop strings.
    pub fn reset(&mut self) {
        self.held.clear();
        self.out.clear();
        self.hit = None;
    }

    /// The stop string that ends with the last byte held, and where it begins; of several the longest, so that none leaks.
    fn complete_stop(&self) -> Option<(usize, usize)> {
        let complete = self.stops.iter().enumerate().filter(|(_, stop)| self.held.ends_with(stop));
        complete
            .max_by_key(|(index, stop)| (stop.len(), std::cmp::Reverse(*index)))
            .map(|(index, stop)| (index, self.held.len() - stop.len()))
    }

    /// Length of the longest end of the held bytes that may become a stop string.
    fn stop_prefix_len(&self) -> usize {
        let longest = |stop: &[u8]| {
            let most = self.held.len().min(stop.len() - 1);
            (1..=most).rev().find(|&len| self.held.ends_with(&stop[..len])).unwrap_or(0)
        };
        self.stops.iter().map(|stop| longest(stop)).max().unwrap_or(0)
    }

    /// Moves the first `end` held bytes to the output, but for an unfinished character at their end unless this is `last`.
    fn give_out(&mut self, end: usize, last: bool) {
        let mut from = 0;
        while from < end {
            match std::str::from_utf8(&self.held[from..end]) {
                Ok(text) => {
                    self.out.push_str(text);
                    from = end;
                }
                Err(error) => {
                    let valid = from + error.valid_up_to();
                    let text = std::str::from_utf8(&self.held[from..valid]).expect("checked just above");
                    self.out.push_str(text);
                    from = valid;
                    match error.error_len() {
                        Some(len) => from += len,
                        None if last || end < self.held.len() && !is_continuation(self.held[end]) => from = end,
                        None => break,
                    }
                    self.out.push(char::REPLACEMENT_CHARACTER);
                }
            }
        }
        self.held.drain(..from);
    }
}

/// Whether a byte can only continue a character.
fn is_continuation(byte: u8) -> bool {
    byte & 0b1100_0000 == 0b1000_0000
}

#[cfg(test)]
mod tests {
    use super::{MAX_STOP_BYTES, MAX_STOPS, TextStream};
    use crate::error::OptionsError;

    /// All pieces of `text` cut into tokens of `len` bytes, and which stop string ended it.
    fn stream(stops: &[&str], text: &[u8], len: usize) -> (Vec<String>, Option<usize>) {
        let mut stream = TextStream::new(stops).expect("valid stops");
        let mut pieces: Vec<String> = text.chunks(len).map(|bytes| stream.push(bytes).to_owned()).collect();
        pieces.push(stream.finish().to_owned());
        (pieces, stream.stopped_by())
    }

    #[test]
    fn the_text_ends_before_the_first_complete_stop_string() {
        struct Case {
            stops: &'static [&'static str],
            text: &'static str,
            expected: &'static str,
            hit: Option<usize>,
        }
        let case = |stops, text, expected, hit| Case { stops, text, expected, hit };
        let cases = [
            case(&[], "plain", "plain", None),
            case(&["STOP"], "go STOP on", "go ", Some(0)),
            case(&["STOP"], "go STO", "go STO", None),
            case(&["STOP"], "STSTOSTOP", "STSTO", Some(0)),
            case(&["aab"], "aaab", "a", Some(0)),
            case(&["abc", "b"], "abc", "a", Some(1)),
            case(&["bc", "abc"], "xabc", "x", Some(1)),
            case(&["abcd", "bc"], "abce", "a", Some(1)),
            case(&["abcd", "bx"], "abcabcd", "abc", Some(0)),
            case(&["\n\n", "\nUser:"], "a\nb\nUser: c", "a\nb", Some(1)),
            case(&["é"], "caf\u{e8}, café, e", "caf\u{e8}, caf", Some(0)),
            case(&["x", "x"], "ax", "a", Some(0)),
            case(&["STOP"], "STOP", "", Some(0)),
        ];
        for Case { stops, text, expected, hit } in cases {
            for len in 1..=text.len() {
                let (pieces, stopped) = stream(stops, text.as_bytes(), len);
                assert_eq!((pieces.concat().as_str(), stopped), (expected, hit), "{stops:?} {text:?} by {len}");
            }
        }
    }

    #[test]
    fn only_whole_characters_are_given_out() {
        let text = "aé日😀z";
        for len in 1..text.len() {
            let (pieces, _) = stream(&[], text.as_bytes(), len);
            assert_eq!(pieces.concat(), text);
        }
        let (pieces, _) = stream(&[], text.as_bytes(), 1);
        assert_eq!(pieces, ["a", "", "é", "", "", "日", "", "", "", "😀", "z", ""]);
    }

    #[test]
    fn text_is_held_back_only_while_it_may_become_a_stop_string() {
        let (pieces, _) = stream(&["STOP"], b"aSTxSTO", 1);
        assert_eq!(pieces, ["a", "", "", "STx", "", "", "", "STO"]);
    }

    #[test]
    fn invalid_bytes_become_what_the_standard_library_makes_of_them() {
        let texts: [&[u8]; 8] = [
            b"a\xffb",
            b"\xe2\x82",
            b"\xe2\x82z",
            b"\xf0\x9f\x98",
            b"\xc3\xc3\xa9",
            b"\x80\x80",
            b"\xed\xa0\x80",
            b"\xe2\x82S\xe2\x82ST\xf0S",
        ];
        for text in texts {
            for len in 1..=text.len() {
                for stops in [&[][..], &["STOP"]] {
                    let (pieces, _) = stream(stops, text, len);
                    assert_eq!(pieces.concat(), String::from_utf8_lossy(text), "{text:x?} by {len}");
                }
            }
        }
    }

    #[test]
    fn a_replacement_character_in_a_stop_string_is_itself_alone() {
        for len in 1..=5 {
            let (pieces, hit) = stream(&["\u{fffd}"], b"a\xffb\xef\xbf\xbdc", len);
            assert_eq!((pieces.concat().as_str(), hit), ("a\u{fffd}b", Some(0)), "by {len}");
        }
    }

    #[test]
    fn a_reset_stream_begins_anew() {
        let mut stream = TextStream::new(&["x"]).expect("valid");
        assert_eq!(stream.push(b"a\xe2x"), "a\u{fffd}");
        assert_eq!(stream.push(b"b"), "");
        assert_eq!(stream.stopped_by(), Some(0));
        stream.reset();
        assert_eq!(stream.push(b"b"), "b");
        assert_eq!(stream.stopped_by(), None);
    }

    #[test]
    fn the_buffers_do_not_grow_in_ordinary_use() {
        let mut stream = TextStream::new(&["\n\nUser:", "</s>"]).expect("valid");
        let before = (stream.held.as_ptr(), stream.out.as_ptr());
        for _ in 0..10_000 {
            stream.push(" w\u{f6}rd\n".as_bytes());
        }
        assert_eq!((stream.held.as_ptr(), stream.out.as_ptr()), before);
    }

    #[test]
    fn unusable_stop_strings_are_errors() {
        assert_eq!(TextStream::new(&["a", ""]).expect_err("empty"), OptionsError::EmptyStop { index: 1 });
        let long = "a".repeat(MAX_STOP_BYTES + 1);
        assert!(matches!(TextStream::new(&[&long]), Err(OptionsError::StopTooLong { index: 0, .. })));
        let many = vec!["a"; MAX_STOPS + 1];
        assert!(matches!(TextStream::new(&many), Err(OptionsError::TooManyStops { .. })));
    }
}
