//! Matmul of every instruction set: bits equal to scalar, and scalar near the exact product.

use sprat_kernels::{ActivationKind, Activations, Format, Isa, Scratch};

/// A small generator of our own: the sequence must be the same on every machine.
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Uniform in -1..1.
    fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}

/// Byte offsets of the half-precision scales inside a block.
fn scale_offsets(format: Format) -> &'static [usize] {
    match format {
        Format::Q4_0 | Format::Q5_0 | Format::Q8_0 | Format::IQ4_NL | Format::IQ4_XS => &[0],
        Format::Q4_1 | Format::Q5_1 | Format::Q4_K | Format::Q5_K => &[0, 2],
        Format::Q2_K => &[80, 82],
        Format::Q3_K => &[108],
        Format::Q6_K => &[208],
        Format::IQ1_S | Format::IQ2_XXS | Format::IQ2_XS | Format::IQ2_S | Format::IQ3_XXS | Format::IQ3_S => &[0],
        _ => &[],
    }
}

/// How the bits of a test's weights and activations are chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fill {
    Random,
    /// All weight bits 1, activations all at the positive end of the range.
    Ones,
    /// All weight bits 0, activations at the negative end.
    Zeros,
    /// The byte -128 everywhere, activations alternating.
    Alternating,
}

/// `n` rows of `k` values with finite scales.
fn weights(format: Format, n: usize, k: usize, fill: Fill, random: &mut Random) -> Vec<u8> {
    let len = n * format.row_bytes(k);
    if format.block_len() == 1 {
        return (0..n * k)
            .flat_map(|_| {
                let v = random.unit().to_le_bytes();
                match format {
                    Format::F32 => v.to_vec(),
                    Format::BF16 => v[2..].to_vec(),
                    // Any half with a small exponent is finite.
                    _ => ((random.bits() as u16) & 0xBBFF).to_le_bytes().to_vec(),
                }
            })
            .collect();
    }
    let mut w: Vec<u8> = (0..len)
        .map(|_| match fill {
            Fill::Random => random.bits() as u8,
            Fill::Ones => 0xFF,
            Fill::Zeros => 0,
            Fill::Alternating => 0x80,
        })
        .collect();
    for block in w.chunks_exact_mut(format.block_bytes()) {
        for at in scale_offsets(format) {
            // Sign and mantissa at random, magnitude below 2.
            let half = (random.bits() as u16) & 0xBFFF;
            block[*at..at + 2].copy_from_slice(&half.to_le_bytes());
        }
        if format == Format::MXFP4 {
            block[0] = 100 + (random.bits() % 40) as u8;
        }
        if format == Format::IQ1_M {
            // The half's four bits at the top are those of byte 55.
            block[55] &= 0xBF;
        }
    }
    w
}

/// Owned activations of any kind.
struct Owned {
    kind: ActivationKind,
    t: usize,
    k: usize,
    f: Vec<f32>,
    q: Vec<i8>,
    d: Vec<f32>,
    s: Vec<i16>,
    m: Vec<u16>,
}

impl Owned {
    fn new(kind: ActivationKind, t: usize, k: usize, fill: Fill, random: &mut Random) -> Self {
        let f: Vec<f32> = (0..t * k)
            .map(|i| match fill {
                Fill::Random => random.unit() * if i % 97 == 0 { 30.0 } else { 1.0 },
                Fill::Ones => 1.0,
                Fill::Zeros => -1.0,
                Fill::Alternating => 1.0 - 2.0 * (i % 2) as f32,
            })
            .collect();
        let mut owned = Self { kind, t, k, f, q: vec![], d: vec![], s: vec![], m: vec![] };
        if kind != ActivationKind::F32 {
            owned.q = vec![0; t * k];
            owned.d = vec![0.0; t * k / kind.block_len()];
            owned.s = vec![0; t * k / kind.sum_len()];
            owned.m = vec![0; kind.magnitudes(t * k)];
            let scalar = Isa::available()[0];
            scalar.quantize(kind, &owned.f, &mut owned.q, &mut owned.d, &mut owned.s, &mut owned.m);
        }
        owned
    }

    fn view(&self) -> Activations<'_> {
        match self.kind {
            ActivationKind::F32 => Activations::f32(self.t, self.k, &self.f),
            kind => Activations::quantized(kind, self.t, self.k, &self.q, &self.d, &self.s, &self.m),
        }
    }
}

/// Compares every set with scalar on one shape, bit by bit; the batch cut in other ways too.
fn compare(format: Format, n: usize, k: usize, t: usize, fill: Fill, seed: u64) {
    let mut random = Random(seed);
    let w = weights(format, n, k, fill, &mut random);
    let x = Owned::new(format.activation(), t, k, fill, &mut random);
    compare_of(format, &w, &x, &format!("{fill:?} seed {seed}"));
}

/// The same for given weights and activations.
fn compare_of(format: Format, w: &[u8], x: &Owned, what: &str) {
    let (t, k, n) = (x.t, x.k, w.len() / format.row_bytes(x.k));
    let mut scratch = Scratch::new();
    let mut want = vec![0.0; t * n];
    Isa::available()[0].matmul(format, w, &x.view(), &mut want, &mut scratch);
    for isa in &Isa::available()[1..] {
        // What a kernel leaves unwritten or reads before writing shows as a NaN.
        scratch.f32s_mut().fill(f32::NAN);
        let mut got = vec![f32::NAN; t * n];
        isa.matmul(format, w, &x.view(), &mut got, &mut scratch);
        for (i, (got, want)) in got.iter().zip(&want).enumerate() {
            assert_eq!(
                got.to_bits(),
                want.to_bits(),
                "{} {format:?} n {n} k {k} t {t} {what}: token {} row {}: {got} for {want}",
                isa.name(),
                i / n,
                i % n
            );
        }
    }
}

/// Block counts for k: quantized formats in blocks, floats with tails around the 16 lanes.
fn ks(format: Format) -> Vec<usize> {
    match format.block_len() {
        1 => vec![1, 7, 16, 31, 64, 203],
        b => vec![b, 2 * b, 8 * b],
    }
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no set but the scalar one")]
fn every_set_gives_the_bits_of_scalar() {
    for format in Format::ALL {
        for n in [1, 3, 4, 5, 15, 16, 17, 33] {
            for k in ks(format) {
                for t in [1, 2, 3, 7, 8, 16, 17, 40] {
                    // Long rows repeat what short ones show: a sample of them keeps the test short where CPUs are emulated.
                    let long = k > 2 * format.block_len() && format.block_len() > 1;
                    if !long || matches!((n, t), (1 | 17, 1 | 3 | 17) | (33, 2 | 8)) {
                        compare(format, n, k, t, Fill::Random, (n * 7 + k * 11 + t) as u64);
                    }
                }
            }
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no set but the scalar one")]
fn every_set_gives_the_bits_of_scalar_at_the_ends_of_the_range() {
    for format in Format::ALL {
        for fill in [Fill::Ones, Fill::Zeros, Fill::Alternating] {
            for t in [1, 5, 9] {
                compare(format, 18, format.block_len() * 9, t, fill, 5 + t as u64);
            }
        }
    }
}

/// Sums of products by scale fit 16 bits up to a magnitude of the activations (1023 for 16 values in Q5_K and Q6_K, 1092 in
/// Q4_K), and a kernel may count on it: levels on both sides of it, alone and beside tokens that are far from it.
#[test]
#[cfg_attr(miri, ignore = "Miri has no set but the scalar one")]
fn every_set_gives_the_bits_of_scalar_where_sums_just_fit_16_bits() {
    for format in Format::ALL.into_iter().filter(|f| f.activation() == ActivationKind::Q8_256) {
        for (fill, sign) in [(Fill::Ones, 1), (Fill::Ones, -1), (Fill::Zeros, 1), (Fill::Zeros, -1)] {
            for level in [63, 64, 68, 69] {
                let (t, k) = (34, 512);
                let w = weights(format, 33, k, fill, &mut Random(3));
                let levels: Vec<i8> =
                    (0..t * k / 256).map(|block| if block % 9 == 0 { 3 } else { sign * level }).collect();
                let x = Owned {
                    kind: ActivationKind::Q8_256,
                    t,
                    k,
                    f: vec![],
                    q: levels.iter().flat_map(|&q| [q; 256]).collect(),
                    d: vec![0.5; t * k / 256],
                    s: levels.iter().flat_map(|&q| [16 * i16::from(q); 16]).collect(),
                    m: levels.iter().map(|q| 16 * u16::from(q.unsigned_abs())).collect(),
                };
                compare_of(format, &w, &x, &format!("{fill:?} level {level} sign {sign}"));
            }
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no set but the scalar one")]
fn every_set_gives_the_bits_of_scalar_when_k_takes_several_pieces() {
    for format in Format::ALL {
        let k = if format.block_len() == 1 { 4100 } else { 4096 + 512 };
        for (n, t) in [(9, 1), (33, 4), (34, 14), (70, 25)] {
            // The largest case matters for the formats whose panels are largest, and costs as much as all others.
            if n == 70 && !matches!(format, Format::Q4_0 | Format::Q5_1 | Format::Q5_K | Format::Q6_K) {
                continue;
            }
            compare(format, n, k, t, Fill::Random, (n + t) as u64);
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no set but the scalar one")]
fn every_set_gives_the_bits_of_scalar_for_a_long_batch() {
    for format in Format::ALL {
        compare(format, 5, 256, 601, Fill::Random, 77);
    }
}

/// The bound is the rounding of k / 16 (floats) or 2 k / 32 (blocks) additions of terms no larger than the sum of
/// magnitudes.
#[test]
fn scalar_is_near_the_exact_product() {
    for format in Format::ALL {
        // Miri interprets: the shortest row of every format.
        let (n, k, t) = if cfg!(miri) { (2, 256, 1) } else { (3, 1024, 2) };
        let mut random = Random(9);
        let w = weights(format, n, k, Fill::Random, &mut random);
        let x = Owned::new(format.activation(), t, k, Fill::Random, &mut random);
        let mut scratch = Scratch::new();
        let mut got = vec![0.0; t * n];
        Isa::available()[0].matmul(format, &w, &x.view(), &mut got, &mut scratch);
        let mut row = vec![0.0; k];
        for r in 0..n {
            Isa::detect().dequantize(format, &w[r * format.row_bytes(k)..][..format.row_bytes(k)], &mut row);
            for token in 0..t {
                let (mut exact, mut magnitude) = (0.0f64, 0.0f64);
                for (i, &row) in row.iter().enumerate() {
                    let at = token * k + i;
                    let a = match x.kind {
                        ActivationKind::F32 => f64::from(x.f[at]),
                        kind => f64::from(x.d[at / kind.block_len()]) * f64::from(x.q[at]),
                    };
                    exact += f64::from(row) * a;
                    magnitude += (f64::from(row) * a).abs();
                }
                let bound = magnitude * 64.0 * f64::from(f32::EPSILON);
                let error = (f64::from(got[token * n + r]) - exact).abs();
                assert!(error <= bound, "{format:?} token {token} row {r}: error {error} over {bound}");
            }
        }
    }
}

#[test]
fn every_set_quantizes_to_the_bits_of_scalar() {
    for kind in [ActivationKind::Q8_32, ActivationKind::Q8_256] {
        for blocks in [0, 1, 2, 5] {
            let n = blocks * kind.block_len();
            let mut random = Random(31 + blocks as u64);
            let mut x: Vec<f32> = (0..n).map(|_| random.unit() * 3.0).collect();
            let special = [0.0, -0.0, 1e-42, f32::NAN, 0.5, 2.5, 127.0, -127.0];
            for (x, s) in x.iter_mut().skip(8).zip(special) {
                *x = s;
            }
            for scale in [1.0, 0.0, 1e-40, 1e30] {
                let x: Vec<f32> = x.iter().map(|x| x * scale).collect();
                let run = |isa: &Isa| {
                    let (mut q, mut d) = (vec![99; n], vec![9.0; n / kind.block_len()]);
                    let mut s = vec![99; n / kind.sum_len()];
                    let mut m = vec![9; kind.magnitudes(n)];
                    isa.quantize(kind, &x, &mut q, &mut d, &mut s, &mut m);
                    (q, d.iter().map(|d| d.to_bits()).collect::<Vec<_>>(), s, m)
                };
                let want = run(Isa::available()[0]);
                for isa in Isa::available() {
                    assert_eq!(run(isa), want, "{} {kind:?} blocks {blocks} scale {scale}", isa.name());
                }
            }
        }
    }
}

#[test]
fn quantizing_keeps_the_largest_value_and_rounds_ties_to_even() {
    let mut x = [0.0f32; 32];
    x[..6].copy_from_slice(&[127.0, 0.5, 1.5, -2.5, -127.0, 3.49]);
    let (mut q, mut d, mut s) = ([0i8; 32], [0.0f32; 1], [0i16; 1]);
    Isa::detect().quantize(ActivationKind::Q8_32, &x, &mut q, &mut d, &mut s, &mut []);
    assert_eq!((d, s), ([1.0], [3]));
    assert_eq!(q[..6], [127, 0, 2, -2, -127, 3]);
}

#[test]
fn an_empty_problem_writes_nothing_and_k_zero_gives_zeros() {
    let mut scratch = Scratch::new();
    for isa in Isa::available() {
        isa.matmul(Format::F32, &[0; 8], &Activations::f32(0, 2, &[]), &mut [], &mut scratch);
        isa.matmul(
            Format::Q4_0,
            &[],
            &Activations::quantized(ActivationKind::Q8_32, 1, 32, &[0; 32], &[0.0], &[0], &[]),
            &mut [],
            &mut scratch,
        );
        let mut out = [5.0; 3];
        isa.matmul(Format::F32, &[], &Activations::f32(1, 0, &[]), &mut out, &mut scratch);
        assert_eq!(out, [0.0; 3]);
    }
}
