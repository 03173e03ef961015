//! Register tiles for formats with blocks of 32: up to 4 tokens times a panel of 8 rows.

use std::arch::x86_64::*;

use super::{dot, load, mask, splat, splat_f32};
use crate::arch::panel::Tile;

/// How the bytes of a format are multiplied.
pub(crate) trait Shape {
    /// Groups of 4 k whose pair sums fit 16 bits; 1: the bytes are signed ones plus 128 and are multiplied as magnitudes.
    const GROUPS: usize;
    /// The format has a minimum.
    const MIN: bool;
    /// `vpdpbusd` is there, which sums to 32 bits: `GROUPS` do not matter and all bytes are unsigned ones.
    const VNNI: bool;

    /// The sum starts at what the bytes' bias adds, taken off: not for magnitudes, nor where a minimum's sum is a float.
    const BIASED: bool = !Self::MIN && (Self::VNNI || Self::GROUPS > 1);
}

/// Adds a tile's products to its outputs. The sums are those of the activations as floats for formats with a minimum,
/// otherwise `-bias * sum` as i32.
///
/// # Safety
/// As `Panels::tile`, for `T` tokens and one panel.
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) unsafe fn tile<S: Shape, const T: usize>(tile: &Tile) {
    let side_stride = if S::MIN { 64 } else { 32 };
    let mask = mask(tile.rows);
    let ones = _mm256_set1_epi16(1);
    let mut acc = [_mm256_setzero_ps(); T];
    for (t, acc) in acc.iter_mut().enumerate() {
        // SAFETY: the mask keeps the load inside the row of outputs.
        *acc = unsafe { _mm256_maskload_ps(tile.out.add(t * tile.out_stride), mask) };
    }
    for b in 0..tile.blocks {
        // SAFETY: block `b` of every token and of the panel is readable, as is its entry in the sums.
        unsafe {
            let sums: [*const u8; T] = std::array::from_fn(|t| tile.sums.add(t * tile.sums_stride + b * 4));
            let mut isum: [__m256i; T] =
                std::array::from_fn(|t| if S::BIASED { splat(sums[t]) } else { _mm256_setzero_si256() });
            for part in 0..8 / S::GROUPS {
                let mut pairs = [_mm256_setzero_si256(); T];
                for g in 0..S::GROUPS {
                    let at = part * S::GROUPS + g;
                    let w = load(tile.panel.add((b * 8 + at) * 32));
                    for t in 0..T {
                        let a = splat(tile.q.add(t * tile.q_stride + b * 32 + at * 4).cast());
                        if S::VNNI {
                            isum[t] = dot(isum[t], w, a);
                        } else if S::GROUPS == 1 {
                            let signed = _mm256_xor_si256(w, _mm256_set1_epi8(-128));
                            let a = _mm256_sign_epi8(a, signed);
                            pairs[t] = _mm256_maddubs_epi16(_mm256_abs_epi8(signed), a);
                        } else {
                            pairs[t] = _mm256_add_epi16(pairs[t], _mm256_maddubs_epi16(w, a));
                        }
                    }
                }
                for t in 0..T {
                    if !S::VNNI {
                        isum[t] = _mm256_add_epi32(isum[t], _mm256_madd_epi16(pairs[t], ones));
                    }
                }
            }
            let side = tile.panel.add(tile.side + b * side_stride);
            let d = _mm256_castsi256_ps(load(side));
            for t in 0..T {
                let dx = splat_f32(tile.d.add(t * tile.d_stride + b));
                acc[t] = _mm256_fmadd_ps(_mm256_mul_ps(d, dx), _mm256_cvtepi32_ps(isum[t]), acc[t]);
                if S::MIN {
                    let m = _mm256_castsi256_ps(load(side.add(32)));
                    acc[t] = _mm256_fmadd_ps(_mm256_mul_ps(m, dx), splat_f32(sums[t].cast()), acc[t]);
                }
            }
        }
    }
    for (t, acc) in acc.iter().enumerate() {
        // SAFETY: the mask keeps the store inside the row of outputs.
        unsafe { _mm256_maskstore_ps(tile.out.add(t * tile.out_stride), mask, *acc) };
    }
}
