//! Random rows of every format, and what they mean according to the kernels for CPUs, which were tested against other tools.

use half::f16;
use sprat_kernels::Isa;
use sprat_metal::{Format, Matrix};

/// SplitMix64 (Steele, Lea, Flood 2014).
pub struct Random(pub u64);

impl Random {
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In -1..1.
    pub fn float(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    pub fn floats(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.float()).collect()
    }
}

/// A model file in the making, and the values of what is in it.
#[derive(Default)]
pub struct File {
    pub bytes: Vec<u8>,
}

impl File {
    /// Appends random rows at an odd multiple of 2, the least alignment a kernel must take.
    pub fn matrix(&mut self, format: Format, rows: u32, cols: u32, random: &mut Random) -> (Matrix, Vec<Vec<f32>>) {
        let align = if format == Format::F32 { 4 } else { 2 };
        while self.bytes.len() % (2 * align) != align {
            self.bytes.push(0xff);
        }
        let offset = self.bytes.len();
        let matrix = Matrix { format, rows, cols, offset: offset as u64 };
        let (_, block_bytes) = format.block();
        for _ in 0..matrix.bytes() / u64::from(block_bytes) {
            let block = block(format, random);
            self.bytes.extend(block);
        }
        let values = self.bytes[offset..].chunks_exact(format.row_bytes(cols) as usize);
        let values = values.map(|row| dequantized(format, row, cols as usize)).collect();
        (matrix, values)
    }

    /// Appends a vector of f32.
    pub fn vector(&mut self, values: &[f32]) -> u64 {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0xff);
        let offset = self.bytes.len() as u64;
        self.bytes.extend(values.iter().flat_map(|x| x.to_le_bytes()));
        offset
    }
}

/// Random bits with scales of either sign near 0.01.
fn block(format: Format, random: &mut Random) -> Vec<u8> {
    let (_, bytes) = format.block();
    let mut block: Vec<u8> = (0..bytes).map(|_| random.bits() as u8).collect();
    let halves: &[usize] = match format {
        Format::F32 => {
            return (0..16).flat_map(|_| random.float().to_le_bytes()).collect();
        }
        Format::F16 => {
            return (0..16).flat_map(|_| f16::from_f32(random.float()).to_le_bytes()).collect();
        }
        Format::BF16 => {
            return (0..16).flat_map(|_| half::bf16::from_f32(random.float()).to_le_bytes()).collect();
        }
        Format::Q4_0 | Format::Q5_0 | Format::Q8_0 | Format::IQ4_NL => &[0],
        Format::Q4_1 | Format::Q5_1 | Format::Q4_K | Format::Q5_K => &[0, 2],
        Format::Q6_K => &[208],
    };
    for &at in halves {
        block[at..at + 2].copy_from_slice(&f16::from_f32(0.01 * random.float()).to_le_bytes());
    }
    block
}

fn dequantized(format: Format, row: &[u8], cols: usize) -> Vec<f32> {
    let mut values = vec![0.0; cols];
    let same = sprat_kernels::Format::ALL.into_iter().find(|other| format!("{other:?}") == format!("{format:?}"));
    Isa::available()[0].dequantize(same.expect("the CPU has every format"), row, &mut values);
    values
}

pub fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// `x * weight / sqrt(mean(x²) + eps)`.
pub fn rms_norm(x: &[f32], weight: &[f32], eps: f32) -> Vec<f32> {
    let scale = 1.0 / (dot(x, x) / x.len() as f64 + f64::from(eps)).sqrt();
    x.iter().zip(weight).map(|(x, w)| (f64::from(*x) * scale) as f32 * w).collect()
}

pub fn silu(x: f64) -> f64 {
    x / (1.0 + (-x).exp())
}

/// The tanh form.
pub fn gelu(x: f64) -> f64 {
    0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh())
}

/// Fails where a value is further than 1e-3 of the largest from what it should be; NaN is.
#[track_caller]
pub fn assert_near(what: &str, found: &[f32], expected: &[f32]) {
    let worst = worst(found, expected);
    assert!(worst <= 1e-3, "{what}: off by {worst:e} of the largest value");
}

/// The largest difference in units of the largest value; infinite where something is no number.
pub fn worst(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len(), "as many values");
    let largest = expected.iter().fold(f32::MIN_POSITIVE, |m, x| m.max(x.abs()));
    let off = |(found, expected): (&f32, &f32)| if found.is_nan() { f32::INFINITY } else { (found - expected).abs() };
    found.iter().zip(expected).map(off).fold(0.0, f32::max) / largest
}
