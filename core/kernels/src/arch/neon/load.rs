//! Loads from arrays of known length: bounds are checked while compiling, so the loops above need no `unsafe`.

use core::arch::aarch64 as arch;
use core::arch::asm;

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

/// Two words of `words` from `at`, lowest bytes first. Panics if they are not inside; constant after inlining.
#[inline(always)]
pub(crate) fn words2(words: &[u64; 16], at: usize) -> int8x16_t {
    assert!(at + 2 <= 16);
    // SAFETY: 16 bytes from word `at` are inside the array.
    unsafe { arch::vld1q_s8(words.as_ptr().add(at).cast()) }
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
    halves(b.map(|b| u16::from_le_bytes([b[AT], b[AT + 1]])))
}

/// 4 halves as floats.
#[inline(always)]
pub(crate) fn halves(half: [u16; 4]) -> float32x4_t {
    let bits = vdup_n_u16(half[0]);
    let bits = vset_lane_u16::<1>(half[1], bits);
    let bits = vset_lane_u16::<2>(half[2], bits);
    let bits = vset_lane_u16::<3>(half[3], bits);
    vcvt_f32_f16(vreinterpret_f16_u16(bits))
}

/// A table of 16 bytes as a register, whose contents the compiler does not see: it would turn a lookup into more
/// instructions than the one it is.
#[inline(always)]
pub(crate) fn table(bytes: &'static [u8; 16]) -> uint8x16_t {
    let mut table = bytes16::<0, 16>(bytes);
    // SAFETY: no instruction at all.
    unsafe { asm!("/* {0:v} */", inout(vreg) table, options(pure, nomem, nostack, preserves_flags)) };
    table
}

/// The same integers, of which the compiler does not see that they were widened: it would rather widen every lane it takes
/// from them.
#[inline(always)]
pub(crate) fn opaque(mut v: int32x4_t) -> int32x4_t {
    // SAFETY: no instruction at all.
    unsafe { asm!("/* {0:v} */", inout(vreg) v, options(pure, nomem, nostack, preserves_flags)) };
    v
}

/// The same floats, computed before the products that are written below: put off, they would occupy registers.
#[inline(always)]
pub(crate) fn now(mut v: float32x4_t) -> float32x4_t {
    // SAFETY: no instruction at all. Not `pure`, so that it stays in its place among the others.
    unsafe { asm!("/* {0:v} */", inout(vreg) v, options(nomem, nostack, preserves_flags)) };
    v
}

/// The first `HEAD` bytes (1, 2 or 4) of 4 blocks as lanes of that width; the pointers move on to the next blocks.
///
/// # Safety
/// The pointers are to blocks that may be read.
#[inline(always)]
pub(crate) unsafe fn next_heads<const N: usize>(p: &mut [*const [u8; N]; 4], head: usize) -> uint8x16_t {
    let mut v: uint8x16_t;
    // One instruction a block: left to the compiler it is one more for the address.
    macro_rules! next {
        ($first:literal, $rest:literal) => {
            // SAFETY: reads the first bytes of the 4 blocks.
            unsafe {
                asm!($first, p = inout(reg) p[0], v = out(vreg) v, n = const N, options(readonly, nostack, preserves_flags));
                next!(@ $rest, 1);
                next!(@ $rest, 2);
                next!(@ $rest, 3);
            }
        };
        (@ $rest:literal, $lane:literal) => {
            asm!($rest, p = inout(reg) p[$lane], v = inout(vreg) v, n = in(reg) N, lane = const $lane,
                options(readonly, nostack, preserves_flags))
        };
    }
    match head {
        1 => next!("ldr {v:b}, [{p}], #{n}", "ld1 {{{v:v}.b}}[{lane}], [{p}], {n}"),
        2 => next!("ldr {v:h}, [{p}], #{n}", "ld1 {{{v:v}.h}}[{lane}], [{p}], {n}"),
        _ => next!("ldr {v:s}, [{p}], #{n}", "ld1 {{{v:v}.s}}[{lane}], [{p}], {n}"),
    }
    v
}
