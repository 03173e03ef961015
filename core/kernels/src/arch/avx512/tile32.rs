//! Register tiles for formats with blocks of 32: up to 6 tokens times 2 panels of 16 rows.

use std::arch::x86_64::*;

use super::{load, mask, prefetch_next, splat, splat_f32};
use crate::arch::panel::Tile;

/// Adds a tile's products to its outputs. `MIN`: the format has a minimum, and the sums are those of the activations as
/// floats; otherwise they are `-bias * sum` as i32, where the integer sum starts.
///
/// # Safety
/// As `Panels::tile`, for `T` tokens and `P` panels.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
pub(crate) unsafe fn tile<const MIN: bool, const T: usize, const P: usize>(tile: &Tile) {
    let side_stride = if MIN { 128 } else { 64 };
    let masks: [__mmask16; P] = std::array::from_fn(|p| mask(tile.rows, p));
    let mut acc = [[_mm512_setzero_ps(); P]; T];
    for (t, acc) in acc.iter_mut().enumerate() {
        for (p, acc) in acc.iter_mut().enumerate() {
            // SAFETY: the mask keeps the load inside the row of outputs.
            *acc = unsafe { _mm512_maskz_loadu_ps(masks[p], tile.out.add(t * tile.out_stride + p * 16)) };
        }
    }
    for b in 0..tile.blocks {
        // SAFETY: block `b` of every token and panel is readable, as is its entry in the sums.
        unsafe {
            let sums: [*const u8; T] = std::array::from_fn(|t| tile.sums.add(t * tile.sums_stride + b * 4));
            prefetch_next::<T>(tile, b * 32);
            let mut isum = [[_mm512_setzero_si512(); P]; T];
            if !MIN {
                for (t, isum) in isum.iter_mut().enumerate() {
                    *isum = [splat(sums[t]); P];
                }
            }
            for g in 0..8 {
                let w: [__m512i; P] =
                    std::array::from_fn(|p| load(tile.panel.add(p * tile.panel_stride + (b * 8 + g) * 64)));
                for (t, isum) in isum.iter_mut().enumerate() {
                    let a = splat(tile.q.add(t * tile.q_stride + b * 32 + g * 4).cast());
                    for (p, isum) in isum.iter_mut().enumerate() {
                        *isum = _mm512_dpbusd_epi32(*isum, w[p], a);
                    }
                }
            }
            for p in 0..P {
                let side = tile.panel.add(p * tile.panel_stride + tile.side + b * side_stride);
                let d = _mm512_castsi512_ps(load(side));
                for t in 0..T {
                    let dx = splat_f32(tile.d.add(t * tile.d_stride + b));
                    let i = _mm512_cvtepi32_ps(isum[t][p]);
                    acc[t][p] = _mm512_fmadd_ps(_mm512_mul_ps(d, dx), i, acc[t][p]);
                    if MIN {
                        let m = _mm512_castsi512_ps(load(side.add(64)));
                        let s = splat_f32(sums[t].cast());
                        acc[t][p] = _mm512_fmadd_ps(_mm512_mul_ps(m, dx), s, acc[t][p]);
                    }
                }
            }
        }
    }
    for (t, acc) in acc.iter().enumerate() {
        for (p, acc) in acc.iter().enumerate() {
            // SAFETY: the mask keeps the store inside the row of outputs.
            unsafe { _mm512_mask_storeu_ps(tile.out.add(t * tile.out_stride + p * 16), masks[p], *acc) };
        }
    }
}
