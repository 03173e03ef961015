//! Weight rows times activations: the canonical arithmetic, which every other set repeats bit for bit.

use crate::activations::{ActivationKind, Activations};
use crate::arch::scalar::dequantize::widen;
use crate::block;
use crate::format::Format;

/// `out[t, n] = x[t, k] * w[n, k]`, with `n` from the lengths of `w` and `x.k() > 0`.
pub(crate) fn matmul(format: Format, w: &[u8], x: &Activations<'_>, out: &mut [f32]) {
    let k = x.k();
    let row_bytes = format.row_bytes(k);
    let n = w.len() / row_bytes;
    for (r, row) in w.chunks_exact(row_bytes).enumerate() {
        for t in 0..x.t() {
            let x = x.tokens(t, t + 1);
            out[t * n + r] = match x.kind() {
                ActivationKind::F32 => dot_f32(format, row, x.f()),
                ActivationKind::Q8_32 => dot_q8_32(format, row, &x),
                ActivationKind::Q8_256 => dot_q8_256(format, row, &x),
            };
        }
    }
}

/// 16 partial sums by index mod 16, folded i + (i + 8), then 4, 2, 1.
fn dot_f32(format: Format, row: &[u8], x: &[f32]) -> f32 {
    let mut sum = [0.0f32; 16];
    for (i, (w, x)) in row.chunks_exact(format.block_bytes()).zip(x).enumerate() {
        sum[i % 16] = widen(format, w).mul_add(*x, sum[i % 16]);
    }
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            sum[i] += sum[i + half];
        }
    }
    sum[0]
}

/// `acc = fma(d_w * d_x, isum, acc)` block by block; then the minimum's step, `acc = fma(m_w * d_x, s, acc)`.
fn dot_q8_32(format: Format, row: &[u8], x: &Activations<'_>) -> f32 {
    let mut acc = 0.0f32;
    for (i, b) in row.chunks_exact(format.block_bytes()).enumerate() {
        let b = block::read32(format, b);
        let (q, d, s) = (&x.q()[i * 32..][..32], x.d()[i], x.s()[i]);
        let isum: i32 = b.q.iter().zip(q).map(|(w, a)| i32::from(*w) * i32::from(*a)).sum();
        acc = (b.d * d).mul_add(isum as f32, acc);
        if let Some(m) = b.m {
            acc = (m * d).mul_add(f32::from(s), acc);
        }
    }
    acc
}

/// The same per 256 with the integer scales inside `isum`; with minimums `acc = fma(d_x, fma(-dmin, msum, d_w * isum), acc)`.
fn dot_q8_256(format: Format, row: &[u8], x: &Activations<'_>) -> f32 {
    let mut acc = 0.0f32;
    for (i, b) in row.chunks_exact(format.block_bytes()).enumerate() {
        let b = block::read256(format, b);
        let (q, d, s) = (&x.q()[i * 256..][..256], x.d()[i], &x.s()[i * 16..][..16]);
        let (mut isum, mut msum) = (0i32, 0i32);
        for (j, s) in s.iter().enumerate() {
            let group: i32 = (16 * j..16 * j + 16).map(|i| i32::from(b.q[i]) * i32::from(q[i])).sum();
            isum += i32::from(b.scale[j]) * group;
            msum += i32::from(b.min[j]) * i32::from(*s);
        }
        acc = match b.dmin {
            Some(dmin) => d.mul_add((-dmin).mul_add(msum as f32, b.d * isum as f32), acc),
            None => (b.d * d).mul_add(isum as f32, acc),
        };
    }
    acc
}
