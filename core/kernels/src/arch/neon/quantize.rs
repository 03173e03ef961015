//! Floats to 8-bit integers with a scale per 32 or per 256 values.

use core::arch::aarch64 as arch;

use super::intrinsics::*;

use super::load::{floats4, ints16};

/// Quantizes blocks of 32 with one sum each: `q` `[n]`, `d` `[n / 32]`, `s` `[n / 32]`.
pub(crate) fn q8_32(x: &[f32], q: &mut [i8], d: &mut [f32], s: &mut [i16], _: &mut [u16]) {
    let blocks = x.as_chunks::<32>().0.iter().zip(q.as_chunks_mut::<32>().0);
    for (((x, q), d), s) in blocks.zip(d).zip(s) {
        let (scale, inverse) = scale(x);
        *d = scale;
        let (low, high) = (&x.as_chunks().0[0], &x.as_chunks().0[1]);
        *s = quantize16(low, inverse, &mut q.as_chunks_mut().0[0])
            + quantize16(high, inverse, &mut q.as_chunks_mut().0[1]);
    }
}

/// Quantizes blocks of 256 with sums per 16: `q` `[n]`, `d` `[n / 256]`, `s` `[n / 16]`, `m` `[n / 256]`.
pub(crate) fn q8_256(x: &[f32], q: &mut [i8], d: &mut [f32], s: &mut [i16], m: &mut [u16]) {
    let blocks = x.as_chunks::<256>().0.iter().zip(q.as_chunks_mut::<256>().0);
    for ((((x, q), d), s), m) in blocks.zip(d).zip(s.as_chunks_mut::<16>().0).zip(m) {
        let (scale, inverse) = scale(x);
        *d = scale;
        for ((x, q), s) in x.as_chunks().0.iter().zip(q.as_chunks_mut().0).zip(s) {
            *s = quantize16(x, inverse, q);
        }
        let magnitude = |q: &[i8; 16]| vaddlvq_s8(vabsq_s8(ints16(q, 0)));
        *m = q.as_chunks().0.iter().map(magnitude).max().unwrap_or(0) as u16;
    }
}

/// `max|x| / 127` and its reciprocal; both 0 where the scale is below the smallest normal float.
#[inline(always)]
fn scale<const N: usize>(x: &[f32; N]) -> (f32, f32) {
    // Not fmaxnm: it turns a signalling NaN into a quiet one where the comparison leaves it out.
    let mut max = vdupq_n_f32(0.0);
    for x in x.as_chunks().0 {
        let x = vabsq_f32(floats4(x));
        max = vbslq_f32(vcgtq_f32(x, max), x, max);
    }
    let d = vmaxvq_f32(max) / 127.0;
    if d < f32::MIN_POSITIVE { (0.0, 0.0) } else { (d, 1.0 / d) }
}

/// 16 values times `inverse`, rounded to nearest, ties to even; a NaN becomes 0. Returns their sum.
#[inline(always)]
fn quantize16(x: &[f32; 16], inverse: f32, q: &mut [i8; 16]) -> i16 {
    let part = |i: usize| vcvtnq_s32_f32(vmulq_n_f32(floats4(&x.as_chunks().0[i]), inverse));
    let low = vcombine_s16(vmovn_s32(part(0)), vmovn_s32(part(1)));
    let high = vcombine_s16(vmovn_s32(part(2)), vmovn_s32(part(3)));
    let all = vcombine_s8(vmovn_s16(low), vmovn_s16(high));
    // SAFETY: the array is 16 integers.
    unsafe { arch::vst1q_s8(q.as_mut_ptr(), all) };
    vaddvq_s16(vpadalq_s8(vdupq_n_s16(0), all))
}
