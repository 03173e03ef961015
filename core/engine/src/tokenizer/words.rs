//! One step of pre-tokenization: cuts a text into words at the matches of a regular expression.
//!
//! A step is a `Pattern` of the `tokenizers` crate, what its `Split` pre-tokenizer takes. `Split` itself is no use
//! here: when a search fails (a backtracking limit), it stops silently and hands on the rest of the text as one word.
//! It also copies every word with 16 bytes of offsets a byte, which only its own model needs.

use fancy_regex::Regex;
use tokenizers::tokenizer::pattern::Pattern;
use tokenizers::{Offsets, Result};

/// How white space ends in nearly every pre-tokenizer: a run of it leaves its last character to the word behind it.
const SPARE_LAST: &str = r"\s+(?!\S)";
/// An alternative before `SPARE_LAST` that takes white space up to its last line end.
const LINE_ENDS: &str = r"\s*[\r\n]";
/// Positions with a multiple of three digits between them and the end of the run.
pub(super) const DIGIT_GROUPS: &str = r"(?=(\d{3})+(?!\d))";
/// Groups of digits, whole ones but for the first, in runs that no letter follows.
pub(super) const DIGIT_GROUPS_APART: &str = r"\d{1,3}(?=(?:\d{3})*\b)";

/// A step, ready to use.
pub(super) enum Words {
    /// Words are the matches and what lies between them.
    Regex(Regex),
    /// The same for an expression ending in `\s+(?!\S)|\s+`, searched with plain `\s+` there: without the look-ahead a
    /// search takes linear time and cannot fail. What the look-ahead would spare is given back after the match.
    SpareLast {
        /// The expression without the look-ahead.
        regex: Regex,
        /// Whether white space ending in a line end was taken by another alternative.
        line_ends: bool,
    },
    /// Runs of digits cut into groups of three from the right: `1234567` is `1`, `234`, `567`. The expression for
    /// this looks ahead to the end of the run for every group, quadratic time on a long run.
    DigitGroups {
        /// Finds the runs.
        runs: Regex,
        /// Whether less than a group is a word too, and not part of what is before it.
        apart: bool,
    },
}

impl Words {
    /// Compiles an expression.
    pub(super) fn regex(expression: &str) -> std::result::Result<Words, Box<fancy_regex::Error>> {
        for (groups, runs, apart) in [(DIGIT_GROUPS, r"\d+", false), (DIGIT_GROUPS_APART, r"\d+\b", true)] {
            if expression == groups {
                return Ok(Words::DigitGroups { runs: Regex::new(runs).map_err(Box::new)?, apart });
            }
        }
        let tails = [format!("|{SPARE_LAST}|\\s+"), format!("|{SPARE_LAST}")];
        for tail in tails {
            if let Some(head) = expression.strip_suffix(&tail) {
                let regex = Regex::new(&format!("{head}|\\s+")).map_err(Box::new)?;
                return Ok(Words::SpareLast { regex, line_ends: head.contains(LINE_ENDS) });
            }
        }
        Ok(Words::Regex(Regex::new(expression).map_err(Box::new)?))
    }
}

impl Pattern for &Words {
    fn find_matches(&self, text: &str) -> Result<Vec<(Offsets, bool)>> {
        match self {
            Words::Regex(regex) => regex.find_matches(text),
            Words::SpareLast { regex, line_ends } => spare_last(regex, *line_ends, text),
            Words::DigitGroups { runs, apart } => digit_groups(runs, *apart, text),
        }
    }
}

/// Adds the text before `at` that belongs to no match.
fn add_gap(words: &mut Vec<(Offsets, bool)>, at: usize) {
    let end = words.last().map_or(0, |w| w.0.1);
    if end < at {
        words.push(((end, at), false));
    }
}

fn spare_last(regex: &Regex, line_ends: bool, text: &str) -> Result<Vec<(Offsets, bool)>> {
    let mut words = Vec::with_capacity(text.len() / 4 + 1);
    let mut at = 0;
    while let Some(found) = regex.find_from_pos(text, at)? {
        at = found.end();
        // Only the last alternative takes nothing but white space, or else the one for line ends.
        let white = found.as_str();
        if at < text.len() && white.starts_with(char::is_whitespace) && white.chars().all(char::is_whitespace) {
            let last = white.chars().next_back().expect("starts with one");
            let line_end = line_ends && matches!(last, '\r' | '\n');
            if !line_end && white.len() > last.len_utf8() {
                at -= last.len_utf8();
            }
        }
        add_gap(&mut words, found.start());
        words.push(((found.start(), at), true));
    }
    add_gap(&mut words, text.len());
    Ok(words)
}

fn digit_groups(runs: &Regex, apart: bool, text: &str) -> Result<Vec<(Offsets, bool)>> {
    let mut words = Vec::new();
    for run in runs.find_iter(text) {
        let run = run?;
        let n = run.as_str().chars().count();
        // A cut before every whole group, and around the run where less than a group is a word of its own.
        for (i, (at, _)) in run.as_str().char_indices().enumerate() {
            if (n - i).is_multiple_of(3) || apart && i == 0 {
                add_gap(&mut words, run.start() + at);
            }
        }
        if apart {
            add_gap(&mut words, run.end());
        }
    }
    add_gap(&mut words, text.len());
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut<'a>(words: &Words, text: &'a str) -> Vec<&'a str> {
        words.find_matches(text).expect("finds").iter().map(|&((a, b), _)| &text[a..b]).collect()
    }

    #[test]
    fn a_search_that_hits_its_limit_is_an_error_and_drops_no_text() {
        let words = Words::regex(r"(a*)*\1b").expect("a good expression");
        assert_eq!(cut(&words, "xaab"), ["x", "aab"]);
        let failed = (&words).find_matches(&"a".repeat(5000));
        assert!(failed.is_err(), "{failed:?}");
    }

    #[test]
    fn long_white_space_is_found_without_a_limit() {
        // The look-ahead alone fails here: it keeps a place to go back to for every character.
        let expression = r"\p{L}+|\s+(?!\S)|\s+";
        let text = format!("{}x", " ".repeat(1_500_000));
        assert!((&Regex::new(expression).expect("a good expression")).find_matches(&text).is_err());
        let words = Words::regex(expression).expect("a good expression");
        assert_eq!(cut(&words, &text), [&text[..1_499_999], " ", "x"]);
    }

    #[test]
    fn digits_go_in_threes_from_the_right() {
        let words = Words::regex(DIGIT_GROUPS).expect("known");
        assert_eq!(cut(&words, "a1234567b12c123"), ["a1", "234", "567b12c", "123"]);
        assert_eq!(cut(&words, "٣٤٣٤"), ["٣", "٤٣٤"]);
        assert_eq!(cut(&words, ""), [""; 0]);
        let words = Words::regex(DIGIT_GROUPS_APART).expect("known");
        assert_eq!(cut(&words, "a1234567 12 1234b"), ["a", "1", "234", "567", " ", "12", " 1234b"]);
    }
}
