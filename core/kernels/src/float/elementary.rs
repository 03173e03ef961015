//! exp, tanh, sigmoid and their kin in f32: branch-free, so that loops over them become vector code on every set.
//!
//! Each uses only operations IEEE 754 rounds correctly, in a fixed order: the same bits everywhere. NaN in, NaN out.
//! The coefficients are minimax fits (weighted for relative error) rounded to f32 one by one, lowest first.

/// `1.5 * 2^23`: adding it rounds a small number to the nearest integer, ties to even, left in the low bits.
const ROUNDER: f32 = 12_582_912.0;
/// ln 2 rounded to f32 (its last three bits are 0, so products with small integers are exact), and the rest.
const LN2_HI: f32 = f32::from_bits(0x3f31_7218);
const LN2_LO: f32 = -1.904_654_2e-9;

/// `e^x`. Max error 1.1 ULP, subnormal results included; 0 below -104, infinity above 88.73.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Both ends are beyond where the result is 0 or infinite. A NaN fails both comparisons and stays.
    let x = if x < -105.0 { -105.0 } else { x };
    let x = if x > 90.0 { 90.0 } else { x };
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUNDER);
    let n = shifted - ROUNDER;
    let r = n.mul_add(-LN2_LO, n.mul_add(-LN2_HI, x));
    let q = 0.001_382_073_4f32
        .mul_add(r, 0.008_368_677)
        .mul_add(r, 0.041_668_266)
        .mul_add(r, 0.166_665_21)
        .mul_add(r, 0.499_999_94);
    let p = 1.0 + (r * r).mul_add(q, r);
    // 2^n in two factors: the first product is exact, the second rounds once even where it is subnormal.
    let n = shifted.to_bits().wrapping_sub(ROUNDER.to_bits()) as i32;
    let half = n >> 1;
    p * power_of_two(half) * power_of_two(n.wrapping_sub(half))
}

/// 2^n for `-126 <= n <= 127`; anything for other n (which only a NaN brings about).
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

/// The hyperbolic tangent. Max error 2 ULP.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let a = x.abs();
    let z = a * a;
    let q = (-0.005_692_296f32)
        .mul_add(z, 0.020_628_167)
        .mul_add(z, -0.053_736_515)
        .mul_add(z, 0.133_314_06)
        .mul_add(z, -0.333_332_8);
    let small = (a * z).mul_add(q, a);
    let large = 1.0 - 2.0 / (exp(2.0 * a) + 1.0);
    (if a < 0.625 { small } else { large }).copysign(x)
}

/// `1 / (1 + e^-x)`. Max error 3 ULP, subnormal results included.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    let e = exp(-x.abs());
    (if x < 0.0 { e } else { 1.0 }) / (1.0 + e)
}

/// `x * sigmoid(x)`. Max error 4 ULP where the result is normal; NaN for -infinity.
#[inline(always)]
pub(crate) fn silu(x: f32) -> f32 {
    x * sigmoid(x)
}

/// `x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))`, which equals `x * sigmoid` of twice the argument. Max error
/// `3e-7 |x|` plus the rounding of a subnormal (relative error grows in the far negative tail, where the result is near 0); NaN for -infinity.
#[inline(always)]
pub(crate) fn gelu_tanh(x: f32) -> f32 {
    // 2 sqrt(2/pi), and that times 0.044715
    x * sigmoid(x * (x * x).mul_add(0.071_354_814, 1.595_769_2))
}

/// `ln(1 + e^x)`. Max error 3 ULP.
#[inline(always)]
pub(crate) fn softplus(x: f32) -> f32 {
    let e = exp(-x.abs());
    // ln(1 + e) = 2 atanh(s)
    let s = e / (2.0 + e);
    let z = s * s;
    let q = 0.121_231_8f32
        .mul_add(z, 0.107_218_586)
        .mul_add(z, 0.143_076_09)
        .mul_add(z, 0.199_994_74)
        .mul_add(z, 0.333_333_37);
    let double = s + s;
    let log = (double * z).mul_add(q, double);
    (if x > 0.0 { x } else { 0.0 }) + log
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Case {
        name: &'static str,
        ours: fn(f32) -> f32,
        exact: fn(f64) -> f64,
        max_ulps: f64,
    }

    fn exact_softplus(x: f64) -> f64 {
        x.max(0.0) + (-x.abs()).exp().ln_1p()
    }

    fn exact_sigmoid(x: f64) -> f64 {
        if x < 0.0 { x.exp() / (1.0 + x.exp()) } else { 1.0 / (1.0 + (-x).exp()) }
    }

    const CASES: [Case; 5] = [
        Case { name: "exp", ours: exp, exact: f64::exp, max_ulps: 1.1 },
        Case { name: "tanh", ours: tanh, exact: f64::tanh, max_ulps: 2.0 },
        Case { name: "sigmoid", ours: sigmoid, exact: exact_sigmoid, max_ulps: 3.0 },
        Case { name: "silu", ours: silu, exact: |x| x * exact_sigmoid(x), max_ulps: 4.0 },
        Case { name: "softplus", ours: softplus, exact: exact_softplus, max_ulps: 3.0 },
    ];

    /// Distance in units of the last place of the exact value as an f32.
    fn ulps(ours: f32, exact: f64) -> f64 {
        let rounded = exact as f32;
        if ours == rounded || (ours.is_nan() && rounded.is_nan()) {
            return 0.0;
        }
        let below = f32::from_bits(rounded.abs().min(f32::MAX).to_bits());
        let ulp =
            f64::from(f32::from_bits(below.to_bits().max(1))) - f64::from(f32::from_bits(below.to_bits().max(1) - 1));
        (f64::from(ours) - exact).abs() / ulp
    }

    /// A sample of the floats; Miri, which interprets, takes a smaller one.
    const STEP: usize = if cfg!(miri) { 10_000_019 } else { 1009 };

    /// Checks every `step`-th float of both signs and returns the largest error of each case.
    fn sweep(step: usize) {
        for case in CASES {
            let mut worst = (0.0, 0.0);
            for bits in (0..=f32::INFINITY.to_bits()).step_by(step) {
                for x in [f32::from_bits(bits), -f32::from_bits(bits)] {
                    // silu(-inf) is -inf * 0; a silu below the normal range inherits the rounding of a subnormal sigmoid
                    let exact = (case.exact)(f64::from(x));
                    if case.name == "silu" && (x == f32::NEG_INFINITY || (x < -80.0 && exact.abs() < 1e-36)) {
                        continue;
                    }
                    let error = ulps((case.ours)(x), exact);
                    if error > worst.0 {
                        worst = (error, x);
                    }
                }
            }
            println!("{}: {:.3} ULP at {:e}", case.name, worst.0, worst.1);
            assert!(worst.0 <= case.max_ulps, "{}: {} ULP at {:e}", case.name, worst.0, worst.1);
        }
    }

    #[test]
    fn errors_stay_within_the_stated_bounds() {
        sweep(STEP);
    }

    #[test]
    #[ignore = "every float there is: minutes"]
    fn errors_stay_within_the_stated_bounds_for_every_float() {
        sweep(1);
    }

    #[test]
    fn gelu_stays_within_its_bound() {
        for bits in (0..f32::INFINITY.to_bits()).step_by(STEP) {
            for x in [f32::from_bits(bits), -f32::from_bits(bits)] {
                let wide = f64::from(x);
                let exact = 0.5
                    * wide
                    * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (wide + 0.044715 * wide.powi(3))).tanh());
                let error = (f64::from(gelu_tanh(x)) - exact).abs();
                assert!(error <= 3e-7 * wide.abs() + f64::from(f32::from_bits(1)), "{x:e}: off by {error:e}");
            }
        }
    }

    #[test]
    fn ends_and_nan_are_defined() {
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert_eq!(exp(0.0), 1.0);
        assert_eq!((tanh(f32::INFINITY), tanh(f32::NEG_INFINITY)), (1.0, -1.0));
        assert_eq!(tanh(-0.0).to_bits(), (-0.0f32).to_bits());
        assert_eq!((sigmoid(f32::INFINITY), sigmoid(f32::NEG_INFINITY)), (1.0, 0.0));
        assert_eq!((softplus(f32::INFINITY), softplus(f32::NEG_INFINITY)), (f32::INFINITY, 0.0));
        for of in [exp, tanh, sigmoid, silu, gelu_tanh, softplus] {
            assert!(of(f32::NAN).is_nan());
        }
    }
}
