//! How a key or a value lies in the cache, and how it gets there.

use half::f16;

use crate::activations::ActivationKind;
use crate::attention::MAX_HEAD_DIM;
use crate::format::Format;
use crate::isa::Isa;

/// Values per scale of the quantized formats.
pub(crate) const BLOCK: usize = 32;

/// How keys and values are stored. What is stored widens to f32 exactly; only storing rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum KvFormat {
    /// Half precision, one `u16` a value.
    #[default]
    F16,
    /// Blocks of 32 as in a file: a half-precision scale and 8-bit integers, 17 `u16` each.
    Q8_0,
    /// Blocks of 32 as in a file: a half-precision scale and 4-bit integers, 9 `u16` each.
    Q4_0,
}

impl KvFormat {
    /// Length in `u16` of one position's vector of `dim` values.
    pub const fn row_len(self, dim: usize) -> usize {
        match self {
            Self::F16 => dim,
            Self::Q8_0 => dim / BLOCK * 17,
            Self::Q4_0 => dim / BLOCK * 9,
        }
    }

    /// What the length of a vector must be a multiple of.
    pub const fn multiple(self) -> usize {
        match self {
            Self::F16 => 8,
            Self::Q8_0 | Self::Q4_0 => BLOCK,
        }
    }
}

impl Isa {
    /// Stores a key or value `x` `[dim]` as `out` `[row_len(dim)]`. F16: nearest, ties to even. Q8_0: `d = max|x| / 127`,
    /// `q = round_ties_even(x * (1 / d))`. Q4_0: `d = m / -8` of the value `m` that is farthest from 0,
    /// `q = min(15, trunc(x * (1 / d) + 8.5))`. Both store `d` rounded to f16 (source: ggml's reference quantizers).
    /// Panics if a length does not fit or `dim` is above `MAX_HEAD_DIM`.
    pub fn store_kv(&self, format: KvFormat, x: &[f32], out: &mut [u16]) {
        assert!(x.len() <= MAX_HEAD_DIM && x.len().is_multiple_of(format.multiple()), "store_kv: x is a head");
        assert_eq!(out.len(), format.row_len(x.len()), "store_kv: out is [row_len(dim)]");
        match format {
            KvFormat::F16 => self.store_f16(x, out),
            KvFormat::Q8_0 => self.store_q8_0(x, out),
            KvFormat::Q4_0 => {
                for (x, out) in x.as_chunks().0.iter().zip(out.as_chunks_mut().0) {
                    *out = q4_0(x);
                }
            }
        }
    }

    /// The values `[dim]` of a key or value that [`Isa::store_kv`] stored, exactly. Panics as it does.
    pub fn load_kv(&self, format: KvFormat, row: &[u16], x: &mut [f32]) {
        assert!(x.len() <= MAX_HEAD_DIM && x.len().is_multiple_of(format.multiple()), "load_kv: x is a head");
        assert_eq!(row.len(), format.row_len(x.len()), "load_kv: row is [row_len(dim)]");
        let blocks = match format {
            KvFormat::F16 => Format::F16,
            KvFormat::Q8_0 => Format::Q8_0,
            KvFormat::Q4_0 => Format::Q4_0,
        };
        let mut bytes = [0; 2 * MAX_HEAD_DIM];
        let bytes = &mut bytes[..2 * row.len()];
        for (bytes, row) in bytes.as_chunks_mut().0.iter_mut().zip(row) {
            *bytes = row.to_le_bytes();
        }
        self.dequantize(blocks, bytes, x);
    }

    fn store_q8_0(&self, x: &[f32], out: &mut [u16]) {
        let (mut q, mut d) = ([0; MAX_HEAD_DIM], [0.0; MAX_HEAD_DIM / BLOCK]);
        let (q, d) = (&mut q[..x.len()], &mut d[..x.len() / BLOCK]);
        self.quantize(ActivationKind::Q8_32, x, q, d, &mut [0; MAX_HEAD_DIM / BLOCK][..x.len() / BLOCK], &mut []);
        for ((q, d), out) in q.chunks_exact(BLOCK).zip(d).zip(out.chunks_exact_mut(17)) {
            out[0] = f16::from_f32(*d).to_bits();
            for (pair, out) in q.as_chunks::<2>().0.iter().zip(&mut out[1..]) {
                *out = u16::from_le_bytes(pair.map(|q| q as u8));
            }
        }
    }
}

/// One block: byte j holds value j in its low and value j + 16 in its high half.
fn q4_0(x: &[f32; BLOCK]) -> [u16; 9] {
    let farthest = x.iter().fold(0.0f32, |m, &x| if x.abs() > m.abs() { x } else { m });
    let d = farthest / -8.0;
    let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
    let code = |x: f32| ((x * inverse + 8.5) as u8).min(15);
    let mut out = [f16::from_f32(d).to_bits(); 9];
    for (j, out) in out[1..].iter_mut().enumerate() {
        *out = u16::from_le_bytes([2 * j, 2 * j + 1].map(|j| code(x[j]) | code(x[j + 16]) << 4));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two blocks of numbers that f32 holds exactly.
    fn numbers() -> Vec<f32> {
        (0..64).map(|i| ((i * 37 % 101) as f32 - 48.0) / 64.0 * if i < 32 { 1.0 } else { -3.0 }).collect()
    }

    fn stored(isa: &Isa, format: KvFormat, x: &[f32]) -> String {
        let mut out = vec![0xffff; format.row_len(x.len())];
        isa.store_kv(format, x, &mut out);
        out.iter().flat_map(|x| x.to_le_bytes()).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Expected: `gguf.quants.quantize(x, type)` of the Python package gguf 0.19.0.
    #[test]
    fn blocks_are_those_of_the_gguf_package() {
        let x = numbers();
        for isa in Isa::available() {
            assert_eq!(stored(isa, KvFormat::Q8_0, &x), Q8, "{}", isa.name());
            assert_eq!(stored(isa, KvFormat::Q4_0, &x), Q4, "{}", isa.name());
            assert_eq!(stored(isa, KvFormat::Q4_0, &[0.0; 32]), "0080".to_owned() + &"88".repeat(16));
            assert_eq!(stored(isa, KvFormat::Q8_0, &[0.0; 32]), "00".repeat(34));
        }
    }

    #[test]
    fn what_was_stored_comes_back_within_a_step() {
        let x = numbers();
        // Half a step, or a whole one at the end of Q4_0 that lacks one; a scale has 11 bits.
        let cases = [(KvFormat::F16, 0.0), (KvFormat::Q8_0, 0.5 / 127.0 + 1.0 / 2048.0), (KvFormat::Q4_0, 0.126)];
        for (format, bound) in cases {
            let (mut row, mut back) = (vec![0; format.row_len(x.len())], vec![0.0; x.len()]);
            Isa::detect().store_kv(format, &x, &mut row);
            Isa::detect().load_kv(format, &row, &mut back);
            for (x, back) in x.chunks_exact(BLOCK).zip(back.chunks_exact(BLOCK)) {
                let largest = x.iter().fold(0.0f32, |m, x| m.max(x.abs()));
                let error = x.iter().zip(back).fold(0.0f32, |m, (x, back)| m.max((x - back).abs()));
                assert!(error <= largest * bound, "{format:?}: {error} of {largest}");
            }
        }
    }

    const Q8: &str = "8d1e8be540a3fe58bc1670d42e92ec47ab055fc31d78db3699f44eb20c67ca257fe3d224c26105a948ec902fd37316ba5afea141e58828cc6b0fb352f69a39dd8120c464";
    const Q4: &str = "80ae2fca640ea852ec9731db752fb9640da8c834640eb853fd9731db752fc9640ea842ec";
}
