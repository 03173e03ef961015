//! AVX-512 with VNNI: 16 rows a register, 64 products an instruction.

use std::arch::x86_64::*;

use crate::arch::avx2;
use crate::arch::panel::Tile;
use crate::format::Format;
use crate::matmul::{MatmulFn, MatmulOps};

pub(crate) mod attention;
mod dense;
mod few;
pub(crate) mod float;
mod matmul;
mod one_token;
mod tile256;
mod tile32;

/// The AVX-512 matmul table. Quantizing is bound by memory long before vectors get wider, so it stays AVX2's.
pub(crate) const MATMUL: MatmulOps = MatmulOps { matmul: MATMULS, ..avx2::MATMUL };

const MATMULS: [MatmulFn; Format::COUNT] = {
    let mut table = avx2::MATMUL.matmul;
    table[Format::F32 as usize] = dense::matmul::<{ Format::F32 as usize }>;
    table[Format::F16 as usize] = dense::matmul::<{ Format::F16 as usize }>;
    table[Format::BF16 as usize] = dense::matmul::<{ Format::BF16 as usize }>;
    table[Format::Q4_0 as usize] = matmul::blocks_of_32::<{ Format::Q4_0 as usize }>;
    table[Format::Q4_1 as usize] = matmul::blocks_of_32::<{ Format::Q4_1 as usize }>;
    table[Format::Q5_0 as usize] = matmul::blocks_of_32::<{ Format::Q5_0 as usize }>;
    table[Format::Q5_1 as usize] = matmul::blocks_of_32::<{ Format::Q5_1 as usize }>;
    table[Format::Q8_0 as usize] = matmul::blocks_of_32::<{ Format::Q8_0 as usize }>;
    table[Format::IQ4_NL as usize] = matmul::blocks_of_32::<{ Format::IQ4_NL as usize }>;
    table[Format::MXFP4 as usize] = matmul::blocks_of_32::<{ Format::MXFP4 as usize }>;
    table[Format::Q2_K as usize] = matmul::blocks_of_256::<{ Format::Q2_K as usize }>;
    table[Format::Q3_K as usize] = matmul::blocks_of_256::<{ Format::Q3_K as usize }>;
    table[Format::Q4_K as usize] = matmul::blocks_of_256::<{ Format::Q4_K as usize }>;
    table[Format::Q5_K as usize] = matmul::blocks_of_256::<{ Format::Q5_K as usize }>;
    table[Format::Q6_K as usize] = matmul::blocks_of_256::<{ Format::Q6_K as usize }>;
    table[Format::IQ4_XS as usize] = matmul::blocks_of_256::<{ Format::IQ4_XS as usize }>;
    table[Format::IQ1_S as usize] = matmul::blocks_of_256::<{ Format::IQ1_S as usize }>;
    table[Format::IQ1_M as usize] = matmul::blocks_of_256::<{ Format::IQ1_M as usize }>;
    table[Format::IQ2_XXS as usize] = matmul::blocks_of_256::<{ Format::IQ2_XXS as usize }>;
    table[Format::IQ2_XS as usize] = matmul::blocks_of_256::<{ Format::IQ2_XS as usize }>;
    table[Format::IQ2_S as usize] = matmul::blocks_of_256::<{ Format::IQ2_S as usize }>;
    table[Format::IQ3_XXS as usize] = matmul::blocks_of_256::<{ Format::IQ3_XXS as usize }>;
    table[Format::IQ3_S as usize] = matmul::blocks_of_256::<{ Format::IQ3_S as usize }>;
    table
};

/// The lanes of panel `p` that are rows, when `rows` are left.
#[inline]
#[target_feature(enable = "avx512f")]
fn mask(rows: usize, p: usize) -> __mmask16 {
    let lanes = rows.saturating_sub(p * 16).min(16);
    ((1u32 << lanes) - 1) as __mmask16
}

/// `sum` plus, in every 32-bit lane, both products of 16 bits. The intrinsic may be split in two instructions by the
/// compiler, which shortens a chain of them but costs a port that the other products need.
#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn add_products(mut sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
    // SAFETY: one instruction of the enabled set on registers.
    unsafe {
        std::arch::asm!("vpdpwssd {sum}, {a}, {b}", sum = inout(zmm_reg) sum, a = in(zmm_reg) a, b = in(zmm_reg) b,
            options(pure, nomem, nostack, preserves_flags));
    }
    sum
}

/// Asks for the integers at `k` of the next `T` tokens. Long rows of activations, a power of two apart, crowd a few sets of
/// the caches: without this, k = 8192 loses a tenth of its speed. Short rows need no help, and pay 3 % for it.
#[inline]
fn prefetch_next<const T: usize>(tile: &Tile, k: usize) {
    if tile.q_stride <= 4096 {
        return;
    }
    for t in T..2 * T {
        // SAFETY: prefetching has no effect but on speed, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(tile.q.wrapping_add(t * tile.q_stride + k)) }
    }
}

/// Loads a vector.
///
/// # Safety
/// 64 bytes at `at` can be read.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn load(at: *const u8) -> __m512i {
    // SAFETY: the caller's promise; the load needs no alignment.
    unsafe { _mm512_loadu_si512(at.cast()) }
}

/// The 4 bytes at `at` in every lane.
///
/// # Safety
/// 4 bytes at `at` can be read.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn splat(at: *const u8) -> __m512i {
    // SAFETY: the caller's promise.
    _mm512_set1_epi32(unsafe { at.cast::<i32>().read_unaligned() })
}

/// The float at `at` in every lane.
///
/// # Safety
/// 4 bytes at `at` can be read.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn splat_f32(at: *const f32) -> __m512 {
    // SAFETY: the caller's promise.
    _mm512_set1_ps(unsafe { at.read_unaligned() })
}
