//! Weight rows of floats times float tokens: 16 partial sums by index mod 16 in 4 registers, 2 rows at a time.

use core::arch::aarch64 as arch;

use super::intrinsics::*;

use super::load::floats4;
use crate::activations::Activations;
use crate::arch::scalar::dequantize::widen;
use crate::format::Format;

/// How a stored float becomes one of 32 bits. `N` is the bytes of 16 values.
pub(crate) trait Dense<const N: usize> {
    /// The format.
    const FORMAT: Format;

    /// 16 values.
    fn widen16(w: &[u8; N]) -> [float32x4_t; 4];
}

/// 32-bit floats.
pub(crate) struct F32;

impl Dense<64> for F32 {
    const FORMAT: Format = Format::F32;

    #[inline(always)]
    fn widen16(w: &[u8; 64]) -> [float32x4_t; 4] {
        let part = |i: usize| {
            // SAFETY: 16 bytes from 16 i are inside the array for i below 4.
            vreinterpretq_f32_u8(unsafe { arch::vld1q_u8(w.as_ptr().add(16 * i)) })
        };
        [part(0), part(1), part(2), part(3)]
    }
}

/// Half precision.
pub(crate) struct F16;

impl Dense<32> for F16 {
    const FORMAT: Format = Format::F16;

    #[inline(always)]
    fn widen16(w: &[u8; 32]) -> [float32x4_t; 4] {
        let [a, b] = two(w).map(vreinterpretq_f16_u8);
        [vcvt_f32_f16(vget_low_f16(a)), vcvt_high_f32_f16(a), vcvt_f32_f16(vget_low_f16(b)), vcvt_high_f32_f16(b)]
    }
}

/// The upper half of a single.
pub(crate) struct Bf16;

impl Dense<32> for Bf16 {
    const FORMAT: Format = Format::BF16;

    #[inline(always)]
    fn widen16(w: &[u8; 32]) -> [float32x4_t; 4] {
        let [a, b] = two(w).map(vreinterpretq_u16_u8);
        let all = [
            vshll_n_u16::<16>(vget_low_u16(a)),
            vshll_high_n_u16::<16>(a),
            vshll_n_u16::<16>(vget_low_u16(b)),
            vshll_high_n_u16::<16>(b),
        ];
        all.map(vreinterpretq_f32_u32)
    }
}

/// Both halves of 32 bytes.
#[inline(always)]
fn two(w: &[u8; 32]) -> [uint8x16_t; 2] {
    // SAFETY: 32 bytes are two registers.
    unsafe { [arch::vld1q_u8(w.as_ptr()), arch::vld1q_u8(w.as_ptr().add(16))] }
}

/// `out[t, n]` for any number of tokens.
pub(crate) fn rows<const N: usize, W: Dense<N>>(w: &[u8], x: &Activations<'_>, out: &mut [f32]) {
    let (t, k) = (x.t(), x.k());
    let n = out.len() / t;
    let row = |r: usize| &w[W::FORMAT.row_bytes(k) * r.min(n - 1)..][..W::FORMAT.row_bytes(k)];
    let token = |i: usize| &x.f()[k * i.min(t - 1)..][..k];
    for r in (0..n).step_by(2) {
        let rows = [row(r), row(r + 1)];
        let mut put = |i: usize, sums: [f32; 2]| {
            let out = &mut out[i * n + r..(i + 1) * n];
            let width = out.len().min(2);
            out[..width].copy_from_slice(&sums[..width]);
        };
        if t == 1 {
            put(0, dots::<N, 1, W>(rows, [token(0)])[0]);
        } else {
            for i in (0..t).step_by(2) {
                let [first, second] = dots::<N, 2, W>(rows, [token(i), token(i + 1)]);
                put(i, first);
                if i + 1 < t {
                    put(i + 1, second);
                }
            }
        }
    }
}

/// `[token][row]` dot products of 2 rows.
#[inline(always)]
fn dots<const N: usize, const T: usize, W: Dense<N>>(rows: [&[u8]; 2], tokens: [&[f32]; T]) -> [[f32; 2]; T] {
    let mut acc = [[[vdupq_n_f32(0.0); 4]; 2]; T];
    let whole = tokens[0].len() / 16;
    let w = rows.map(|row| &row.as_chunks::<N>().0[..whole]);
    let x = tokens.map(|token| &token.as_chunks::<16>().0[..whole]);
    for i in 0..whole {
        add(&mut acc, [W::widen16(&w[0][i]), W::widen16(&w[1][i])], x.map(|x| sixteen(&x[i])));
    }
    let rest = tokens[0].len() % 16;
    if rest > 0 {
        // Zero times minus zero, added to any sum, leaves its bits alone.
        let pad = |from: &[f32], with: f32| {
            let mut all = [with; 16];
            all[..from.len()].copy_from_slice(from);
            sixteen(&all)
        };
        let tail = rows.map(|row| {
            let mut all = [0.0; 16];
            let bytes = row[N * whole..].chunks_exact(N / 16);
            for (to, b) in all.iter_mut().zip(bytes) {
                *to = widen(W::FORMAT, b);
            }
            sixteen(&all)
        });
        add(&mut acc, tail, tokens.map(|token| pad(&token[16 * whole..], -0.0)));
    }
    acc.map(|rows| rows.map(fold))
}

/// 16 floats.
#[inline(always)]
fn sixteen(x: &[f32; 16]) -> [float32x4_t; 4] {
    let four = x.as_chunks().0;
    [floats4(&four[0]), floats4(&four[1]), floats4(&four[2]), floats4(&four[3])]
}

/// `acc += w * x` for every row and token.
#[inline(always)]
fn add<const T: usize>(acc: &mut [[[float32x4_t; 4]; 2]; T], w: [[float32x4_t; 4]; 2], x: [[float32x4_t; 4]; T]) {
    for (acc, x) in acc.iter_mut().zip(x) {
        for (acc, w) in acc.iter_mut().zip(w) {
            for i in 0..4 {
                acc[i] = vfmaq_f32(acc[i], w[i], x[i]);
            }
        }
    }
}

/// Partial sums i + (i + 8), then 4, 2, 1.
#[inline(always)]
fn fold(sum: [float32x4_t; 4]) -> f32 {
    let four = vaddq_f32(vaddq_f32(sum[0], sum[2]), vaddq_f32(sum[1], sum[3]));
    let two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
    vget_lane_f32::<0>(two) + vget_lane_f32::<1>(two)
}
