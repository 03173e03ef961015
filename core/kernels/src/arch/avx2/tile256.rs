//! Register tiles for formats with blocks of 256: up to 4 tokens times a panel of 8 rows.

use std::arch::x86_64::*;

use super::unpack256::Side;
use super::{dot, load, mask, splat, splat_f32};
use crate::arch::panel::Tile;

/// How a format of 256 values is tiled.
pub(crate) trait Shape {
    /// Groups of 4 k whose pair sums fit 16 bits; 1: the bytes are signed ones plus 128 and are multiplied as magnitudes.
    const GROUPS: usize;
    /// Minimums are per 32 values (pairs of sums per 16 otherwise).
    const PER_32: bool;
    /// The vectors behind the panel.
    const SIDE: Side;
    /// `vpdpbusd` is there: totals of 32 bits are multiplied with whole scales, all bytes are unsigned ones, and `GROUPS` are
    /// those that share a scale.
    const VNNI: bool;

    /// Bytes of sums per token and block.
    const SUMS: usize = if Self::SIDE.mins + Self::SIDE.corrections == 0 {
        0
    } else if Self::PER_32 {
        16
    } else {
        32
    };
}

/// Writes the sums of one token's blocks, per 32 or per 16 values.
///
/// # Safety
/// As `Panels::sums`.
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) unsafe fn sums<S: Shape>(s: *const i16, blocks: usize, sums: *mut u8) {
    if S::SUMS == 0 {
        return;
    }
    for b in 0..blocks {
        // SAFETY: block `b` is readable and has room.
        unsafe {
            let to = sums.add(b * S::SUMS);
            let s = _mm256_loadu_si256(s.add(b * 16).cast());
            if S::PER_32 {
                let s = _mm256_madd_epi16(s, _mm256_set1_epi16(1));
                let s = _mm256_permute4x64_epi64::<0b1000>(_mm256_packs_epi32(s, s));
                _mm_storeu_si128(to.cast(), _mm256_castsi256_si128(s));
            } else {
                _mm256_storeu_si256(to.cast(), s);
            }
        }
    }
}

/// Adds a tile's products to its outputs.
///
/// # Safety
/// As `Panels::tile`, for `T` tokens and one panel.
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) unsafe fn tile<S: Shape, const T: usize>(tile: &Tile) {
    let layout = S::SIDE;
    let mask = mask(tile.rows);
    for b in 0..tile.blocks {
        // SAFETY: block `b` of every token and of the panel is readable, as are its sums and scales; the mask keeps
        // the outputs inside their row.
        unsafe {
            let panel = tile.panel.add(b * 64 * 32);
            let side = tile.panel.add(tile.side + b * layout.vectors() * 32);
            let vector = |i: usize| load(side.add(i * 32));
            let q: [*const i8; T] = std::array::from_fn(|t| tile.q.add(t * tile.q_stride + b * 256));
            let mut isum = [_mm256_setzero_si256(); T];
            for step in 0..64 / S::GROUPS {
                let mut sums = [_mm256_setzero_si256(); T];
                for g in 0..S::GROUPS {
                    let at = step * S::GROUPS + g;
                    let w = load(panel.add(at * 32));
                    for (t, sum) in sums.iter_mut().enumerate() {
                        let a = splat(q[t].add(at * 4).cast());
                        if S::VNNI {
                            *sum = dot(*sum, w, a);
                        } else if S::GROUPS == 1 {
                            let signed = _mm256_xor_si256(w, _mm256_set1_epi8(-128));
                            let a = _mm256_sign_epi8(a, signed);
                            *sum = _mm256_maddubs_epi16(_mm256_abs_epi8(signed), a);
                        } else {
                            *sum = _mm256_add_epi16(*sum, _mm256_maddubs_epi16(w, a));
                        }
                    }
                }
                let scale = vector(step * S::GROUPS * layout.scales / 64);
                for t in 0..T {
                    isum[t] = _mm256_add_epi32(isum[t], scaled::<S>(sums[t], scale));
                }
            }
            for (t, isum) in isum.into_iter().enumerate() {
                let out = tile.out.add(t * tile.out_stride);
                let sums = tile.sums.add(t * tile.sums_stride + b * S::SUMS);
                let dx = splat_f32(tile.d.add(t * tile.d_stride + b));
                let acc = finish::<S>(side, sums, isum, dx, _mm256_maskload_ps(out, mask));
                _mm256_maskstore_ps(out, mask, acc);
            }
        }
    }
}

/// What a step's sums are worth: pairs of 16 bits times pairs of scales, or a total times a scale.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn scaled<S: Shape>(sums: __m256i, scale: __m256i) -> __m256i {
    if S::VNNI { _mm256_mullo_epi32(sums, scale) } else { _mm256_madd_epi16(sums, scale) }
}

/// A block's last steps: the bias taken off `isum`, then the scaled sums of values and of minimums added to `acc`.
///
/// # Safety
/// `side` has the block's vectors and `sums` its sums.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) unsafe fn finish<S: Shape>(
    side: *const u8,
    sums: *const u8,
    mut isum: __m256i,
    dx: __m256,
    acc: __m256,
) -> __m256 {
    let layout = S::SIDE;
    let factors = layout.scales + layout.mins + layout.corrections;
    // SAFETY: the caller's promise.
    let vector = |i: usize| unsafe { load(side.add(i * 32)) };
    // SAFETY: the caller's promise.
    let pair = |i: usize| unsafe { splat(sums.add(i * 4)) };
    for i in 0..layout.corrections {
        let product = _mm256_madd_epi16(vector(layout.scales + layout.mins + i), pair(i));
        isum = _mm256_add_epi32(isum, product);
    }
    let (d, isum) = (_mm256_castsi256_ps(vector(factors)), _mm256_cvtepi32_ps(isum));
    if layout.mins == 0 {
        return _mm256_fmadd_ps(_mm256_mul_ps(d, dx), isum, acc);
    }
    let mut msum = _mm256_setzero_si256();
    for i in 0..layout.mins {
        msum = _mm256_add_epi32(msum, _mm256_madd_epi16(vector(layout.scales + i), pair(i)));
    }
    let minus = _mm256_castsi256_ps(vector(factors + 1));
    let sum = _mm256_fmadd_ps(minus, _mm256_cvtepi32_ps(msum), _mm256_mul_ps(d, isum));
    _mm256_fmadd_ps(dx, sum, acc)
}
