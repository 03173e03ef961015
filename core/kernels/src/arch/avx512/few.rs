//! A few tokens times eight rows straight from the weights: values are multiplied in the registers they were unpacked in.
//!
//! 256-bit registers, because three ports serve them and only two serve 512 bits, and unpacking is most of the work.

use std::arch::x86_64::*;

use crate::arch::avx2::tile256::{self, Shape};
use crate::arch::avx2::unpack::{Rows, prefetch_rows};
use crate::arch::avx2::unpack32::{self, has_min};
use crate::arch::avx2::unpack256::{self, Lane};
use crate::arch::avx2::{load, splat, splat_f32};
use crate::arch::panel::Tile;
use crate::format::Format;

/// A format with blocks of 32.
///
/// # Safety
/// As `Panels::few`, for `T` tokens.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
pub(crate) unsafe fn of_32<const F: usize, const T: usize>(rows: &Rows, ahead: *const u8, tile: &Tile) {
    let format = const { Format::ALL[F] };
    let bytes = format.block_bytes();
    let mut acc = [_mm256_setzero_ps(); T];
    // One token is done with a block sooner than the next one comes from the second-level cache: it is read a block before.
    // SAFETY: there is a block of every row.
    let mut next = unsafe { unpack32::read::<F>(rows, 0) };
    for b in 0..tile.blocks {
        prefetch_rows(ahead, b, bytes);
        // SAFETY: block `b` of every row and token is readable, as is its entry in the sums.
        unsafe {
            let raw = if T == 1 { next } else { unpack32::read::<F>(rows, b * bytes) };
            if T == 1 && b + 1 < tile.blocks {
                next = unpack32::read::<F>(rows, (b + 1) * bytes);
            }
            let (d, m) = factors::<F>(raw.head);
            // High halves stay 16 times too large until they are added up: one shift for four.
            let w = match format {
                Format::Q4_0 => unpack32::unshifted(raw.values),
                _ => unpack32::groups::<F>(raw.values, raw.top),
            };
            for (t, acc) in acc.iter_mut().enumerate() {
                let sum = tile.sums.add(t * tile.sums_stride + b * 4);
                let q = tile.q.add(t * tile.q_stride + b * 32);
                let mut halves =
                    [if has_min(format) { _mm256_setzero_si256() } else { splat(sum) }, _mm256_setzero_si256()];
                // Two sums: a chain of eight would be as long as the loop.
                for (g, w) in w.iter().enumerate() {
                    let half = &mut halves[g / 4];
                    *half = _mm256_dpbusd_epi32(*half, *w, splat(q.add(g * 4).cast()));
                }
                if format == Format::Q4_0 {
                    halves[1] = _mm256_srai_epi32::<4>(halves[1]);
                }
                let isum = _mm256_add_epi32(halves[0], halves[1]);
                let dx = splat_f32(tile.d.add(t * tile.d_stride + b));
                *acc = _mm256_fmadd_ps(_mm256_mul_ps(d, dx), _mm256_cvtepi32_ps(isum), *acc);
                if has_min(format) {
                    *acc = _mm256_fmadd_ps(_mm256_mul_ps(m, dx), splat_f32(sum.cast()), *acc);
                }
            }
        }
    }
    // SAFETY: the outputs are the caller's promise.
    unsafe { put(tile, acc) }
}

/// `unpack32::factors` with this set's narrowing.
#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx2,fma,f16c")]
fn factors<const F: usize>(head: __m256i) -> (__m256, __m256) {
    match const { Format::ALL[F] } {
        Format::MXFP4 => unpack32::factors::<F>(head),
        format if has_min(format) => (widen(head), widen(_mm256_srli_epi32::<16>(head))),
        _ => (widen(head), _mm256_setzero_ps()),
    }
}

/// The half-precision numbers in the low 16 bits of each lane.
#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx2,fma,f16c")]
fn widen(v: __m256i) -> __m256 {
    _mm256_cvtph_ps(_mm256_cvtepi32_epi16(v))
}

/// A format with blocks of 256.
///
/// # Safety
/// As `Panels::few`, for `T` tokens.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
pub(crate) unsafe fn of_256<S: Shape, const F: usize, const T: usize>(rows: &Rows, ahead: *const u8, tile: &Tile) {
    let bytes = const { Format::ALL[F].block_bytes() };
    let layout = S::SIDE;
    let mut acc = [_mm256_setzero_ps(); T];
    for b in 0..tile.blocks {
        prefetch_rows(ahead, b, bytes);
        // SAFETY: block `b` of every row and token is readable, as are its sums; the panel has room for its scales.
        unsafe {
            let side = tile.panel;
            unpack256::head::<F, 32>(layout, rows, b * bytes, side);
            let mut isum = [_mm256_setzero_si256(); T];
            unpack256::units::<F>(rows, b * bytes, |unit, w| {
                let scale = load(side.add(unit * layout.scales / 16 * 32));
                for (t, isum) in isum.iter_mut().enumerate() {
                    let q = tile.q.add(t * tile.q_stride + b * 256 + unit * 16);
                    let mut total = _mm256_setzero_si256();
                    for (g, w) in w.iter().enumerate() {
                        total = _mm256_dpbusd_epi32(total, *w, splat(q.add(g * 4).cast()));
                    }
                    *isum = match layout.lane {
                        // The total fits 16 bits: the lower half of the lane times the scale, the upper times 0.
                        Lane::Low => _mm256_dpwssd_epi32(*isum, total, scale),
                        _ => _mm256_add_epi32(*isum, _mm256_mullo_epi32(total, scale)),
                    };
                }
            });
            for (t, acc) in acc.iter_mut().enumerate() {
                let sums = tile.sums.add(t * tile.sums_stride + b * S::SUMS);
                let dx = splat_f32(tile.d.add(t * tile.d_stride + b));
                *acc = tile256::finish::<S>(side, sums, isum[t], dx, *acc);
            }
        }
    }
    // SAFETY: the outputs are the caller's promise.
    unsafe { put(tile, acc) }
}

/// Stores the lanes that are rows.
///
/// # Safety
/// The outputs of `T` tokens can be written, as far as the tile has rows.
#[inline]
#[target_feature(enable = "avx512f,avx512vl")]
pub(super) unsafe fn put<const T: usize>(tile: &Tile, acc: [__m256; T]) {
    let mask = ((1u32 << tile.rows.min(8)) - 1) as __mmask8;
    for (t, acc) in acc.into_iter().enumerate() {
        // SAFETY: the mask keeps the store inside the row of outputs.
        unsafe { _mm256_mask_storeu_ps(tile.out.add(t * tile.out_stride), mask, acc) };
    }
}
