//! Register tiles for formats with blocks of 256: up to 6 tokens times 2 panels of 16 rows.
//!
//! `vpdpbusd` sums a few groups of 4 k to a total that fits 16 bits (a bias in its start value keeps some small), two totals go into
//! the halves of a lane, and one `vpdpwssd` multiplies them by their integer scales and adds. On Zen 4 only what multiplies is
//! scarce, one instruction a cycle: joining two totals is free, a scale for each total would cost another of those.

use std::arch::x86_64::*;

use super::{add_products, load, mask, prefetch_next, splat, splat_f32};
use crate::arch::avx2::unpack256::Side;
use crate::arch::panel::Tile;

/// How a format of 256 values is tiled.
pub(crate) trait Shape {
    /// Values of k in a total.
    const STEP: usize;
    /// What the bytes of the panel lie above the integers whose totals are formed; 0: the totals start at 0.
    const BIAS: i16;
    /// Totals may exceed 16 bits: multiply in 32.
    const WIDE: bool;
    /// Minimums and corrections are per 32 values (per 16 otherwise).
    const PER_32: bool;
    /// The vectors behind the panel.
    const SIDE: Side;

    /// Pairs of sums of activations per block.
    const PAIRS: usize =
        if Self::SIDE.mins > Self::SIDE.corrections { Self::SIDE.mins } else { Self::SIDE.corrections };
    /// Bytes of sums per token and block: the pairs, then the start values.
    const SUMS: usize = Self::PAIRS * 4 + if Self::BIAS != 0 { 256 / Self::STEP * 2 } else { 0 };
}

/// Writes the sums of one token's blocks: pairs of sums of activations, then `-BIAS` times the sum of every step.
///
/// # Safety
/// As `Panels::sums`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
pub(crate) unsafe fn sums<S: Shape>(q: *const i8, s: *const i16, blocks: usize, sums: *mut u8) {
    for b in 0..blocks {
        // SAFETY: block `b` is readable and has room, with slack behind the last.
        unsafe {
            let to = sums.add(b * S::SUMS);
            let s16 = _mm256_loadu_si256(s.add(b * 16).cast());
            let s32 = _mm256_cvtepi32_epi16(_mm256_madd_epi16(s16, _mm256_set1_epi16(1)));
            if S::PAIRS > 0 && S::PER_32 {
                _mm_storeu_si128(to.cast(), s32);
            } else if S::PAIRS > 0 {
                _mm256_storeu_si256(to.cast(), s16);
            }
            if S::BIAS == 0 {
                continue;
            }
            let to = to.add(S::PAIRS * 4);
            match S::STEP {
                32 => _mm_storeu_si128(to.cast(), _mm_mullo_epi16(s32, _mm_set1_epi16(-S::BIAS))),
                16 => _mm256_storeu_si256(to.cast(), _mm256_mullo_epi16(s16, _mm256_set1_epi16(-S::BIAS))),
                _ => {
                    for i in 0..4 {
                        // Bytes made unsigned by 128, summed by eights.
                        let q = load(q.add(b * 256 + i * 64).cast());
                        let flipped = _mm512_xor_si512(q, _mm512_set1_epi8(-128));
                        let eights = _mm512_cvtepi64_epi16(_mm512_sad_epu8(flipped, _mm512_setzero_si512()));
                        let eights = _mm_sub_epi16(eights, _mm_set1_epi16(8 * 128));
                        _mm_storeu_si128(to.add(i * 16).cast(), _mm_mullo_epi16(eights, _mm_set1_epi16(-S::BIAS)));
                    }
                }
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
            let totals = |step: usize| {
                let mut total = [[_mm512_setzero_si512(); P]; T];
                if S::BIAS != 0 {
                    for (t, total) in total.iter_mut().enumerate() {
                        *total = [splat(sums[t].add(S::PAIRS * 4 + step * 2)); P];
                    }
                }
                for g in 0..S::STEP / 4 {
                    let at = step * S::STEP / 4 + g;
                    let w: [__m512i; P] = std::array::from_fn(|p| load(panel[p].add(at * 64)));
                    for (t, total) in total.iter_mut().enumerate() {
                        let a = splat(q[t].add(at * 4).cast());
                        for (p, total) in total.iter_mut().enumerate() {
                            *total = _mm512_dpbusd_epi32(*total, w[p], a);
                        }
                    }
                }
                total
            };
            let mut isum = [[_mm512_setzero_si512(); P]; T];
            for step in (0..256 / S::STEP).step_by(if S::WIDE { 1 } else { 2 }) {
                let mut total = totals(step);
                if !S::WIDE {
                    let second = totals(step + 1);
                    for t in 0..T {
                        for p in 0..P {
                            total[t][p] = join(total[t][p], second[t][p]);
                        }
                    }
                }
                for p in 0..P {
                    let scale = load(side[p].add(step * S::STEP * layout.scales / 256 * 64));
                    for t in 0..T {
                        isum[t][p] = if S::WIDE {
                            _mm512_add_epi32(isum[t][p], _mm512_mullo_epi32(total[t][p], scale))
                        } else {
                            add_products(isum[t][p], total[t][p], scale)
                        };
                    }
                }
            }
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
                    let d = _mm512_mul_ps(_mm512_castsi512_ps(vector(p, factors)), dx);
                    acc = _mm512_fmadd_ps(d, _mm512_cvtepi32_ps(isum), acc);
                    if layout.mins > 0 {
                        let mut msum = _mm512_setzero_si512();
                        for i in 0..layout.mins {
                            msum = add_products(msum, vector(p, layout.scales + i), pair(i));
                        }
                        let d = _mm512_mul_ps(_mm512_castsi512_ps(vector(p, factors + 1)), dx);
                        acc = _mm512_fmadd_ps(d, _mm512_cvtepi32_ps(msum), acc);
                    }
                    _mm512_mask_storeu_ps(out, masks[p], acc);
                }
            }
        }
    }
}

/// The lower halves of the lanes of both.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn join(low: __m512i, high: __m512i) -> __m512i {
    _mm512_mask_blend_epi16(0xAAAA_AAAA, low, _mm512_slli_epi32::<16>(high))
}
