//! Quantizing activations, weight rows times activations, and weight rows to floats: the safe doors.

use crate::activations::{ActivationKind, Activations};
use crate::arch::scalar;
use crate::format::Format;
use crate::isa::Isa;
use crate::scratch::Scratch;

/// A matmul kernel of one format: `out[t, n] = x[t, k] * w[n, k]`.
///
/// # Safety
/// The set's CPU features are present; `x` has the format's activation kind and `x.k() > 0`; `w` is `n` whole rows;
/// `out` is `t * n` long; `n` and `t` are not 0.
pub(crate) type MatmulFn = unsafe fn(w: &[u8], x: &Activations<'_>, out: &mut [f32], scratch: &mut Scratch);

/// A quantizer: `x` `[n]` to `q` `[n]`, `d` `[n / block]`, `s` `[n / sum]`, and the kind's magnitudes.
///
/// # Safety
/// The set's CPU features are present; `x.len()` is a multiple of the block and the other lengths fit it.
pub(crate) type QuantizeFn = unsafe fn(x: &[f32], q: &mut [i8], d: &mut [f32], s: &mut [i16], m: &mut [u16]);

/// The integer-matmul part of a set's table.
pub(crate) struct MatmulOps {
    /// Scale and sum per 32.
    pub quantize_q8_32: QuantizeFn,
    /// Scale per 256, sums per 16.
    pub quantize_q8_256: QuantizeFn,
    /// Indexed by `Format as usize`.
    pub matmul: [MatmulFn; Format::COUNT],
}

impl Isa {
    /// Quantizes `x` `[n]` for a quantized kind: `q` `[n]`, `d` `[n / 32]` or `[n / 256]`, `s` `[n / 32]` or
    /// `[n / 16]`, `m` `[kind.magnitudes(n)]`; `n` is any multiple of the block, so a whole `[t, k]` batch goes in one call. `d = max|x| / 127`,
    /// `q = round_ties_even(x / d)`, NaN gives 0. Panics if the kind is `F32` or a length does not fit.
    pub fn quantize(&self, kind: ActivationKind, x: &[f32], q: &mut [i8], d: &mut [f32], s: &mut [i16], m: &mut [u16]) {
        let ops = &self.table().matmul;
        let quantize = match kind {
            ActivationKind::F32 => panic!("quantize: f32 activations are used as they are"),
            ActivationKind::Q8_32 => ops.quantize_q8_32,
            ActivationKind::Q8_256 => ops.quantize_q8_256,
        };
        assert!(x.len().is_multiple_of(kind.block_len()), "quantize: x is a multiple of the block");
        assert_eq!(q.len(), x.len(), "quantize: q is [n]");
        assert_eq!(d.len(), x.len() / kind.block_len(), "quantize: d is [n / block]");
        assert_eq!(s.len(), x.len() / kind.sum_len(), "quantize: s is [n / 32] or [n / 16]");
        assert_eq!(m.len(), kind.magnitudes(x.len()), "quantize: m is [n / 256] or empty");
        // SAFETY: an `Isa` is only handed out for features this CPU has; lengths were asserted above.
        unsafe { quantize(x, q, d, s, m) }
    }

    /// Weight rows times activations: `w` is `n` consecutive rows of `x.k()` values, `out` `[t, n]` row-major.
    /// Any `t` and `n`; the kernel for one token, a small batch or a panel is chosen inside, all of them and all sets
    /// give the same bits. Panics if a length does not fit or `x` is not of the format's activation kind.
    pub fn matmul(&self, format: Format, w: &[u8], x: &Activations<'_>, out: &mut [f32], scratch: &mut Scratch) {
        assert_eq!(x.kind(), format.activation(), "matmul: activations of the format's kind");
        let row_bytes = format.row_bytes(x.k());
        if row_bytes == 0 {
            out.fill(0.0);
            return;
        }
        assert!(w.len().is_multiple_of(row_bytes), "matmul: w is whole rows");
        let n = w.len() / row_bytes;
        assert_eq!(Some(out.len()), n.checked_mul(x.t()), "matmul: out is [t, n]");
        if !out.is_empty() {
            // SAFETY: an `Isa` is only handed out for features this CPU has; kind and lengths were checked above.
            unsafe { self.table().matmul.matmul[format as usize](w, x, out, scratch) }
        }
    }

    /// The values of one weight row. Panics if `row` is not `format.row_bytes(out.len())` long.
    pub fn dequantize(&self, format: Format, row: &[u8], out: &mut [f32]) {
        assert_eq!(row.len(), format.row_bytes(out.len()), "dequantize: row holds out.len() values");
        scalar::dequantize::dequantize(format, row, out);
    }
}
