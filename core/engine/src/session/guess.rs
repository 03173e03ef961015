//! Guesses what comes next from what stands in the context already: where the last tokens stood before, what followed
//! them then may follow again ("prompt lookup", github.com/apoorvumang/prompt-lookup-decoding). Guesses are checked in one
//! pass, whose logits are bit for bit those of single passes, so they change the speed and nothing else.

use std::time::Duration;

/// Tokens that must have stood before.
const CONTEXT: usize = 3;

/// Tokens guessed at once: with the one that is certain as many as the kernels take straight from the weights.
const MOST: usize = 7;

/// Tokens without a guess after one that did not pay, at first and at most.
const FIRST_REST: u32 = 8;
const LONGEST_REST: u32 = 256;

/// Weight of the newest value in a running average.
const NEWEST: f64 = 0.3;

/// Finds guesses, and learns whether they pay.
#[derive(Default)]
pub(super) struct Guesser {
    /// Seconds of a pass of one token, seconds of a pass with guesses, and tokens that came of one.
    single_s: Average,
    guessed_s: Average,
    guessed_tokens: Average,
    rest: u32,
    last_rest: u32,
}

#[derive(Default)]
struct Average(Option<f64>);

impl Average {
    fn add(&mut self, value: f64) {
        self.0 = Some(self.0.map_or(value, |old| old + NEWEST * (value - old)));
    }
}

impl Guesser {
    /// Up to `room` tokens that may follow `last`, which follows `fed`.
    pub fn guess(&mut self, fed: &[u32], last: u32, room: usize) -> Vec<u32> {
        if self.rest > 0 {
            self.rest -= 1;
            return Vec::new();
        }
        let Some(before) = fed.len().checked_sub(CONTEXT - 1) else { return Vec::new() };
        let mut end = fed[before..].to_vec();
        end.push(last);
        // The latest place counts: a text that is being copied goes on there.
        let found = fed.windows(CONTEXT).rposition(|window| window == end);
        let follows = found.map_or(&[][..], |at| &fed[at + CONTEXT..]);
        follows[..follows.len().min(MOST).min(room)].to_vec()
    }

    /// Learns from a pass of one token.
    pub fn learn_single(&mut self, elapsed: Duration) {
        self.single_s.add(elapsed.as_secs_f64());
    }

    /// Learns from a pass with guesses that `tokens` came of.
    pub fn learn_guessed(&mut self, elapsed: Duration, tokens: usize) {
        self.guessed_s.add(elapsed.as_secs_f64());
        self.guessed_tokens.add(tokens as f64);
        let pays = match (self.single_s.0, self.guessed_s.0, self.guessed_tokens.0) {
            (Some(single), Some(guessed), Some(tokens)) => tokens * single > guessed,
            _ => true,
        };
        self.last_rest = if pays { 0 } else { (2 * self.last_rest).clamp(FIRST_REST, LONGEST_REST) };
        self.rest = self.last_rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_followed_before_is_guessed_again() {
        let guess = |fed: &[u32], last, room| Guesser::default().guess(fed, last, room);
        assert_eq!(guess(&[1, 2, 3, 4, 5, 6, 1, 2], 3, 9), [4, 5, 6, 1, 2]);
        assert_eq!(guess(&[1, 2, 3, 4, 5, 6, 1, 2], 3, 2), [4, 5]);
        assert_eq!(guess(&[1, 2, 3, 4, 1, 2, 3, 9, 1, 2], 3, 1), [9], "the latest place");
        assert!(guess(&[1, 2, 3, 4, 5, 6, 1, 2], 9, 9).is_empty());
        assert!(guess(&[1, 2, 3, 4, 5, 6, 1, 2], 3, 0).is_empty());
        assert!(guess(&[1], 2, 9).is_empty());
        assert!(guess(&[], 2, 9).is_empty());
        let long: Vec<u32> = (0..100).chain(0..2).collect();
        assert_eq!(guess(&long, 2, 99), [3, 4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn guesses_that_do_not_pay_become_rare_and_come_back_when_they_do() {
        let fed: Vec<u32> = (0..50).chain(0..2).collect();
        let ms = Duration::from_millis;
        let mut guesser = Guesser::default();
        guesser.learn_single(ms(10));
        let mut tried = 0;
        for _ in 0..2000 {
            if !guesser.guess(&fed, 2, 9).is_empty() {
                tried += 1;
                guesser.learn_guessed(ms(15), 1);
            }
        }
        assert!((5..=20).contains(&tried), "{tried} tries of 2000 tokens");
        while guesser.guess(&fed, 2, 9).is_empty() {}
        guesser.learn_guessed(ms(15), 8);
        assert!(!guesser.guess(&fed, 2, 9).is_empty(), "a good guess is followed by another");
    }
}
