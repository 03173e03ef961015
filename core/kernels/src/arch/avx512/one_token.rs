//! One token times eight rows with 6-bit scales: a register is 32 values of one row, so that nothing is turned around.
//!
//! A row's sums are only added up across lanes at the end of a block. Blocks of 32 have nothing to gain: each would end
//! with that addition. 256-bit registers, as in `few`.

use std::arch::x86_64::*;

use super::few::put;
use crate::arch::avx2::unpack::{Rows, nibbles, prefetch_rows, store, transpose};
use crate::arch::avx2::unpack32::widen;
use crate::arch::avx2::unpack256::{gather, scales_and_mins};
use crate::arch::avx2::{load, splat, splat_f32};
use crate::arch::panel::Tile;
use crate::format::Format;

/// Q4_K or Q5_K.
///
/// # Safety
/// As `Panels::few`, for one token whose sums are per 32 values.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
pub(crate) unsafe fn with_min<const F: usize>(rows: &Rows, ahead: *const u8, tile: &Tile) {
    let format = const { Format::ALL[F] };
    let (bytes, low) = (format.block_bytes(), format.block_bytes() - 128);
    // The scales of a block are ready while the rows of the one before are multiplied: who waits for them would wait for eight
    // loads, a transposition, a store and a load.
    let scales_at = |b: usize| tile.panel.wrapping_add(b % 2 * 256);
    let head_of = |b: usize| {
        // SAFETY: block `b` of every row is readable; the panel has room for the scales of two blocks.
        unsafe {
            let head = transpose(rows, b * bytes);
            let (scales, mins) = scales_and_mins(&head);
            // One scale a lane: from there each is broadcast as it is multiplied.
            for i in 0..8 {
                let moved = _mm256_srl_epi32(scales[i / 4], _mm_cvtsi32_si128(8 * (i % 4) as i32));
                store(scales_at(b).add(i * 32), _mm256_and_si256(moved, _mm256_set1_epi32(0xFF)));
            }
            (head[0], mins)
        }
    };
    let mut acc = _mm256_setzero_ps();
    let mut next = head_of(0);
    for b in 0..tile.blocks {
        prefetch_rows(ahead, b, bytes);
        let at = b * bytes;
        let (factors, mins) = next;
        if b + 1 < tile.blocks {
            next = head_of(b + 1);
        }
        // SAFETY: block `b` of every row and of the token is readable, as are its sums.
        unsafe {
            let q = token(tile, b);
            let mut sums = [_mm256_setzero_si256(); 8];
            for (r, sum) in sums.iter_mut().enumerate() {
                let row = rows[r].add(at);
                let scale = |i: usize| splat(scales_at(b).add(i * 32 + r * 4));
                let high = if format == Format::Q5_K { load(row.add(16)) } else { _mm256_setzero_si256() };
                let fifth = |v, i: usize| {
                    if format != Format::Q5_K {
                        return v;
                    }
                    let bit = _mm256_test_epi8_mask(high, _mm256_set1_epi8((1u8 << i) as i8));
                    _mm256_mask_add_epi8(v, bit, v, _mm256_set1_epi8(16))
                };
                let mut isum = _mm256_setzero_si256();
                for pair in 0..4 {
                    let v = load(row.add(low + pair * 32));
                    let (i, j) = (2 * pair, 2 * pair + 1);
                    isum = add_scaled(isum, fifth(nibbles::<0>(v), i), q[i], scale(i));
                    isum = add_scaled(isum, fifth(nibbles::<4>(v), j), q[j], scale(j));
                }
                *sum = isum;
            }
            let isum = across(&sums);
            let dx = splat_f32(tile.d.add(b));
            let sum = _mm256_mul_ps(widen(factors), _mm256_cvtepi32_ps(isum));
            let msum = _mm256_cvtepi32_ps(min_sum(&mins, tile.sums.add(b * 16)));
            let sum = _mm256_fnmadd_ps(widen(_mm256_srli_epi32::<16>(factors)), msum, sum);
            acc = _mm256_fmadd_ps(dx, sum, acc);
        }
    }
    // SAFETY: the outputs are the caller's promise.
    unsafe { put(tile, [acc]) }
}

/// Q6_K.
///
/// # Safety
/// As `Panels::few`, for one token whose sums are per 16 values.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
pub(crate) unsafe fn q6_k(rows: &Rows, ahead: *const u8, tile: &Tile) {
    let bytes = const { Format::Q6_K.block_bytes() };
    // Even scales to the lower half of a register, odd ones to the upper.
    let order = _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
    let order16 = _mm256_cvtepi8_epi16(order);
    let six = |low, high| {
        let v = _mm256_ternarylogic_epi32::<0xCA>(_mm256_set1_epi8(15), low, high);
        _mm256_and_si256(v, _mm256_set1_epi8(63))
    };
    // A block of a row: its scales, and its low and high bits.
    let read = |row: *const u8| {
        // SAFETY: the block is readable.
        unsafe { (_mm_loadu_si128(row.add(192).cast()), [0, 32, 64, 96, 128, 160].map(|i| load(row.add(i)))) }
    };
    let mut acc = _mm256_setzero_ps();
    let mut next = read(rows[0]);
    for b in 0..tile.blocks {
        prefetch_rows(ahead, b, bytes);
        let at = b * bytes;
        // SAFETY: block `b` of every row and of the token is readable, as are its sums.
        unsafe {
            let q = token(tile, b);
            let minus_sums = _mm256_permutexvar_epi16(order16, load(tile.sums.add(b * 32)));
            let minus_sums = _mm256_sub_epi16(_mm256_setzero_si256(), minus_sums);
            let mut sums = [_mm256_setzero_si256(); 8];
            for (r, sum) in sums.iter_mut().enumerate() {
                let (scales, parts) = next;
                // A row before, from the second-level cache.
                if r < 7 {
                    next = read(rows[r + 1].add(at));
                } else if b + 1 < tile.blocks {
                    next = read(rows[0].add(at + bytes));
                }
                let scales = _mm256_cvtepi8_epi16(_mm_shuffle_epi8(scales, order));
                // Scale i of each half in the lower 16 bits of its lanes, 0 above.
                let scale = |i: usize| {
                    let i = 2 * i as i32;
                    _mm256_shuffle_epi8(scales, _mm256_set1_epi32(0x8080_0000_u32 as i32 | (i + 1) << 8 | i))
                };
                // The bias first: -32 times each scale times its sum.
                let mut isum = _mm256_slli_epi32::<5>(_mm256_madd_epi16(scales, minus_sums));
                for half in 0..2 {
                    let low = [parts[half * 2], parts[half * 2 + 1]];
                    let high = parts[4 + half];
                    let mut add = |j: usize, w| isum = add_scaled(isum, w, q[half * 4 + j], scale(half * 4 + j));
                    add(0, six(low[0], _mm256_slli_epi16::<4>(high)));
                    add(1, six(low[1], _mm256_slli_epi16::<2>(high)));
                    add(2, six(_mm256_srli_epi16::<4>(low[0]), high));
                    add(3, six(_mm256_srli_epi16::<4>(low[1]), _mm256_srli_epi16::<2>(high)));
                }
                *sum = isum;
            }
            let isum = across(&sums);
            // d is the block's last 2 bytes.
            let d = widen(_mm256_srli_epi32::<16>(gather(rows, at + 206)));
            let d = _mm256_mul_ps(d, splat_f32(tile.d.add(b)));
            acc = _mm256_fmadd_ps(d, _mm256_cvtepi32_ps(isum), acc);
        }
    }
    // SAFETY: the outputs are the caller's promise.
    unsafe { put(tile, [acc]) }
}

/// The integers of the token's block `b`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn token(tile: &Tile, b: usize) -> [__m256i; 8] {
    // SAFETY: the caller's block has 256 integers.
    std::array::from_fn(|i| unsafe { load(tile.q.add(b * 256 + i * 32).cast()) })
}

/// `sum` plus the products of bytes, added up in fours, times 16-bit scales. Four products fit 16 bits: at most
/// 63 * 127 * 4.
#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx512vnni,avx2")]
fn add_scaled(sum: __m256i, w: __m256i, q: __m256i, scale: __m256i) -> __m256i {
    _mm256_dpwssd_epi32(sum, _mm256_dpbusd_epi32(_mm256_setzero_si256(), w, q), scale)
}

/// The totals over all lanes of eight registers, one in each lane.
#[inline]
#[target_feature(enable = "avx2")]
fn across(sums: &[__m256i; 8]) -> __m256i {
    let pair = |i: usize| {
        let (a, b) = (sums[i], sums[i + 1]);
        _mm256_add_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b))
    };
    let four = |i: usize| {
        let (a, b) = (pair(i), pair(i + 2));
        _mm256_add_epi32(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b))
    };
    let (a, b) = (four(0), four(4));
    _mm256_add_epi32(_mm256_permute2x128_si256::<0x20>(a, b), _mm256_permute2x128_si256::<0x31>(a, b))
}

/// Minimums, four bytes a lane, times the sums of their 32 values.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn min_sum(mins: &[__m256i; 2], sums: *const u8) -> __m256i {
    // SAFETY: a block has 8 sums of 16 bits.
    let sums = _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(sums.cast()) });
    // Bytes 0 and 2 of a lane are one pair of 16 bits, 1 and 3 another: so are the sums.
    let order = _mm_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15);
    let sums = _mm256_shuffle_epi8(sums, _mm256_broadcastsi128_si256(order));
    let even = |v| _mm256_and_si256(v, _mm256_set1_epi16(0xFF));
    let odd = |v| _mm256_srli_epi16::<8>(v);
    let low = _mm256_add_epi32(
        _mm256_madd_epi16(even(mins[0]), _mm256_shuffle_epi32::<0x00>(sums)),
        _mm256_madd_epi16(odd(mins[0]), _mm256_shuffle_epi32::<0x55>(sums)),
    );
    let high = _mm256_add_epi32(
        _mm256_madd_epi16(even(mins[1]), _mm256_shuffle_epi32::<0xAA>(sums)),
        _mm256_madd_epi16(odd(mins[1]), _mm256_shuffle_epi32::<0xFF>(sums)),
    );
    _mm256_add_epi32(low, high)
}
