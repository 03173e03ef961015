//! A few tokens times eight rows straight from the weights: values are multiplied in the registers they were unpacked in.

use std::arch::x86_64::*;

use super::unpack::{Rows, prefetch_rows};
use super::unpack32;
use super::unpack256;
use super::{dot, load, mask, splat, splat_f32, tile32, tile256};
use crate::arch::panel::Tile;
use crate::format::Format;

/// A format with blocks of 32.
///
/// # Safety
/// As `Panels::few`, for `T` tokens.
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) unsafe fn of_32<S: tile32::Shape, const F: usize, const T: usize>(
    rows: &Rows,
    ahead: *const u8,
    tile: &Tile,
) {
    let format = const { Format::ALL[F] };
    let bytes = format.block_bytes();
    let ones = _mm256_set1_epi16(1);
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
            let w = unpack32::groups::<F>(raw.values, raw.top);
            let (d, m) = unpack32::factors::<F>(raw.head);
            for (t, acc) in acc.iter_mut().enumerate() {
                let sum = tile.sums.add(t * tile.sums_stride + b * 4);
                let q = tile.q.add(t * tile.q_stride + b * 32);
                let mut isum = if S::BIASED { splat(sum) } else { _mm256_setzero_si256() };
                if S::VNNI {
                    // Two sums: a chain of eight would be as long as the loop.
                    isum = _mm256_add_epi32(total(isum, &w[..4], q), total(_mm256_setzero_si256(), &w[4..], q.add(16)));
                } else {
                    for part in 0..8 / S::GROUPS {
                        let pairs = pairs(&w[part * S::GROUPS..][..S::GROUPS], q.add(part * S::GROUPS * 4));
                        isum = _mm256_add_epi32(isum, _mm256_madd_epi16(pairs, ones));
                    }
                }
                let dx = splat_f32(tile.d.add(t * tile.d_stride + b));
                *acc = _mm256_fmadd_ps(_mm256_mul_ps(d, dx), _mm256_cvtepi32_ps(isum), *acc);
                if S::MIN {
                    *acc = _mm256_fmadd_ps(_mm256_mul_ps(m, dx), splat_f32(sum.cast()), *acc);
                }
            }
        }
    }
    // SAFETY: the outputs are the caller's promise.
    unsafe { put(tile, acc) }
}

/// A format with blocks of 256.
///
/// # Safety
/// As `Panels::few`, for `T` tokens.
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) unsafe fn of_256<S: tile256::Shape, const F: usize, const T: usize>(
    rows: &Rows,
    ahead: *const u8,
    tile: &Tile,
) {
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
                    let groups = if S::GROUPS < 4 { S::GROUPS } else { 4 };
                    for part in 0..4 / groups {
                        let (w, q) = (&w[part * groups..][..groups], q.add(part * groups * 4));
                        let sums = if S::VNNI { total(_mm256_setzero_si256(), w, q) } else { pairs(w, q) };
                        *isum = _mm256_add_epi32(*isum, tile256::scaled::<S>(sums, scale));
                    }
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

/// Sums of pairs of products over groups of 4 k, 16 bits each. A single group holds signed bytes plus 128.
///
/// # Safety
/// `q` has 4 integers for each group.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn pairs(w: &[__m256i], q: *const i8) -> __m256i {
    if let [w] = w {
        let signed = _mm256_xor_si256(*w, _mm256_set1_epi8(-128));
        // SAFETY: the caller's promise.
        let a = _mm256_sign_epi8(unsafe { splat(q.cast()) }, signed);
        return _mm256_maddubs_epi16(_mm256_abs_epi8(signed), a);
    }
    let mut sum = _mm256_setzero_si256();
    for (g, w) in w.iter().enumerate() {
        // SAFETY: the caller's promise.
        let a = unsafe { splat(q.add(g * 4).cast()) };
        sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(*w, a));
    }
    sum
}

/// `sum` plus the products over groups of 4 k.
///
/// # Safety
/// `q` has 4 integers for each group; the CPU has AVX-VNNI.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn total(sum: __m256i, w: &[__m256i], q: *const i8) -> __m256i {
    // SAFETY: the caller's promises.
    w.iter().enumerate().fold(sum, |sum, (g, w)| unsafe { dot(sum, *w, splat(q.add(g * 4).cast())) })
}

/// Stores the lanes that are rows.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn put<const T: usize>(tile: &Tile, acc: [__m256; T]) {
    for (t, acc) in acc.into_iter().enumerate() {
        // SAFETY: the mask keeps the store inside the row of outputs.
        unsafe { _mm256_maskstore_ps(tile.out.add(t * tile.out_stride), mask(tile.rows), acc) };
    }
}
