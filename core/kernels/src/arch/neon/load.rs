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

/// 64 integers from `p`, which moves on to what follows them.
///
/// # Safety
/// They may be read.
#[inline(always)]
pub(crate) unsafe fn next_ints64(p: &mut *const [i8; 32]) -> [int8x16_t; 4] {
    let (a, b, c, d);
    // Spelled out, with registers by name: the compiler makes four loads and an addition of it.
    // SAFETY: reads 64 bytes.
    unsafe {
        asm!("ld1 {{v24.16b, v25.16b, v26.16b, v27.16b}}, [{p}], #64", p = inout(reg) *p, out("v24") a, out("v25") b,
            out("v26") c, out("v27") d, options(readonly, nostack, preserves_flags));
    }
    [a, b, c, d]
}

/// A number that the compiler does not see: it would put it into many instructions instead of one register.
#[inline(always)]
pub(crate) fn unseen(mut n: usize) -> usize {
    // SAFETY: no instruction at all.
    unsafe { asm!("/* {0} */", inout(reg) n, options(pure, nomem, nostack, preserves_flags)) };
    n
}

/// The first `head` bytes (1, 2 or 4) of a block as the first lane of that width.
#[inline(always)]
pub(crate) fn head_of<const N: usize>(b: &[u8; N], head: usize) -> uint8x16_t {
    let v;
    macro_rules! first {
        ($load:literal) => {
            // SAFETY: reads bytes of the block.
            unsafe { asm!($load, p = in(reg) b, v = out(vreg) v, options(pure, readonly, nostack, preserves_flags)) }
        };
    }
    match head {
        1 => first!("ldr {v:b}, [{p}]"),
        2 => first!("ldr {v:h}, [{p}]"),
        _ => first!("ldr {v:s}, [{p}]"),
    }
    v
}

/// `v` with the heads of 4 blocks as lanes of their width, the first four lanes if it holds that of block 0, or the last four if it
/// holds that of block `but`; the pointers to the others move on by `step` bytes.
///
/// # Safety
/// The pointers are to blocks that may be read.
#[inline(always)]
pub(crate) unsafe fn next_heads<const N: usize>(
    p: &mut [*const [u8; N]; 4],
    head: usize,
    but: usize,
    step: usize,
    mut v: uint8x16_t,
) -> uint8x16_t {
    // One instruction a block: left to the compiler it is one more for the address.
    macro_rules! next {
        ($block:literal, $lane:literal) => {
            // SAFETY: reads the first bytes of the block.
            unsafe {
                asm!(concat!("ld1 {{{v:v}.", $lane, ", [{p}], {n}"), p = inout(reg) p[$block], v = inout(vreg) v,
                    n = in(reg) step, options(readonly, nostack, preserves_flags));
            }
        };
        ($block:literal, $byte:literal, $half:literal, $last_byte:literal, $last_half:literal, $word:literal) => {
            match (head, but) {
                _ if $block == but => (),
                (1, 0) => next!($block, $byte),
                (2, 0) => next!($block, $half),
                (1, _) => next!($block, $last_byte),
                (2, _) => next!($block, $last_half),
                _ => next!($block, $word),
            }
        };
    }
    next!(0, "b}}[0]", "h}}[0]", "b}}[12]", "h}}[4]", "s}}[0]");
    next!(1, "b}}[1]", "h}}[1]", "b}}[13]", "h}}[5]", "s}}[1]");
    next!(2, "b}}[2]", "h}}[2]", "b}}[14]", "h}}[6]", "s}}[2]");
    next!(3, "b}}[3]", "h}}[3]", "b}}[15]", "h}}[7]", "s}}[3]");
    v
}

/// 32 bytes from `p`, the last 16 of them twice, or 48 where blocks are longer than 32; `p` moves on by `step` bytes.
///
/// # Safety
/// They may be read.
#[inline(always)]
pub(crate) unsafe fn next_registers<const N: usize>(p: &mut *const [u8; N], step: usize) -> [uint8x16_t; 3] {
    let (a, b, c);
    // See `next_ints64`.
    if N < 32 {
        // SAFETY: reads 32 bytes.
        unsafe {
            asm!("ld1 {{v28.16b, v29.16b}}, [{p}], {n}", p = inout(reg) *p, n = in(reg) step, out("v28") a, out("v29") b,
                options(readonly, nostack, preserves_flags));
        }
        [a, b, b]
    } else {
        // SAFETY: reads 48 bytes.
        unsafe {
            asm!("ld1 {{v28.16b, v29.16b, v30.16b}}, [{p}], {n}", p = inout(reg) *p, n = in(reg) step, out("v28") a,
                out("v29") b, out("v30") c, options(readonly, nostack, preserves_flags));
        }
        [a, b, c]
    }
}
