//! Random numbers: SplitMix64 (Steele, Lea, Flood 2014, doi 10.1145/2660193.2660195).
//!
//! The state is one counter and every number a hash of it, so that saving, undoing and skipping cost nothing, and the n-th
//! draw of a seed is the same whatever came before.

/// The golden ratio's fraction times 2^64, odd: the counter's step.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// A source of random numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Random {
    pub(super) counter: u64,
}

impl Random {
    /// Neighbouring seeds are hashed far apart: as counters they would soon draw the same numbers.
    pub(super) fn new(seed: u64) -> Random {
        Random { counter: mix(seed) }
    }

    /// A number from 0 up to but not including 1, a multiple of 2^-53.
    pub(super) fn unit(&mut self) -> f64 {
        self.counter = self.counter.wrapping_add(STEP);
        (mix(self.counter) >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::{Random, STEP, mix};

    #[test]
    fn the_sequence_is_that_of_the_published_generator() {
        // The first numbers of java.util.SplittableRandom(1234567), as listed on rosettacode.org.
        let expected = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ];
        for (index, &number) in expected.iter().enumerate() {
            assert_eq!(mix(1_234_567_u64.wrapping_add(STEP.wrapping_mul(index as u64 + 1))), number);
        }
    }

    #[test]
    fn draws_are_spread_evenly() {
        let mut random = Random::new(7);
        let mut counts = [0_u32; 64];
        for _ in 0..64_000 {
            let x = random.unit();
            assert!((0.0..1.0).contains(&x));
            counts[(x * 64.0) as usize] += 1;
        }
        let chi2: f64 = counts.iter().map(|&n| (f64::from(n) - 1000.0).powi(2) / 1000.0).sum();
        // 63 degrees of freedom: 0.1 % of fair sources are above 103.4, and 0.1 % below 33.
        assert!((33.0..103.4).contains(&chi2), "{chi2}");
    }

    #[test]
    fn neighbouring_seeds_share_no_numbers() {
        let draws = |seed| {
            let mut random = Random::new(seed);
            (0..1000).map(|_| random.unit().to_bits()).collect::<std::collections::HashSet<_>>()
        };
        assert!(draws(1).is_disjoint(&draws(2)));
        assert!(draws(1).is_disjoint(&draws(1_u64.wrapping_add(STEP))));
    }
}
