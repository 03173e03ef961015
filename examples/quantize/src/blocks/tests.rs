//! Blocks against those of llama.cpp's quantizers for the same values.

use sprat_kernels::{Format, Isa};

use super::*;

/// `len` values of nearly normal distribution (sums of four even ones), exact in f32 and the same everywhere: splitmix64
/// from state 0.
fn values(len: usize) -> Vec<f32> {
    let mut state = 0u64;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let mut value = || {
        let z = next();
        let sum: u64 = (0..4).map(|i| (z >> (16 * i)) & 0xffff).sum();
        (sum as f32 - 131_070.0) / 65_536.0
    };
    (0..len).map(|_| value()).collect()
}

fn round_trip(kind: TensorKind, format: Format, values: &[f32]) -> Vec<f32> {
    let bytes = quantize(kind, values).expect("whole blocks");
    let mut out = vec![0.0; values.len()];
    Isa::detect().dequantize(format, &bytes, &mut out);
    out
}

fn relative_rms(values: &[f32], found: &[f32]) -> f64 {
    let squares = |it: &mut dyn Iterator<Item = f64>| it.map(|v| v * v).sum::<f64>();
    let error = squares(&mut values.iter().zip(found).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    (error / squares(&mut values.iter().map(|v| f64::from(*v)))).sqrt()
}

/// FNV-1a, 64 bits.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}

/// What `quantize_row_*_ref` of llama.cpp (llama-cpp-python 0.3.36) makes of `values(16384)`.
struct Case {
    kind: TensorKind,
    format: Format,
    /// Relative RMS error of its blocks.
    rms: f64,
    /// How much larger ours may be.
    within: f64,
    /// Hash of its bytes, where the format has one right rounding.
    hash: Option<u64>,
}

const CASES: [Case; 7] = [
    Case {
        kind: TensorKind::Q8_0,
        format: Format::Q8_0,
        rms: 0.005083,
        within: 1.01,
        hash: Some(0xe925_12c0_ae4e_0f3b),
    },
    Case {
        kind: TensorKind::Q4_0,
        format: Format::Q4_0,
        rms: 0.081857,
        within: 1.01,
        hash: Some(0x0e0e_7fc6_bff1_1500),
    },
    Case {
        kind: TensorKind::Q5_0,
        format: Format::Q5_0,
        rms: 0.040656,
        within: 1.01,
        hash: Some(0x7437_c400_a981_1532),
    },
    Case {
        kind: TensorKind::Q5_1,
        format: Format::Q5_1,
        rms: 0.036568,
        within: 1.01,
        hash: Some(0x2f31_421b_9974_cd3d),
    },
    // Scales of the K-formats are searched for; there are several good ones.
    Case { kind: TensorKind::Q4_K, format: Format::Q4_K, rms: 0.068890, within: 1.01, hash: None },
    Case { kind: TensorKind::Q5_K, format: Format::Q5_K, rms: 0.034664, within: 1.01, hash: None },
    // llama.cpp tries 19 scales for each sixteen values of Q6_K, candle fewer: 2.8 % more error, still half of Q5_K's.
    Case { kind: TensorKind::Q6_K, format: Format::Q6_K, rms: 0.016988, within: 1.03, hash: None },
];

#[test]
fn blocks_are_as_good_as_those_of_llama_cpp() {
    let values = values(16384);
    for case in CASES {
        let found = relative_rms(&values, &round_trip(case.kind, case.format, &values));
        println!("{}: relative RMS error {found:.6}, llama.cpp's {:.6}", case.kind, case.rms);
        assert!(
            found <= case.rms * case.within && found > case.rms * 0.9,
            "{}: {found:.6} for {:.6}",
            case.kind,
            case.rms
        );
    }
}

#[test]
fn plain_blocks_are_those_of_llama_cpp_bit_for_bit() {
    let values = values(16384);
    for case in CASES {
        let Some(expected) = case.hash else { continue };
        let found = hash(&quantize(case.kind, &values).expect("whole blocks"));
        assert_eq!(found, expected, "{}", case.kind);
    }
}

#[test]
fn zeros_constants_and_extremes_come_back() {
    let mut spike = vec![0.0; 256];
    spike[100] = -MAX_WEIGHT;
    let cases =
        [("zeros", vec![0.0; 256]), ("sevens", vec![7.0; 256]), ("minus sevens", vec![-7.0; 256]), ("spike", spike)];
    for case in CASES {
        for (what, values) in &cases {
            // One block alone, and after another one that must leave no trace.
            let mut two = self::values(256);
            two.extend(values);
            for found in
                [round_trip(case.kind, case.format, values), round_trip(case.kind, case.format, &two)[256..].to_vec()]
            {
                for (expected, found) in values.iter().zip(&found) {
                    // One step of 4 bits is a fifteenth of the range.
                    let bound = values.iter().fold(0.0f32, |max, v| max.max(v.abs())) / 15.0;
                    assert!((expected - found).abs() <= bound, "{} {what}: {found} for {expected}", case.kind);
                }
            }
        }
    }
}

#[test]
fn half_precision_rounds_to_even() {
    // 1 + 2^-11 lies between 1 and 1 + 2^-10; 1 + 3 * 2^-11 between that and 1 + 2^-9.
    let bytes = quantize(TensorKind::F16, &[1.0 + 1.0 / 2048.0, 1.0 + 3.0 / 2048.0, -MAX_WEIGHT]).expect("any number");
    assert_eq!(bytes, [0x00, 0x3c, 0x02, 0x3c, 0xff, 0xfb]);
}
