//! Register tiles for formats with blocks of 256: up to 6 tokens times 2 panels of 16 rows.
//!
//! `vpdpbusd` sums the values of a scale to a total, two totals go into the halves of a lane as 16 bits, and one `vpdpwssd`
//! multiplies them by their integer scales and adds. On Zen 4 only what multiplies is scarce, one instruction a cycle: joining
//! two totals is free. Totals fit 16 bits unless many activations in a row are large, which the activations' magnitudes tell;
//! such a block is computed in 32 bits.

use std::arch::x86_64::*;

use super::{add_products, load, mask, prefetch_next, splat, splat_f32};
use crate::arch::avx2::unpack256::Side;
use crate::arch::panel::Tile;

/// How a format of 256 values is tiled.
pub(crate) trait Shape {
    /// Values of k in a total: those that share a scale.
    const STEP: usize;
    /// What the bytes of the panel lie above the integers whose totals are formed; 0: the totals start at 0.
    const BIAS: i32;
    /// The largest of those integers without its sign; None: their totals hardly ever fit 16 bits.
    const MOST: Option<i32>;
    /// Minimums and corrections are per 32 values (per 16 otherwise).
    const PER_32: bool;
    /// The vectors behind the panel.
    const SIDE: Side;

    /// Pairs of sums of activations per block.
    const PAIRS: usize =
        if Self::SIDE.mins > Self::SIDE.corrections { Self::SIDE.mins } else { Self::SIDE.corrections };
    /// Bytes of sums per token and block: the pairs, then the start values.
    const SUMS: usize = Self::PAIRS * 4 + if Self::BIAS != 0 { 256 / Self::STEP * 4 } else { 0 };
    /// The largest magnitude of activations, for 16 values, with which all totals fit 16 bits.
    const FITS: i32 = match Self::MOST {
        Some(most) => i16::MAX as i32 / (most * (Self::STEP / 16) as i32),
        None => 0,
    };
}

/// Writes the sums of one token's blocks: pairs of sums of activations, then where the total of every step starts.
///
/// # Safety
/// As `Panels::sums`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
pub(crate) unsafe fn sums<S: Shape>(s: *const i16, blocks: usize, sums: *mut u8) {
    for b in 0..blocks {
        // SAFETY: block `b` is readable and has room, with slack behind the last.
        unsafe {
            let to = sums.add(b * S::SUMS);
            let s16 = _mm256_loadu_si256(s.add(b * 16).cast());
            let s32 = _mm256_madd_epi16(s16, _mm256_set1_epi16(1));
            if S::PAIRS > 0 && S::PER_32 {
                _mm_storeu_si128(to.cast(), _mm256_cvtepi32_epi16(s32));
            } else if S::PAIRS > 0 {
                _mm256_storeu_si256(to.cast(), s16);
            }
            let starts = to.add(S::PAIRS * 4);
            if S::BIAS != 0 && S::STEP == 32 {
                _mm256_storeu_si256(starts.cast(), _mm256_mullo_epi32(s32, _mm256_set1_epi32(-S::BIAS)));
            } else if S::BIAS != 0 {
                let s16 = _mm512_cvtepi16_epi32(s16);
                _mm512_storeu_si512(starts.cast(), _mm512_mullo_epi32(s16, _mm512_set1_epi32(-S::BIAS)));
            }
        }
    }
}

/// Adds a tile's products to its outputs.
///
/// # Safety
/// As `Panels::tile`, for `T` tokens and `P` panels.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
pub(crate) unsafe fn tile<S: Shape, const T: usize, const P: usize>(tile: &Tile) {
    let layout = S::SIDE;
    let masks: [__mmask16; P] = std::array::from_fn(|p| mask(tile.rows, p));
    for b in 0..tile.blocks {
        // SAFETY: block `b` of every token and panel is readable, as are its sums and scales; masks keep the outputs
        // inside their row.
        unsafe {
            let panel: [*mut u8; P] = std::array::from_fn(|p| tile.panel.add(p * tile.panel_stride + b * 64 * 64));
            let side: [*mut u8; P] =
                std::array::from_fn(|p| tile.panel.add(p * tile.panel_stride + tile.side + b * layout.vectors() * 64));
            let q: [*const i8; T] = std::array::from_fn(|t| tile.q.add(t * tile.q_stride + b * 256));
            let sums: [*const u8; T] = std::array::from_fn(|t| tile.sums.add(t * tile.sums_stride + b * S::SUMS));
            for line in 0..4 {
                prefetch_next::<T>(tile, b * 256 + line * 64);
            }
            let at = Block::<T, P> { panel, side, q, starts: sums.map(|sums| sums.add(S::PAIRS * 4)) };
            let magnitude = |t: usize| i32::from(*tile.m.add(t * tile.d_stride + b));
            let fits = S::FITS >= 16 * 127 || (S::FITS > 0 && (0..T).all(|t| magnitude(t) <= S::FITS));
            let isum = if fits { narrow::<S, T, P>(&at) } else { wide::<S, T, P>(&at) };
            let vector = |p: usize, i: usize| load(side[p].add(i * 64));
            let factors = layout.scales + layout.mins + layout.corrections;
            for p in 0..P {
                for t in 0..T {
                    let pair = |i: usize| splat(sums[t].add(i * 4));
                    let out = tile.out.add(t * tile.out_stride + p * 16);
                    let mut acc = _mm512_maskz_loadu_ps(masks[p], out);
                    let dx = splat_f32(tile.d.add(t * tile.d_stride + b));
                    let mut isum = isum[t][p];
                    for i in 0..layout.corrections {
                        isum = add_products(isum, vector(p, layout.scales + layout.mins + i), pair(i));
                    }
                    let (d, isum) = (_mm512_castsi512_ps(vector(p, factors)), _mm512_cvtepi32_ps(isum));
                    if layout.mins == 0 {
                        acc = _mm512_fmadd_ps(_mm512_mul_ps(d, dx), isum, acc);
                    } else {
                        let mut msum = _mm512_setzero_si512();
                        for i in 0..layout.mins {
                            msum = add_products(msum, vector(p, layout.scales + i), pair(i));
                        }
                        let minus = _mm512_castsi512_ps(vector(p, factors + 1));
                        let sum = _mm512_fmadd_ps(minus, _mm512_cvtepi32_ps(msum), _mm512_mul_ps(d, isum));
                        acc = _mm512_fmadd_ps(dx, sum, acc);
                    }
                    _mm512_mask_storeu_ps(out, masks[p], acc);
                }
            }
        }
    }
}

/// A block of the tile's tokens and panels.
struct Block<const T: usize, const P: usize> {
    panel: [*mut u8; P],
    side: [*mut u8; P],
    q: [*const i8; T],
    starts: [*const u8; T],
}

/// The totals of step `step` of a block.
///
/// # Safety
/// The block's pointers are readable.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
unsafe fn totals<S: Shape, const T: usize, const P: usize>(at: &Block<T, P>, step: usize) -> [[__m512i; P]; T] {
    let mut total = [[_mm512_setzero_si512(); P]; T];
    // SAFETY: the caller's promise.
    unsafe {
        if S::BIAS != 0 {
            for (total, starts) in total.iter_mut().zip(at.starts) {
                *total = [splat(starts.add(step * 4)); P];
            }
        }
        for group in step * S::STEP / 4..(step + 1) * S::STEP / 4 {
            let w = at.panel.map(|panel| load(panel.add(group * 64)));
            for (total, q) in total.iter_mut().zip(at.q) {
                let a = splat(q.add(group * 4).cast());
                for (total, w) in total.iter_mut().zip(w) {
                    *total = _mm512_dpbusd_epi32(*total, w, a);
                }
            }
        }
    }
    total
}

/// The scaled dot products of a block whose totals fit 16 bits, pairs of scales in the lanes.
///
/// # Safety
/// The block's pointers are readable.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
unsafe fn narrow<S: Shape, const T: usize, const P: usize>(at: &Block<T, P>) -> [[__m512i; P]; T] {
    let mut isum = [[_mm512_setzero_si512(); P]; T];
    for pair in 0..128 / S::STEP {
        // SAFETY: the caller's promise.
        unsafe {
            let (low, high) = (totals::<S, T, P>(at, 2 * pair), totals::<S, T, P>(at, 2 * pair + 1));
            for p in 0..P {
                let scales = load(at.side[p].add(pair * 64));
                for t in 0..T {
                    isum[t][p] = add_products(isum[t][p], join(low[t][p], high[t][p]), scales);
                }
            }
        }
    }
    isum
}

/// The scaled dot products of a block in 32 bits.
///
/// # Safety
/// The block's pointers are readable.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
unsafe fn wide<S: Shape, const T: usize, const P: usize>(at: &Block<T, P>) -> [[__m512i; P]; T] {
    let mut isum = [[_mm512_setzero_si512(); P]; T];
    for step in 0..256 / S::STEP {
        // SAFETY: the caller's promise.
        let total = unsafe { totals::<S, T, P>(at, step) };
        for p in 0..P {
            // SAFETY: the caller's promise.
            let scale = unsafe { scale::<S>(at.side[p], step) };
            for t in 0..T {
                isum[t][p] = _mm512_add_epi32(isum[t][p], _mm512_mullo_epi32(total[t][p], scale));
            }
        }
    }
    isum
}

/// The scale of step `step` in 32 bits, from one of each or from pairs in the halves of a lane.
///
/// # Safety
/// `side` is readable.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
unsafe fn scale<S: Shape>(side: *const u8, step: usize) -> __m512i {
    // SAFETY: the caller's promise.
    unsafe {
        match S::MOST {
            None => load(side.add(step * S::STEP * S::SIDE.scales / 256 * 64)),
            Some(_) if step.is_multiple_of(2) => {
                _mm512_srai_epi32::<16>(_mm512_slli_epi32::<16>(load(side.add(step / 2 * 64))))
            }
            Some(_) => _mm512_srai_epi32::<16>(load(side.add(step / 2 * 64))),
        }
    }
}

/// The lower halves of the lanes of both.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn join(low: __m512i, high: __m512i) -> __m512i {
    _mm512_mask_blend_epi16(0xAAAA_AAAA, low, _mm512_slli_epi32::<16>(high))
}
