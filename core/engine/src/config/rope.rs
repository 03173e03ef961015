//! Rotary embedding: frequencies of each pair, with the scalings that long contexts use.

use sprat_kernels::math;

/// How the frequencies of a model trained on a short context are stretched to a long one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scaling {
    /// Every frequency divided by one factor (1 leaves them).
    Linear {
        /// The divisor.
        factor: f64,
    },
    /// Low frequencies divided, high ones kept, a ramp between. Source: arXiv 2309.00071.
    Yarn {
        /// The divisor of low frequencies.
        factor: f64,
        /// Turns over the original context above which a frequency is kept.
        beta_fast: f64,
        /// Turns below which it is divided in full.
        beta_slow: f64,
        /// `yarn_log_multiplier`, 0 where the file has none.
        log_multiplier: f64,
    },
}

/// A rotary embedding as the metadata describe it.
#[derive(Clone, Debug, PartialEq)]
pub struct RopeConfig {
    /// How many values of a head rotate: even, at most the head's size.
    pub dims: usize,
    /// Base of the frequencies.
    pub base: f64,
    /// Stretching.
    pub scaling: Scaling,
    /// Context length of the training.
    pub original_context: usize,
    /// Factor on cos and sin besides YaRN's own.
    pub magnitude: f64,
    /// Whether the file's divisors of the frequencies are meant for it.
    pub factors: bool,
}

/// Frequencies ready for use.
#[derive(Clone, Debug)]
pub struct Rope {
    frequencies: Vec<f64>, // [dims / 2], radians per position
    magnitude: f64,
}

impl Rope {
    /// The frequencies of `config`, each divided by the file's factor for it, where the file has factors `[dims / 2]`.
    pub fn new(config: &RopeConfig, factors: Option<&[f32]>) -> Self {
        let half = config.dims / 2;
        let mut frequencies: Vec<f64> = (0..half).map(|i| math::pow(config.base, -(i as f64) / half as f64)).collect();
        if let Some(factors) = factors {
            frequencies.iter_mut().zip(factors).for_each(|(f, factor)| *f /= f64::from(*factor));
        }
        let mut magnitude = config.magnitude;
        match config.scaling {
            Scaling::Linear { factor } => frequencies.iter_mut().for_each(|f| *f /= factor),
            Scaling::Yarn { factor, beta_fast, beta_slow, log_multiplier } => {
                let dims = config.dims as f64;
                let original_context = config.original_context as f64;
                // The pair that turns `beta` times over the original context.
                let pair = |beta: f64| {
                    dims * math::ln(original_context / (beta * std::f64::consts::TAU)) / (2.0 * math::ln(config.base))
                };
                let low = pair(beta_fast).floor().max(0.0);
                let high = pair(beta_slow).ceil().min(dims - 1.0);
                for (i, f) in frequencies.iter_mut().enumerate() {
                    let keep = 1.0 - ((i as f64 - low) / (high - low).max(0.001)).clamp(0.0, 1.0);
                    *f = *f / factor * (1.0 - keep) + *f * keep;
                }
                magnitude *= 1.0 + 0.1 * math::ln(factor);
                if log_multiplier != 0.0 {
                    magnitude /= 1.0 + 0.1 * log_multiplier * math::ln(factor);
                }
            }
        }
        Self { frequencies, magnitude }
    }

    /// How many angles one position has.
    pub fn pairs(&self) -> usize {
        self.frequencies.len()
    }

    /// Writes cos and sin `[pairs]` of one position.
    pub fn angles(&self, position: usize, cos: &mut [f32], sin: &mut [f32]) {
        for ((f, c), s) in self.frequencies.iter().zip(cos).zip(sin) {
            let (sine, cosine) = math::sin_cos(f * position as f64);
            *c = (cosine * self.magnitude) as f32;
            *s = (sine * self.magnitude) as f32;
        }
    }

    /// Cos and sin `[pairs]` that turn what was turned for a position to one that is `positions` lower. No magnitude: it has
    /// that already.
    pub fn back_by(&self, positions: usize) -> (Vec<f32>, Vec<f32>) {
        let angles = self.frequencies.iter().map(|f| math::sin_cos(f * positions as f64));
        angles.map(|(sine, cosine)| (cosine as f32, -sine as f32)).unzip()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: RopeConfig = RopeConfig {
        dims: 8,
        base: 10000.0,
        scaling: Scaling::Linear { factor: 1.0 },
        original_context: 4096,
        magnitude: 1.0,
        factors: true,
    };

    #[test]
    fn plain_frequencies_are_powers_of_the_base() {
        let rope = Rope::new(&PLAIN, None);
        for (f, expected) in rope.frequencies.iter().zip([1.0, 0.1, 0.01, 0.001]) {
            assert!((f / expected - 1.0).abs() < 1e-12, "{f} is not {expected}");
        }
        let (mut cos, mut sin) = ([0.0; 4], [0.0; 4]);
        rope.angles(3, &mut cos, &mut sin);
        assert!((f64::from(cos[0]) - 3f64.cos()).abs() < 1e-7 && (f64::from(sin[1]) - 0.3f64.sin()).abs() < 1e-7);
    }

    #[test]
    fn turning_back_gives_the_angles_of_the_lower_position() {
        let scaling = Scaling::Yarn { factor: 4.0, beta_fast: 32.0, beta_slow: 1.0, log_multiplier: 0.0 };
        let config = RopeConfig { dims: 16, magnitude: 1.5, scaling, ..PLAIN };
        let rope = Rope::new(&config, None);
        let angles = |position| {
            let (mut cos, mut sin) = ([0.0; 8], [0.0; 8]);
            rope.angles(position, &mut cos, &mut sin);
            (cos, sin)
        };
        let ((high, high_sin), (low, low_sin), (cos, sin)) = (angles(3000), angles(100), rope.back_by(2900));
        for i in 0..8 {
            let (x, y) = (high[i] * cos[i] - high_sin[i] * sin[i], high[i] * sin[i] + high_sin[i] * cos[i]);
            // Three roundings of numbers up to the magnitude.
            assert!((x - low[i]).abs() < 1e-6 && (y - low_sin[i]).abs() < 1e-6, "{i}: {x} {y}");
        }
    }

    #[test]
    fn linear_scaling_and_factors_divide() {
        let config = RopeConfig { dims: 4, scaling: Scaling::Linear { factor: 4.0 }, ..PLAIN };
        let rope = Rope::new(&config, Some(&[2.0, 1.0]));
        assert!((rope.frequencies[0] - 0.125).abs() < 1e-15 && (rope.frequencies[1] - 0.0025).abs() < 1e-15);
    }

    #[test]
    fn yarn_keeps_fast_pairs_and_divides_slow_ones() {
        let scaling = Scaling::Yarn { factor: 4.0, beta_fast: 32.0, beta_slow: 1.0, log_multiplier: 0.0 };
        let config = RopeConfig { dims: 128, scaling, ..PLAIN };
        let rope = Rope::new(&config, None);
        assert_eq!(rope.frequencies[0], 1.0);
        let slowest = math::pow(10000.0, -63.0 / 64.0);
        assert!((rope.frequencies[63] * 4.0 / slowest - 1.0).abs() < 1e-12);
        assert!((rope.magnitude - (1.0 + 0.1 * 4f64.ln())).abs() < 1e-12);
    }
}
