//! Eight weight rows turned so that a lane is a row: what every unpacking starts with.

use std::arch::x86_64::*;

/// Eight row pointers, in lane order.
pub(crate) type Rows = [*const u8; 8];

/// The 16 bytes at `at` of each row as four vectors of 32-bit lanes: vector i holds bytes 4i..4i+4 of every row.
///
/// # Safety
/// Every row can be read at `at..at + 16`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) unsafe fn transpose(rows: &Rows, at: usize) -> [__m256i; 4] {
    // SAFETY: the caller's promise.
    let pair = |i: usize| unsafe {
        let low = _mm256_castsi128_si256(_mm_loadu_si128(rows[i].add(at).cast()));
        _mm256_inserti128_si256::<1>(low, _mm_loadu_si128(rows[i + 4].add(at).cast()))
    };
    let (a, b, c, d) = (pair(0), pair(1), pair(2), pair(3));
    let (ab, cd) = (_mm256_unpacklo_epi32(a, b), _mm256_unpacklo_epi32(c, d));
    let (ef, gh) = (_mm256_unpackhi_epi32(a, b), _mm256_unpackhi_epi32(c, d));
    [
        _mm256_unpacklo_epi64(ab, cd),
        _mm256_unpackhi_epi64(ab, cd),
        _mm256_unpacklo_epi64(ef, gh),
        _mm256_unpackhi_epi64(ef, gh),
    ]
}

/// Stores a vector.
///
/// # Safety
/// 32 bytes at `at` can be written.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) unsafe fn store(at: *mut u8, v: __m256i) {
    // SAFETY: the caller's promise; the store needs no alignment.
    unsafe { _mm256_storeu_si256(at.cast(), v) }
}

/// The low 4 bits of each byte of `v >> SHIFT`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn nibbles<const SHIFT: i32>(v: __m256i) -> __m256i {
    _mm256_and_si256(_mm256_srli_epi16::<SHIFT>(v), _mm256_set1_epi8(15))
}

/// Bits `bit..` of each byte under `mask`, moved to bit `to`; a bit count known only to the loop costs one shift more.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn move_bits(v: __m256i, bit: i32, to: i32, mask: i8) -> __m256i {
    let right = _mm256_srl_epi16(v, _mm_cvtsi32_si128((bit - to).max(0)));
    let moved = _mm256_sll_epi16(right, _mm_cvtsi32_si128((to - bit).max(0)));
    _mm256_and_si256(moved, _mm256_set1_epi8(mask << to))
}

/// Looks bytes of 0..=15 up in 16 signed bytes.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) fn look_up(table: &[i8; 16], v: __m256i) -> __m256i {
    // SAFETY: 16 bytes are read from an array of 16.
    let table = unsafe { _mm_loadu_si128(table.as_ptr().cast()) };
    _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), v)
}

/// Asks for block `b` of the eight rows at `ahead` taken as one stream, for blocks of `bytes`. Into the second-level cache:
/// long rows and Q8_0 gain 5-15 % over the first, whose few fill buffers the loads need.
#[inline]
pub(crate) fn prefetch_rows(ahead: *const u8, b: usize, bytes: usize) {
    for line in (0..8 * bytes).step_by(64) {
        // SAFETY: prefetching has no effect but on speed, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(ahead.wrapping_add(b * 8 * bytes + line).cast()) }
    }
}

/// The rows of a panel in eights.
pub(crate) fn halves_of<const N: usize>(rows: &[*const u8]) -> [&Rows; N] {
    std::array::from_fn(|i| rows[i * 8..][..8].try_into().expect("a panel has 8 rows per half"))
}
