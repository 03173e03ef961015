//! Elementary functions in f64 for tables (rope angles, scales): our own, so that every platform gets the same bits.
//!
//! They use only `+ - * /` and fused multiply-add, which IEEE 754 rounds correctly everywhere. The polynomials are plain
//! Taylor series: speed does not matter here, a line that explains itself does.

use std::f64::consts::{FRAC_2_PI, LOG2_E, SQRT_2, TAU};

/// `1.5 * 2^52`: adding it rounds a small number to the nearest integer, ties to even, left in the low bits.
const ROUNDER: f64 = 6_755_399_441_055_744.0;
/// The first 21 bits of ln 2, so that a product with an exponent is exact, and the rest.
const LN2_HI: f64 = f64::from_bits(0x3fe6_2e42_0000_0000);
const LN2_LO: f64 = f64::from_bits(0x3e9f_df47_3de6_af28);
/// pi / 2 as the sum of three doubles.
const HALF_PI: [f64; 3] = [
    f64::from_bits(0x3ff9_21fb_5444_2d18),
    f64::from_bits(0x3c91_a626_3314_5c07),
    f64::from_bits(0xb91f_1976_b7ed_8fbc),
];

/// Sine and cosine of `x` radians. Max error 1 ULP for `|x| <= 1e7`; beyond, the result is still in -1..=1 but the
/// phase loses digits. NaN for infinities and NaN.
pub fn sin_cos(x: f64) -> (f64, f64) {
    // `%` is exact by definition, so this too is the same everywhere.
    let x = if x.abs() > 1e7 { x % TAU } else { x };
    let shifted = x.mul_add(FRAC_2_PI, ROUNDER);
    let n = shifted - ROUNDER;
    // Exact: n has at most 24 bits, and what the subtraction leaves fits 53 bits.
    let first = (-n).mul_add(HALF_PI[0], x);
    let (w, w_low) = product(n, HALF_PI[1]);
    let (r, low) = sum(first, -w);
    let low = (-n).mul_add(HALF_PI[2], low - w_low);
    let (sin, cos) = (sin_near_zero(r, low), cos_near_zero(r, low));
    match shifted.to_bits() & 3 {
        0 => (sin, cos),
        1 => (cos, -sin),
        2 => (-sin, -cos),
        _ => (-cos, sin),
    }
}

/// `e^x`. Max error 1 ULP; overflows to infinity, underflows gradually to 0.
pub fn exp(x: f64) -> f64 {
    exp_of_sum(x, 0.0)
}

/// The natural logarithm. Max error 1 ULP; -infinity for 0, NaN for negative numbers.
pub fn ln(x: f64) -> f64 {
    let (high, low) = ln_as_sum(x);
    high + low
}

/// `x^y` for `x >= 0`. Max error 1 ULP for `|y| <= 16`, growing slowly beyond; NaN for negative `x`.
pub fn pow(x: f64, y: f64) -> f64 {
    if y == 0.0 || x == 1.0 {
        return 1.0;
    }
    let (high, low) = ln_as_sum(x);
    let (p, p_low) = product(high, y);
    if !p.is_finite() {
        return exp(p);
    }
    exp_of_sum(p, low.mul_add(y, p_low))
}

/// `a + b` and its rounding error (Knuth).
fn sum(a: f64, b: f64) -> (f64, f64) {
    let s = a + b;
    let part = s - a;
    (s, (a - (s - part)) + (b - part))
}

/// `a * b` and its rounding error.
fn product(a: f64, b: f64) -> (f64, f64) {
    let p = a * b;
    (p, a.mul_add(b, -p))
}

/// `1 + x/first (1 + x/(first+step) ...)`: the quotients of a Taylor series in Horner form.
fn series(x: f64, divisors: &[f64]) -> f64 {
    divisors.iter().rev().fold(1.0, |tail, d| (x / d).mul_add(tail, 1.0))
}

/// sin(r + low) for `|r| <= pi/4`.
fn sin_near_zero(r: f64, low: f64) -> f64 {
    let z = r * r;
    let tail = series(-z, &[20.0, 42.0, 72.0, 110.0, 156.0, 210.0, 272.0]); // 4*5, 6*7, ...
    r + (r * z).mul_add(-tail / 6.0, low * z.mul_add(-0.5, 1.0))
}

/// cos(r + low) for `|r| <= pi/4`.
fn cos_near_zero(r: f64, low: f64) -> f64 {
    let z = r * r;
    let tail = series(-z, &[30.0, 56.0, 90.0, 132.0, 182.0, 240.0, 306.0]); // 5*6, 7*8, ...
    let half = 0.5 * z;
    let most = 1.0 - half;
    most + (((1.0 - most) - half) + (z * z).mul_add(tail / 24.0, -r * low))
}

/// e^(high + low), `low` below an ULP or so of `high`.
fn exp_of_sum(high: f64, low: f64) -> f64 {
    if high.is_nan() {
        return high;
    }
    let high = high.clamp(-800.0, 800.0); // beyond both ends of the range; keeps the exponent an i32
    let shifted = high.mul_add(LOG2_E, ROUNDER);
    let n = shifted - ROUNDER;
    let first = (-n).mul_add(LN2_HI, high);
    let (w, w_low) = product(n, LN2_LO);
    let (r, r_low) = sum(first, -w);
    let low = low + (r_low - w_low);
    let divisors = [3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0];
    let less_one = (0.5 * r * r).mul_add(series(r, &divisors), r); // e^r - 1
    let p = 1.0 + (less_one + low * (1.0 + less_one));
    // Two exact steps and one rounding, so that subnormal results round once.
    let n = n as i64;
    p * power_of_two(n >> 1) * power_of_two(n - (n >> 1))
}

/// 2^n for `-1022 <= n <= 1023`.
fn power_of_two(n: i64) -> f64 {
    f64::from_bits(((n + 1023) as u64) << 52)
}

/// ln x as an unevaluated sum, good to about 2^-60.
fn ln_as_sum(x: f64) -> (f64, f64) {
    if x.is_nan() || x < 0.0 {
        return (f64::NAN, 0.0);
    }
    if x == 0.0 || x == f64::INFINITY {
        return (if x == 0.0 { f64::NEG_INFINITY } else { x }, 0.0);
    }
    let (x, extra) = if x < f64::MIN_POSITIVE { (x * power_of_two(60), -60) } else { (x, 0) };
    let mut n = (x.to_bits() >> 52) as i64 - 1023;
    let mut m = f64::from_bits((x.to_bits() & ((1 << 52) - 1)) | 1.0f64.to_bits());
    if m > SQRT_2 {
        m *= 0.5;
        n += 1;
    }
    let n = (n + extra) as f64;
    // ln m = 2 atanh(s) with s = f / (2 + f), f = m - 1 exact; s carries its own error as s_low.
    let f = m - 1.0;
    let (d, d_low) = sum(2.0, f);
    let s = f / d;
    let s_low = (-s).mul_add(d_low, (-s).mul_add(d, f)) / d;
    let z = s * s;
    let tail = (1..=11).rev().fold(0.0f64, |tail, i| tail.mul_add(z, 2.0 / f64::from(2 * i + 1)));
    let (high, low) = sum(n * LN2_HI, 2.0 * s);
    let low = low + n.mul_add(LN2_LO, 2.0 * s_low + s * z * tail);
    sum(high, low)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Distance in units of the last place of `b`.
    fn ulps(a: f64, b: f64) -> f64 {
        if a == b || (a.is_nan() && b.is_nan()) {
            return 0.0;
        }
        let ulp = f64::from_bits(b.abs().to_bits() + 1) - b.abs();
        (a - b).abs() / ulp
    }

    /// `count` numbers spread evenly in magnitude over `low..high`.
    fn spread(low: f64, high: f64, count: u32) -> impl Iterator<Item = f64> {
        let ratio = (high / low).ln() / f64::from(count);
        (0..count).map(move |i| low * (ratio * f64::from(i)).exp())
    }

    // The bounds are 2: std is itself off by up to 1.

    #[test]
    #[cfg_attr(miri, ignore = "half a million numbers without a pointer")]
    fn sine_and_cosine_agree_with_std_within_two_ulps() {
        let multiples = (0..200_000).map(|i| f64::from(i) * 0.25 * std::f64::consts::FRAC_PI_2);
        for x in spread(1e-12, 1e7, 300_000).chain(multiples).flat_map(|x| [x, -x]) {
            let (sin, cos) = sin_cos(x);
            assert!(ulps(sin, x.sin()) <= 2.0, "sin {x:e}: {sin:e}, std {:e}", x.sin());
            assert!(ulps(cos, x.cos()) <= 2.0, "cos {x:e}: {cos:e}, std {:e}", x.cos());
        }
    }

    #[test]
    fn sine_of_anything_is_bounded_or_nan() {
        for x in [1e8, 1e20, f64::MAX, -f64::MAX] {
            let (sin, cos) = sin_cos(x);
            assert!((sin * sin + cos * cos - 1.0).abs() < 1e-12, "{x:e}");
        }
        for x in [f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
            assert!(sin_cos(x).0.is_nan() && sin_cos(x).1.is_nan());
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "half a million numbers without a pointer")]
    fn exp_agrees_with_std_within_two_ulps() {
        for x in spread(1e-18, 750.0, 200_000).flat_map(|x| [x, -x]) {
            assert!(ulps(exp(x), x.exp()) <= 2.0, "{x:e}: {:e}, std {:e}", exp(x), x.exp());
        }
        assert_eq!(exp(f64::NEG_INFINITY), 0.0);
        assert_eq!(exp(f64::INFINITY), f64::INFINITY);
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(f64::NAN).is_nan());
    }

    #[test]
    #[cfg_attr(miri, ignore = "half a million numbers without a pointer")]
    fn ln_agrees_with_std_within_two_ulps() {
        let near_one = (-100_000..100_000).map(|i| 1.0 + f64::from(i) * 1e-6);
        for x in spread(5e-324, f64::MAX, 200_000).chain(near_one) {
            assert!(ulps(ln(x), x.ln()) <= 2.0, "{x:e}: {:e}, std {:e}", ln(x), x.ln());
        }
        assert_eq!(ln(0.0), f64::NEG_INFINITY);
        assert_eq!(ln(f64::INFINITY), f64::INFINITY);
        assert!(ln(-1.0).is_nan() && ln(f64::NAN).is_nan());
    }

    #[test]
    #[cfg_attr(miri, ignore = "half a million numbers without a pointer")]
    fn pow_agrees_with_std_within_two_ulps() {
        for base in [1e-5, 0.5, 2.0, 10.0, 10_000.0, 500_000.0, 1e6, 1e7] {
            for i in -20_000..20_000 {
                let y = f64::from(i) / 5000.0;
                let (ours, std) = (pow(base, y), base.powf(y));
                assert!(ulps(ours, std) <= 2.0, "{base}^{y}: {ours:e}, std {std:e}");
            }
        }
        assert_eq!(pow(0.0, 2.0), 0.0);
        assert_eq!(pow(0.0, -2.0), f64::INFINITY);
        assert_eq!(pow(2.0, 1e9), f64::INFINITY);
        assert_eq!(pow(2.0, -1e9), 0.0);
        assert!(pow(-2.0, 2.5).is_nan());
    }

    /// Bits recorded once: a compiler or platform that changes them breaks promise 3 of ARCHITECTURE.md.
    #[test]
    #[cfg_attr(miri, ignore = "25,000 numbers without a pointer")]
    fn bits_are_the_same_on_every_platform() {
        let mut hash = 0xcbf2_9ce4_8422_2325u64;
        for i in 0..5000 {
            let x = f64::from(i) * 0.37;
            let (sin, cos) = sin_cos(x);
            for value in [sin, cos, exp(-x * 0.1), ln(x + 0.1), pow(10_000.0, -x / 1850.0)] {
                hash = (hash ^ value.to_bits()).wrapping_mul(0x0100_0000_01b3);
            }
        }
        assert_eq!(hash, 0x95c0_42a6_7adb_86c4, "{hash:#x}");
    }
}
