//! AVX2 with FMA and F16C: 8 rows a register. With AVX-VNNI the same, but for the dot products.

use std::arch::x86_64::*;

use crate::format::Format;
use crate::matmul::{MatmulFn, MatmulOps};

pub(crate) mod attention;
pub(crate) mod dense;
mod few;
pub(crate) mod float;
mod matmul;
mod quantize;
pub(crate) mod sums32;
pub(crate) mod tile256;
mod tile32;
pub(crate) mod unpack;
pub(crate) mod unpack256;
pub(crate) mod unpack32;

/// A row of functions by format, with or without AVX-VNNI.
macro_rules! matmuls {
    ($vnni:literal) => {
        [
            dense::matmul::<{ Format::F32 as usize }>,
            dense::matmul::<{ Format::F16 as usize }>,
            dense::matmul::<{ Format::BF16 as usize }>,
            matmul::blocks_of_32::<{ Format::Q4_0 as usize }, $vnni>,
            matmul::blocks_of_32::<{ Format::Q4_1 as usize }, $vnni>,
            matmul::blocks_of_32::<{ Format::Q5_0 as usize }, $vnni>,
            matmul::blocks_of_32::<{ Format::Q5_1 as usize }, $vnni>,
            matmul::blocks_of_32::<{ Format::Q8_0 as usize }, $vnni>,
            matmul::blocks_of_256::<{ Format::Q2_K as usize }, $vnni>,
            matmul::blocks_of_256::<{ Format::Q3_K as usize }, $vnni>,
            matmul::blocks_of_256::<{ Format::Q4_K as usize }, $vnni>,
            matmul::blocks_of_256::<{ Format::Q5_K as usize }, $vnni>,
            matmul::blocks_of_256::<{ Format::Q6_K as usize }, $vnni>,
            matmul::blocks_of_32::<{ Format::IQ4_NL as usize }, $vnni>,
            matmul::blocks_of_256::<{ Format::IQ4_XS as usize }, $vnni>,
            matmul::blocks_of_32::<{ Format::MXFP4 as usize }, $vnni>,
            matmul::blocks_of_256::<{ Format::IQ1_S as usize }, $vnni>,
            matmul::blocks_of_256::<{ Format::IQ1_M as usize }, $vnni>,
            matmul::blocks_of_256::<{ Format::IQ2_XXS as usize }, $vnni>,
            matmul::blocks_of_256::<{ Format::IQ2_XS as usize }, $vnni>,
            matmul::blocks_of_256::<{ Format::IQ2_S as usize }, $vnni>,
            matmul::blocks_of_256::<{ Format::IQ3_XXS as usize }, $vnni>,
            matmul::blocks_of_256::<{ Format::IQ3_S as usize }, $vnni>,
        ]
    };
}

/// The AVX2 matmul table.
pub(crate) const MATMUL: MatmulOps =
    MatmulOps { quantize_q8_32: quantize::q8_32, quantize_q8_256: quantize::q8_256, matmul: MATMULS };

/// The same where AVX-VNNI is there.
pub(crate) const MATMUL_VNNI: MatmulOps = MatmulOps { matmul: MATMULS_VNNI, ..MATMUL };

const MATMULS: [MatmulFn; Format::COUNT] = matmuls!(false);
const MATMULS_VNNI: [MatmulFn; Format::COUNT] = matmuls!(true);

/// `sum` plus, in every lane, four products of an unsigned byte of `w` and a signed one of `a`. As one line of assembly, since the
/// functions that hold it behind a constant are compiled for AVX2.
///
/// # Safety
/// The CPU has AVX-VNNI.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn dot(mut sum: __m256i, w: __m256i, a: __m256i) -> __m256i {
    // SAFETY: the caller's promise; registers only.
    unsafe {
        std::arch::asm!("{{vex}} vpdpbusd {sum}, {w}, {a}", sum = inout(ymm_reg) sum, w = in(ymm_reg) w, a = in(ymm_reg) a,
            options(pure, nomem, nostack, preserves_flags));
    }
    sum
}

/// The lanes that are rows, when `rows` are left: all bits set.
#[inline]
#[target_feature(enable = "avx2")]
fn mask(rows: usize) -> __m256i {
    let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    _mm256_cmpgt_epi32(_mm256_set1_epi32(rows.min(8) as i32), lanes)
}

/// Loads a vector.
///
/// # Safety
/// 32 bytes at `at` can be read.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) unsafe fn load(at: *const u8) -> __m256i {
    // SAFETY: the caller's promise; the load needs no alignment.
    unsafe { _mm256_loadu_si256(at.cast()) }
}

/// The 4 bytes at `at` in every lane.
///
/// # Safety
/// 4 bytes at `at` can be read.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) unsafe fn splat(at: *const u8) -> __m256i {
    // SAFETY: the caller's promise.
    _mm256_set1_epi32(unsafe { at.cast::<i32>().read_unaligned() })
}

/// The float at `at` in every lane.
///
/// # Safety
/// 4 bytes at `at` can be read.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) unsafe fn splat_f32(at: *const f32) -> __m256 {
    // SAFETY: the caller's promise.
    _mm256_set1_ps(unsafe { at.read_unaligned() })
}
