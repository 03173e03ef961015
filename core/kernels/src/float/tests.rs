//! Every set against scalar by bits, and scalar against plain f64 formulas.

use half::f16;

use super::*;

/// Around the width of vectors, and long ones; Miri, which interprets, does without those.
const SIZES: &[usize] = ALL_SIZES.split_at(if cfg!(miri) { 10 } else { 13 }).0;

const ALL_SIZES: [usize; 13] = [0, 1, 2, 7, 8, 9, 15, 16, 17, 37, 100, 129, 2048];

/// Numbers from a fixed seed (xorshift64*), and the odd special one if asked.
pub(crate) struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Evenly spread over `-size..size`.
    pub fn float(&mut self, size: f32) -> f32 {
        ((self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0) * size
    }

    pub fn floats(&mut self, n: usize, size: f32) -> Vec<f32> {
        (0..n).map(|_| self.float(size)).collect()
    }

    /// Every kind of float: any bit pattern.
    pub fn bits(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| f32::from_bits((self.next() >> 32) as u32)).collect()
    }
}

/// Bits, with all NaNs alike: their payload is not promised.
pub(crate) fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() }).collect()
}

const ACTIVATIONS: [Activation; 6] = [
    Activation::Silu,
    Activation::GeluTanh,
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::Softplus,
    Activation::Exp,
];

/// Runs every kernel on the given rows and returns all results.
fn everything(isa: &Isa, x: &[f32], y: &[f32], z: &[f32]) -> Vec<(String, Vec<f32>)> {
    let n = x.len();
    let mut results = Vec::new();
    let mut run = |name: &str, f: &dyn Fn(&mut [f32])| {
        let mut out = x.to_vec();
        f(&mut out);
        results.push((name.to_owned(), out));
    };
    run("rms_norm", &|out| isa.rms_norm(x, Some(y), 1e-5, out));
    run("rms_norm without weight", &|out| isa.rms_norm(x, None, 1e-5, out));
    run("layer_norm", &|out| isa.layer_norm(x, Some(y), Some(z), 1e-5, out));
    run("layer_norm without weight", &|out| isa.layer_norm(x, None, None, 1e-5, out));
    run("length", &|out| out.fill(isa.length(x)));
    run("cutoff", &|out| out.fill(isa.cutoff(x, 1.5)));
    run("subtract_and_clip", &|out| isa.subtract_and_clip(out, 0.3));
    for turned in [n / 2, n / 4] {
        for pairing in [Pairing::Adjacent, Pairing::Halves] {
            let name = format!("rope {pairing:?} {turned}");
            run(&name, &|out| isa.rope(out, &y[..turned], &z[..turned], pairing));
        }
    }
    for f in ACTIVATIONS {
        run(&format!("{f:?}"), &|out| isa.activate(f, out));
        run(&format!("gated {f:?}"), &|out| isa.gated(f, out, y));
    }
    run("gated_clamped", &|out| isa.gated_clamped(out, y));
    run("add", &|out| isa.add(out, y));
    run("multiply", &|out| isa.multiply(out, y));
    run("scale", &|out| isa.scale(out, 0.3));
    run("add_scaled", &|out| isa.add_scaled(out, y, 0.3));
    run("softmax", &|out| isa.softmax(out));
    run("soft_cap", &|out| isa.soft_cap(out, 30.0));
    run("f16", &|out| {
        let mut half = vec![0; n];
        isa.store_f16(x, &mut half);
        isa.load_f16(&half, out);
    });
    results
}

#[test]
fn every_set_gives_the_bits_of_scalar() {
    let mut random = Random(7);
    let scalar = Isa::available()[0];
    for &n in SIZES {
        let plain = [random.floats(n, 4.0), random.floats(n, 2.0), random.floats(n, 1.0)];
        let wild = [random.bits(n), random.floats(n, 2.0), random.bits(n)];
        for [x, y, z] in [plain, wild] {
            let expected = everything(scalar, &x, &y, &z);
            for isa in Isa::available() {
                for (found, expected) in everything(isa, &x, &y, &z).iter().zip(&expected) {
                    let name = (isa.name(), n, &expected.0);
                    assert_eq!(bits(&found.1), bits(&expected.1), "{name:?}");
                }
            }
        }
    }
}

#[test]
fn every_half_precision_number_is_widened_and_stored_as_by_the_half_crate() {
    // All of them; of so many Miri, which interprets, takes one.
    let sample = if cfg!(miri) { 997 } else { 1 };
    let all: Vec<u16> = (0..=u16::MAX).step_by(sample).collect();
    let mut random = Random(8);
    // The midpoints between neighbours, where rounding decides, and anything else.
    let mut floats: Vec<f32> = (0..0x7c00u16)
        .step_by(sample)
        .map(|h| (f16::from_bits(h).to_f32() + f16::from_bits(h + 1).to_f32()) / 2.0)
        .flat_map(|x| [x, -x, x.next_up(), x.next_down()])
        .collect();
    floats.extend(random.bits(100_000 / sample));
    for isa in Isa::available() {
        let mut wide = vec![0.0; all.len()];
        isa.load_f16(&all, &mut wide);
        let expected: Vec<f32> = all.iter().map(|&h| f16::from_bits(h).to_f32()).collect();
        assert_eq!(bits(&wide), bits(&expected), "{}", isa.name());
        let mut half = vec![0; floats.len()];
        isa.store_f16(&floats, &mut half);
        for (&x, &h) in floats.iter().zip(&half) {
            let same = if x.is_nan() { f16::from_bits(h).is_nan() } else { h == f16::from_f32(x).to_bits() };
            assert!(same, "{}: {x:e} became {h:#x}", isa.name());
        }
    }
}

/// Compares with an f64 formula: absolute error relative to the largest value.
fn close(name: &str, found: &[f32], exact: &[f64], bound: f64) {
    let size = exact.iter().fold(1e-30f64, |size, x| size.max(x.abs()));
    for (i, (&found, exact)) in found.iter().zip(exact).enumerate() {
        let error = (f64::from(found) - exact).abs() / size;
        assert!(error <= bound, "{name} [{i}]: {found:e}, exact {exact:e}");
    }
}

// The bounds: a sum of n <= 2048 products in 16 chains rounds at most 128 + 4 times, 132 * 2^-24 = 8e-6; halved by the
// square root. Elementwise results round a handful of times.

#[test]
fn norms_agree_with_the_formulas() {
    let mut random = Random(9);
    let isa = Isa::detect();
    for n in SIZES.iter().copied().filter(|&n| n > 0) {
        let (x, w, b) = (random.floats(n, 4.0), random.floats(n, 2.0), random.floats(n, 1.0));
        let wide: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
        let mut out = vec![0.0; n];
        isa.rms_norm(&x, Some(&w), 1e-6, &mut out);
        let mean = wide.iter().map(|x| x * x).sum::<f64>() / n as f64;
        let exact: Vec<f64> = wide.iter().zip(&w).map(|(x, &w)| x / (mean + 1e-6).sqrt() * f64::from(w)).collect();
        close("rms_norm", &out, &exact, 5e-6);

        isa.layer_norm(&x, Some(&w), Some(&b), 1e-2, &mut out);
        let mean = wide.iter().sum::<f64>() / n as f64;
        let var = wide.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
        let unit = wide.iter().map(|x| (x - mean) / (var + 1e-2).sqrt());
        let exact: Vec<f64> = unit.zip(&w).zip(&b).map(|((x, &w), &b)| x * f64::from(w) + f64::from(b)).collect();
        close("layer_norm", &out, &exact, 1e-5);
    }
}

#[test]
fn lengths_and_cutoffs_agree_with_the_formulas() {
    let mut random = Random(14);
    let isa = Isa::detect();
    for n in SIZES.iter().copied().filter(|&n| n > 1) {
        let x = random.floats(n, 4.0);
        let wide: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
        close("length", &[isa.length(&x)], &[wide.iter().map(|x| x * x).sum::<f64>().sqrt()], 5e-6);
        let mean = wide.iter().sum::<f64>() / n as f64;
        let deviation = (wide.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1) as f64).sqrt();
        // Relative to the values, which may have a cutoff near 0.
        let found = isa.cutoff(&x, 1.645);
        assert!((f64::from(found) - (mean + 1.645 * deviation)).abs() <= 1e-5 * 4.0, "cutoff of {n}: {found}");
    }
    assert_eq!((isa.length(&[]), isa.cutoff(&[2.5], 3.0)), (0.0, 2.5));
    let mut x = [-1.0, 0.5, 2.0, f32::NAN, f32::INFINITY];
    isa.subtract_and_clip(&mut x, 0.5);
    assert_eq!(x, [0.0, 0.0, 1.5, 0.0, f32::INFINITY]);
}

#[test]
fn rope_turns_each_pair_and_leaves_the_rest() {
    let isa = Isa::detect();
    let (cos, sin) = ([0.6, 0.0, -1.0], [0.8, 1.0, 0.0]);
    let mut head = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
    isa.rope(&mut head, &cos, &sin, Pairing::Adjacent);
    close("adjacent", &head, &[-1.0, 2.0, -4.0, 3.0, -5.0, -6.0, 7.0, 8.0], 1e-6);
    let mut head = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
    isa.rope(&mut head, &cos, &sin, Pairing::Halves);
    close("halves", &head, &[-2.6, -5.0, -3.0, 3.2, 2.0, -6.0, 7.0, 8.0], 1e-6);
}

#[test]
fn softmax_agrees_with_the_formula_and_defines_its_ends() {
    let mut random = Random(10);
    let isa = Isa::detect();
    for n in SIZES.iter().copied().filter(|&n| n > 0) {
        let x = random.floats(n, 10.0);
        let mut out = x.clone();
        isa.softmax(&mut out);
        let max = f64::from(x.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let exact: Vec<f64> = x.iter().map(|&x| (f64::from(x) - max).exp()).collect();
        let sum: f64 = exact.iter().sum();
        close("softmax", &out, &exact.iter().map(|x| x / sum).collect::<Vec<_>>(), 1e-5);
    }
    let mut masked = [f32::NEG_INFINITY, 0.0, f32::NEG_INFINITY];
    isa.softmax(&mut masked);
    assert_eq!(masked, [0.0, 1.0, 0.0]);
    let mut nothing = [f32::NEG_INFINITY; 3];
    isa.softmax(&mut nothing);
    assert_eq!(nothing, [0.0; 3]);
    let mut poisoned = [0.0, f32::NAN, 1.0];
    isa.softmax(&mut poisoned);
    assert!(poisoned.iter().all(|x| x.is_nan()));
}

#[test]
fn soft_cap_and_gates_agree_with_the_formulas() {
    let mut random = Random(11);
    let isa = Isa::detect();
    let n = if cfg!(miri) { 100 } else { 1000 };
    let (x, y) = (random.floats(n, 90.0), random.floats(n, 2.0));
    let mut out = x.clone();
    isa.soft_cap(&mut out, 50.0);
    let exact: Vec<f64> = x.iter().map(|&x| 50.0 * (f64::from(x) / 50.0).tanh()).collect();
    close("soft_cap", &out, &exact, 3e-7);
    let mut out = x.clone();
    isa.gated(Activation::Silu, &mut out, &y);
    let exact: Vec<f64> =
        x.iter().zip(&y).map(|(&x, &y)| f64::from(x) / (1.0 + (-f64::from(x)).exp()) * f64::from(y)).collect();
    close("gated silu", &out, &exact, 3e-7);
    let mut out = x.clone();
    let up: Vec<f32> = y.iter().map(|y| y * 5.0).collect();
    isa.gated_clamped(&mut out, &up);
    let clamped = |(&g, &u): (&f32, &f32)| {
        let (g, u) = (f64::from(g).min(7.0), f64::from(u).clamp(-7.0, 7.0));
        g / (1.0 + (-1.702 * g).exp()) * (u + 1.0)
    };
    close("gated_clamped", &out, &x.iter().zip(&up).map(clamped).collect::<Vec<_>>(), 3e-7);
}

#[test]
fn sums_have_the_canonical_order() {
    let mut random = Random(12);
    for n in SIZES.iter().copied().filter(|&n| n > 0) {
        let x = random.floats(n, 4.0);
        let mut lanes = [0.0f32; 16];
        for (i, &x) in x.iter().enumerate() {
            lanes[i % 16] = x.mul_add(x, lanes[i % 16]);
        }
        for half in [8, 4, 2, 1] {
            for i in 0..half {
                lanes[i] += lanes[i + half];
            }
        }
        let inverse = 1.0 / (lanes[0] / n as f32 + 1e-6).sqrt();
        let expected: Vec<f32> = x.iter().map(|x| x * inverse).collect();
        for isa in Isa::available() {
            let mut out = vec![0.0; n];
            isa.rms_norm(&x, None, 1e-6, &mut out);
            assert_eq!(bits(&out), bits(&expected), "{} n {n}", isa.name());
        }
    }
}
