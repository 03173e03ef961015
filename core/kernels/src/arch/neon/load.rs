//! Loads from arrays of known length: bounds are checked while compiling, so the loops above need no `unsafe`.

use core::arch::aarch64 as arch;

use super::intrinsics::*;

/// 16 bytes of `b` from `AT`.
#[inline(always)]
pub(crate) fn bytes16<const AT: usize, const N: usize>(b: &[u8; N]) -> uint8x16_t {
    const { assert!(AT + 16 <= N) };
    // SAFETY: 16 bytes from AT are inside the array.
    unsafe { arch::vld1q_u8(b.as_ptr().add(AT)) }
}

/// 16 bytes of `b` from `at`. Panics if they are not inside; constant after inlining, so never tested at run time.
#[inline(always)]
pub(crate) fn bytes16_at<const N: usize>(b: &[u8; N], at: usize) -> uint8x16_t {
    assert!(at + 16 <= N);
    // SAFETY: 16 bytes from `at` are inside the array.
    unsafe { arch::vld1q_u8(b.as_ptr().add(at)) }
}

/// 16 integers of `q` from `at`. Panics if they are not inside; constant after inlining.
#[inline(always)]
pub(crate) fn ints16<const N: usize>(q: &[i8; N], at: usize) -> int8x16_t {
    assert!(at + 16 <= N);
    // SAFETY: 16 integers from `at` are inside the array.
    unsafe { arch::vld1q_s8(q.as_ptr().add(at)) }
}

/// 4 floats.
#[inline(always)]
pub(crate) fn floats4(x: &[f32; 4]) -> float32x4_t {
    // SAFETY: the array is 4 floats.
    unsafe { arch::vld1q_f32(x.as_ptr()) }
}

/// Stores 4 floats.
#[inline(always)]
pub(crate) fn store4(x: &mut [f32; 4], v: float32x4_t) {
    // SAFETY: the array is 4 floats.
    unsafe { arch::vst1q_f32(x.as_mut_ptr(), v) }
}

/// 4 sums.
#[inline(always)]
pub(crate) fn sums4(s: &[i16; 4]) -> int16x4_t {
    // SAFETY: the array is 4 integers.
    unsafe { arch::vld1_s16(s.as_ptr()) }
}

/// The 16 sums of a block of 256.
#[inline(always)]
pub(crate) fn sums16(s: &[i16; 16]) -> [int16x8_t; 2] {
    // SAFETY: the array is 16 integers.
    unsafe { [arch::vld1q_s16(s.as_ptr()), arch::vld1q_s16(s.as_ptr().add(8))] }
}

/// 4 halves at byte `AT` of 4 blocks, as floats: lane r is block r.
#[inline(always)]
pub(crate) fn halves4<const AT: usize, const N: usize>(b: [&[u8; N]; 4]) -> float32x4_t {
    let half = |b: &[u8; N]| u16::from_le_bytes([b[AT], b[AT + 1]]);
    let bits = vdup_n_u16(half(b[0]));
    let bits = vset_lane_u16::<1>(half(b[1]), bits);
    let bits = vset_lane_u16::<2>(half(b[2]), bits);
    let bits = vset_lane_u16::<3>(half(b[3]), bits);
    vcvt_f32_f16(vreinterpret_f16_u16(bits))
}

/// A table of 16 bytes as a register.
#[inline(always)]
pub(crate) fn table(bytes: &'static [u8; 16]) -> uint8x16_t {
    bytes16::<0, 16>(bytes)
}
