//! The NEON intrinsics that only touch registers, as safe functions: NEON is part of the baseline of every aarch64 target.
//!
//! Functions of `core::arch` carry `#[target_feature]`, which generic and always-inlined code cannot; these do not. Loads and
//! stores stay `unsafe` and are wrapped in `load.rs` by array.

use core::arch::aarch64 as arch;
pub(crate) use core::arch::aarch64::{
    float16x4_t, float16x8_t, float32x2_t, float32x4_t, float64x2_t, int8x8_t, int8x16_t, int16x4_t, int16x8_t,
    int32x4_t, int32x4x4_t, int64x2_t, int64x2x2_t, uint8x8_t, uint8x16_t, uint16x4_t, uint16x8_t, uint32x4_t,
    uint64x2_t,
};
use core::arch::asm;

/// Defines safe functions of the same names and operands, grouped by signature.
macro_rules! safe {
    ($(($($operand:ty),*) -> $result:ty: $names:tt;)*) => {
        $(safe! { @$names ($($operand),*) -> $result })*
    };
    (@[$($name:ident),*] $operands:tt -> $result:ty) => {
        $(safe! { @@ $name $operands -> $result })*
    };
    (@@ $name:ident ($a:ty) -> $result:ty) => {
        #[inline(always)]
        pub(crate) fn $name(a: $a) -> $result {
            // SAFETY: registers only, and NEON is in the baseline.
            unsafe { arch::$name(a) }
        }
    };
    (@@ $name:ident ($a:ty, $b:ty) -> $result:ty) => {
        #[inline(always)]
        pub(crate) fn $name(a: $a, b: $b) -> $result {
            // SAFETY: registers only, and NEON is in the baseline.
            unsafe { arch::$name(a, b) }
        }
    };
    (@@ $name:ident ($a:ty, $b:ty, $c:ty) -> $result:ty) => {
        #[inline(always)]
        pub(crate) fn $name(a: $a, b: $b, c: $c) -> $result {
            // SAFETY: registers only, and NEON is in the baseline.
            unsafe { arch::$name(a, b, c) }
        }
    };
}

/// The same for functions with a constant: a lane or an amount to shift by.
macro_rules! safe_const {
    ($(($($operand:ty),*) -> $result:ty: $names:tt;)*) => {
        $(safe_const! { @$names ($($operand),*) -> $result })*
    };
    (@[$($name:ident),*] $operands:tt -> $result:ty) => {
        $(safe_const! { @@ $name $operands -> $result })*
    };
    (@@ $name:ident ($a:ty) -> $result:ty) => {
        #[inline(always)]
        pub(crate) fn $name<const N: i32>(a: $a) -> $result {
            // SAFETY: registers only, and NEON is in the baseline.
            unsafe { arch::$name::<N>(a) }
        }
    };
    (@@ $name:ident ($a:ty, $b:ty) -> $result:ty) => {
        #[inline(always)]
        pub(crate) fn $name<const N: i32>(a: $a, b: $b) -> $result {
            // SAFETY: registers only, and NEON is in the baseline.
            unsafe { arch::$name::<N>(a, b) }
        }
    };
    (@@ $name:ident ($a:ty, $b:ty, $c:ty) -> $result:ty) => {
        #[inline(always)]
        pub(crate) fn $name<const N: i32>(a: $a, b: $b, c: $c) -> $result {
            // SAFETY: registers only, and NEON is in the baseline.
            unsafe { arch::$name::<N>(a, b, c) }
        }
    };
}

safe! {
    (float32x4_t) -> float32x4_t: [vabsq_f32];
    (float32x4_t) -> f32: [vmaxvq_f32];
    (int8x16_t) -> int8x16_t: [vabsq_s8];
    (int8x16_t) -> i16: [vaddlvq_s8];
    (int16x8_t) -> i16: [vaddvq_s16];
    (float32x2_t, float32x2_t) -> float32x2_t: [vadd_f32];
    (float32x4_t, float32x4_t) -> float32x4_t: [vaddq_f32, vmulq_f32, vuzp1q_f32, vuzp2q_f32, vzip1q_f32, vzip2q_f32];
    (float32x4_t, f32) -> float32x4_t: [vmulq_n_f32];
    (float32x4_t, float32x4_t, float32x4_t) -> float32x4_t: [vfmaq_f32, vfmsq_f32];
    (float32x4_t, float32x4_t) -> uint32x4_t: [vcgtq_f32];
    (uint32x4_t, float32x4_t, float32x4_t) -> float32x4_t: [vbslq_f32];
    (uint32x4_t, uint32x4_t, uint32x4_t) -> uint32x4_t: [vbslq_u32];
    (uint8x16_t, uint8x16_t) -> uint8x16_t: [vaddq_u8, vandq_u8, veorq_u8, vqtbl1q_u8, vtstq_u8];
    (uint8x16_t) -> uint8x16_t: [vmvnq_u8];
    (uint8x16_t, int8x16_t) -> uint8x16_t: [vshlq_u8];
    (int8x16_t, int8x16_t) -> int8x16_t: [vsubq_s8];
    (int8x16_t, int8x16_t) -> int16x8_t: [vmull_high_s8, vsubl_high_s8];
    (int8x8_t, int8x8_t) -> int16x8_t: [vmull_s8, vsubl_s8];
    (int8x8_t) -> int16x8_t: [vmovl_s8];
    (int8x16_t) -> int16x8_t: [vmovl_high_s8];
    (int16x8_t, int8x16_t) -> int16x8_t: [vpadalq_s8];
    (int16x8_t, int16x8_t) -> int16x8_t: [vandq_s16, vpaddq_s16, vzip1q_s16, vzip2q_s16];
    (int16x4_t, int16x4_t) -> int32x4_t: [vmull_s16];
    (int32x4_t, int16x4_t, int16x4_t) -> int32x4_t: [vmlal_s16];
    (int32x4_t, int16x8_t, int16x8_t) -> int32x4_t: [vmlal_high_s16];
    (int32x4_t, int16x8_t) -> int32x4_t: [vpadalq_s16];
    (int16x4_t) -> int32x4_t: [vmovl_s16];
    (int16x8_t) -> int32x4_t: [vmovl_high_s16];
    (int16x8_t) -> int8x8_t: [vmovn_s16];
    (int32x4_t) -> int16x4_t: [vmovn_s32];
    (uint32x4_t) -> uint16x4_t: [vmovn_u32];
    (int32x4_t, int32x4_t) -> int32x4_t: [vpaddq_s32, vsubq_s32, vshlq_s32, vzip1q_s32, vzip2q_s32];
    (int32x4_t, int32x4_t, int32x4_t) -> int32x4_t: [vmlaq_s32];
    (uint32x4_t, uint32x4_t) -> uint32x4_t: [vsubq_u32, vzip1q_u32];
    (uint32x4_t, uint32x4_t) -> uint32x4_t: [vcgtq_u32];
    (uint32x4_t, int32x4_t) -> uint32x4_t: [vshlq_u32];
    (uint64x2_t, uint64x2_t) -> uint64x2_t: [vzip1q_u64];
    (int8x8_t, int8x8_t) -> int8x16_t: [vcombine_s8];
    (int16x4_t, int16x4_t) -> int16x8_t: [vcombine_s16];
    (uint8x8_t) -> uint16x8_t: [vmovl_u8];
    (uint16x4_t) -> uint32x4_t: [vmovl_u16];
    (float32x4_t) -> float32x2_t: [vget_low_f32, vget_high_f32];
    (float16x8_t) -> float16x4_t: [vget_low_f16];
    (int8x16_t) -> int8x8_t: [vget_low_s8];
    (uint8x16_t) -> uint8x8_t: [vget_low_u8];
    (int16x8_t) -> int16x4_t: [vget_low_s16];
    (uint16x8_t) -> uint16x4_t: [vget_low_u16];
    (float16x4_t) -> float32x4_t: [vcvt_f32_f16];
    (float16x8_t) -> float32x4_t: [vcvt_high_f32_f16];
    (float32x4_t) -> int32x4_t: [vcvtnq_s32_f32];
    (int32x4_t) -> float32x4_t: [vcvtq_f32_s32];
    (u16) -> uint16x4_t: [vdup_n_u16];
    (i16) -> int16x4_t: [vdup_n_s16];
    (f32) -> float32x4_t: [vdupq_n_f32];
    (i8) -> int8x16_t: [vdupq_n_s8];
    (i16) -> int16x8_t: [vdupq_n_s16];
    (i32) -> int32x4_t: [vdupq_n_s32];
    (u8) -> uint8x16_t: [vdupq_n_u8];
    (u32) -> uint32x4_t: [vdupq_n_u32];
    (uint16x4_t) -> float16x4_t: [vreinterpret_f16_u16];
    (uint8x16_t) -> float16x8_t: [vreinterpretq_f16_u8];
    (uint8x16_t) -> float32x4_t: [vreinterpretq_f32_u8];
    (uint8x16_t) -> int8x16_t: [vreinterpretq_s8_u8];
    (uint8x16_t) -> uint16x8_t: [vreinterpretq_u16_u8];
    (uint8x16_t) -> uint32x4_t: [vreinterpretq_u32_u8];
    (uint32x4_t) -> uint8x16_t: [vreinterpretq_u8_u32];
    (uint32x4_t) -> float32x4_t: [vreinterpretq_f32_u32];
    (uint32x4_t) -> int32x4_t: [vreinterpretq_s32_u32];
    (uint32x4_t) -> uint64x2_t: [vreinterpretq_u64_u32];
    (uint64x2_t) -> uint32x4_t: [vreinterpretq_u32_u64];
    (float64x2_t) -> float32x4_t: [vreinterpretq_f32_f64];
    (float32x4_t) -> float64x2_t: [vreinterpretq_f64_f32];
    (float32x4_t) -> int32x4_t: [vreinterpretq_s32_f32];
    (int32x4_t) -> float32x4_t: [vreinterpretq_f32_s32];
    (int32x4_t) -> int8x16_t: [vreinterpretq_s8_s32];
    (int8x16_t) -> int32x4_t: [vreinterpretq_s32_s8];
    (int8x16_t) -> int64x2_t: [vreinterpretq_s64_s8];
}

safe_const! {
    (float32x2_t) -> f32: [vget_lane_f32];
    (float32x4_t) -> float32x4_t: [vdupq_laneq_f32];
    (float64x2_t) -> float64x2_t: [vdupq_laneq_f64];
    (int32x4_t) -> int32x4_t: [vdupq_laneq_s32, vshlq_n_s32];
    (float32x4_t, float32x4_t) -> float32x4_t: [vmulq_laneq_f32];
    (int32x4_t, int32x4_t, int32x4_t) -> int32x4_t: [vmlaq_laneq_s32];
    (int8x16_t, int8x16_t) -> int8x16_t: [vextq_s8];
    (uint8x16_t, uint8x16_t) -> uint8x16_t: [vextq_u8];
    (u16, uint16x4_t) -> uint16x4_t: [vset_lane_u16];
    (uint16x4_t) -> uint32x4_t: [vshll_n_u16];
    (uint16x8_t) -> uint32x4_t: [vshll_high_n_u16];
    (uint32x4_t) -> uint32x4_t: [vshlq_n_u32];
    (uint8x16_t) -> uint8x16_t: [vshlq_n_u8, vshrq_n_u8];
    (int16x8_t) -> int8x8_t: [vshrn_n_s16];
    (uint32x4_t) -> uint16x4_t: [vshrn_n_u32];
}

/// `b` shifted left and inserted above the low `N` bits of `a`. Spelled out, because the compiler splits the intrinsic into
/// shifts, masks and an or where it knows the operands.
#[inline(always)]
pub(crate) fn vsliq_n_u8<const N: i32>(mut a: uint8x16_t, b: uint8x16_t) -> uint8x16_t {
    // SAFETY: registers only.
    unsafe {
        asm!("sli {a:v}.16b, {b:v}.16b, #{n}", a = inout(vreg) a, b = in(vreg) b, n = const N,
            options(pure, nomem, nostack, preserves_flags));
    }
    a
}

/// `b` shifted right and inserted below the high `N` bits of `a`; see `vsliq_n_u8`.
#[inline(always)]
pub(crate) fn vsriq_n_u8<const N: i32>(mut a: uint8x16_t, b: uint8x16_t) -> uint8x16_t {
    // SAFETY: registers only.
    unsafe {
        asm!("sri {a:v}.16b, {b:v}.16b, #{n}", a = inout(vreg) a, b = in(vreg) b, n = const N,
            options(pure, nomem, nostack, preserves_flags));
    }
    a
}

/// `a` less `b` times lane `N` of `c`. Spelled out, because the compiler would share a product between two of these and subtract
/// it twice.
#[inline(always)]
pub(crate) fn vmlsl_lane_s16<const N: i32>(mut a: int32x4_t, b: int16x4_t, c: int16x4_t) -> int32x4_t {
    // SAFETY: registers only.
    unsafe {
        asm!("smlsl {a:v}.4s, {b:v}.4h, {c:v}.h[{n}]", a = inout(vreg) a, b = in(vreg) b, c = in(vreg_low16) c, n = const N,
            options(pure, nomem, nostack, preserves_flags));
    }
    a
}
