//! A weight row back to floats, every format. Used for embedding rows by every set: one row a token is not worth more.

use half::{bf16, f16};

use crate::activations::ActivationKind;
use crate::block;
use crate::format::Format;

/// Writes the values of `row` (`format.row_bytes(out.len())` bytes) to `out`.
pub(crate) fn dequantize(format: Format, row: &[u8], out: &mut [f32]) {
    let blocks = row.chunks_exact(format.block_bytes()).zip(out.chunks_exact_mut(format.block_len()));
    match (format, format.activation()) {
        (Format::F32 | Format::F16 | Format::BF16, _) => {
            for (b, out) in blocks {
                out[0] = widen(format, b);
            }
        }
        (_, ActivationKind::Q8_32) => {
            for (b, out) in blocks {
                let b = block::read32(format, b);
                for (out, q) in out.iter_mut().zip(b.q) {
                    *out = b.d * f32::from(q) + b.m.unwrap_or(-0.0); // -0 changes nothing, not even the sign of 0
                }
            }
        }
        _ => {
            for (b, out) in blocks {
                let b = block::read256(format, b);
                for (i, out) in out.iter_mut().enumerate() {
                    let scale = b.d * f32::from(b.scale[i / 16]);
                    let min = b.dmin.unwrap_or(0.0) * f32::from(b.min[i / 16]);
                    *out = scale * f32::from(b.q[i]) - min;
                }
            }
        }
    }
}

/// One stored float, exactly.
pub(crate) fn widen(format: Format, b: &[u8]) -> f32 {
    match format {
        Format::F32 => f32::from_le_bytes([b[0], b[1], b[2], b[3]]),
        Format::F16 => f16::from_le_bytes([b[0], b[1]]).to_f32(),
        _ => bf16::from_le_bytes([b[0], b[1]]).to_f32(),
    }
}
