//! How the next token is chosen, and what of it makes sense.

use crate::error::OptionsError;

/// How the next token is chosen. The defaults are llama.cpp's.
#[derive(Debug, Clone, PartialEq)]
pub struct SamplerOptions {
    /// What logits are divided by before the draw, 0 to 100; 0 always takes the likeliest token.
    pub temperature: f32,
    /// Keeps this many of the likeliest tokens; 0 keeps all.
    pub top_k: usize,
    /// Keeps the likeliest tokens that together reach this probability, 0 to 1; 1 keeps all.
    pub top_p: f32,
    /// Keeps tokens at least this fraction as likely as the likeliest, 0 to 1; 0 keeps all.
    pub min_p: f32,
    /// Keeps the tokens whose surprise is nearest to the expected one and that together reach this probability, 0 to 1;
    /// 1 keeps all. Source: arXiv 2202.00666.
    pub typical_p: f32,
    /// Divides positive logits (multiplies negative ones) of tokens in the window, 0.01 to 100; 1 is off.
    pub repetition_penalty: f32,
    /// Taken from a token's logit for each time it is in the window, -100 to 100; 0 is off.
    pub frequency_penalty: f32,
    /// Taken from a token's logit if it is in the window at all, -100 to 100; 0 is off.
    pub presence_penalty: f32,
    /// How many of the last tokens the penalties look at, up to 65,536; 0 turns them off.
    pub penalty_window: usize,
    /// Added to the logits of these tokens; minus infinity forbids one.
    pub logit_bias: Vec<(u32, f32)>,
    /// Where the random numbers begin; `None` takes a seed from the system.
    pub seed: Option<u64>,
}

impl Default for SamplerOptions {
    fn default() -> SamplerOptions {
        SamplerOptions {
            temperature: 0.8,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            typical_p: 1.0,
            repetition_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            penalty_window: 64,
            logit_bias: Vec::new(),
            seed: None,
        }
    }
}

/// Larger windows than any reply.
const MAX_WINDOW: usize = 65_536;

impl SamplerOptions {
    /// Always the likeliest token.
    pub fn greedy() -> SamplerOptions {
        SamplerOptions { temperature: 0.0, ..SamplerOptions::default() }
    }

    /// Checks every option against its range.
    ///
    /// # Errors
    /// The first that is out of range, with the range.
    pub fn validate(&self, vocabulary: usize) -> Result<(), OptionsError> {
        let ranges = [
            ("temperature", self.temperature, 0.0, 100.0),
            ("top_p", self.top_p, 0.0, 1.0),
            ("min_p", self.min_p, 0.0, 1.0),
            ("typical_p", self.typical_p, 0.0, 1.0),
            ("repetition_penalty", self.repetition_penalty, 0.01, 100.0),
            ("frequency_penalty", self.frequency_penalty, -100.0, 100.0),
            ("presence_penalty", self.presence_penalty, -100.0, 100.0),
        ];
        for (name, value, min, max) in ranges {
            // Not a number is in no range.
            if !(min..=max).contains(&value) {
                let (value, min, max) = (f64::from(value), f64::from(min), f64::from(max));
                return Err(OptionsError::OutOfRange { name, value, min, max });
            }
        }
        if self.penalty_window > MAX_WINDOW {
            return Err(OptionsError::OutOfRange {
                name: "penalty_window",
                value: self.penalty_window as f64,
                min: 0.0,
                max: MAX_WINDOW as f64,
            });
        }
        for &(id, bias) in &self.logit_bias {
            if id as usize >= vocabulary {
                return Err(OptionsError::BiasToken { id, vocabulary });
            }
            if bias.is_nan() {
                return Err(OptionsError::BiasNotANumber { id });
            }
        }
        Ok(())
    }

    /// Whether the penalties do anything.
    pub(super) fn penalizes(&self) -> bool {
        self.penalty_window > 0
            && (self.repetition_penalty != 1.0 || self.frequency_penalty != 0.0 || self.presence_penalty != 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_WINDOW, SamplerOptions};
    use crate::error::OptionsError;

    #[test]
    fn every_option_out_of_range_is_an_error_with_its_name() {
        let default = SamplerOptions::default;
        let cases = [
            ("temperature", SamplerOptions { temperature: -0.1, ..default() }),
            ("temperature", SamplerOptions { temperature: f32::NAN, ..default() }),
            ("temperature", SamplerOptions { temperature: f32::INFINITY, ..default() }),
            ("top_p", SamplerOptions { top_p: 1.1, ..default() }),
            ("min_p", SamplerOptions { min_p: -1.0, ..default() }),
            ("typical_p", SamplerOptions { typical_p: f32::NAN, ..default() }),
            ("repetition_penalty", SamplerOptions { repetition_penalty: 0.0, ..default() }),
            ("frequency_penalty", SamplerOptions { frequency_penalty: 101.0, ..default() }),
            ("presence_penalty", SamplerOptions { presence_penalty: f32::NEG_INFINITY, ..default() }),
            ("penalty_window", SamplerOptions { penalty_window: MAX_WINDOW + 1, ..default() }),
        ];
        for (expected, options) in cases {
            match options.validate(10) {
                Err(OptionsError::OutOfRange { name, .. }) => assert_eq!(name, expected),
                other => panic!("{expected}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_bias_must_name_a_token_and_be_a_number() {
        let bias = |id, bias| SamplerOptions { logit_bias: vec![(id, bias)], ..SamplerOptions::default() }.validate(10);
        assert_eq!(bias(10, 1.0), Err(OptionsError::BiasToken { id: 10, vocabulary: 10 }));
        assert_eq!(bias(9, f32::NAN), Err(OptionsError::BiasNotANumber { id: 9 }));
        assert_eq!(bias(9, f32::NEG_INFINITY), Ok(()));
    }
}
