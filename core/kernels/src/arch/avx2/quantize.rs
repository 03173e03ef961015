//! Floats to 8-bit integers with a scale per 32 or per 256 values.

use std::arch::x86_64::*;

/// As the scalar one.
///
/// # Safety
/// As `QuantizeFn`.
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) unsafe fn q8_32(x: &[f32], q: &mut [i8], d: &mut [f32], s: &mut [i16], _: &mut [u16]) {
    for (((x, q), d), s) in x.chunks_exact(32).zip(q.chunks_exact_mut(32)).zip(d).zip(s) {
        let inverse;
        (*d, inverse) = scale(x);
        let bytes = block(x, q, inverse);
        // Pairs, then quadruples, then all: the total of 32 fits 16 bits.
        let pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), bytes);
        let fours = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
        let four = _mm_add_epi32(_mm256_castsi256_si128(fours), _mm256_extracti128_si256::<1>(fours));
        let two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
        *s = _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32::<1>(two))) as i16;
    }
}

/// As the scalar one.
///
/// # Safety
/// As `QuantizeFn`.
#[target_feature(enable = "avx2,fma,f16c")]
pub(crate) unsafe fn q8_256(x: &[f32], q: &mut [i8], d: &mut [f32], s: &mut [i16], m: &mut [u16]) {
    let blocks = x.chunks_exact(256).zip(q.chunks_exact_mut(256)).zip(d);
    for ((((x, q), d), s), m) in blocks.zip(s.chunks_exact_mut(16)).zip(m) {
        let mut most = _mm256_setzero_si256();
        let inverse;
        (*d, inverse) = scale(x);
        for ((x, q), s) in x.chunks_exact(32).zip(q.chunks_exact_mut(32)).zip(s.chunks_exact_mut(2)) {
            let bytes = block(x, q, inverse);
            let pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), bytes);
            let fours = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
            let two = _mm256_add_epi32(fours, _mm256_shuffle_epi32::<0b1110>(fours));
            let one = _mm256_add_epi32(two, _mm256_shuffle_epi32::<1>(two));
            s[0] = _mm256_extract_epi32::<0>(one) as i16;
            s[1] = _mm256_extract_epi32::<4>(one) as i16;
            let eights = _mm256_sad_epu8(_mm256_abs_epi8(bytes), _mm256_setzero_si256());
            let sixteens = _mm256_add_epi32(eights, _mm256_shuffle_epi32::<0b1110>(eights));
            most = _mm256_max_epi32(most, sixteens);
        }
        *m = _mm256_extract_epi32::<0>(most).max(_mm256_extract_epi32::<4>(most)) as u16;
    }
}

/// A block's scale and its reciprocal, or two zeros where the scale is below the smallest normal float.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn scale(x: &[f32]) -> (f32, f32) {
    let mut max = _mm256_setzero_ps();
    for x in x.chunks_exact(8) {
        // SAFETY: the chunk holds 8 floats.
        let x = unsafe { _mm256_loadu_ps(x.as_ptr()) };
        // The second operand is returned where one is NaN: a NaN never becomes the maximum.
        max = _mm256_max_ps(_mm256_andnot_ps(_mm256_set1_ps(-0.0), x), max);
    }
    let four = _mm_max_ps(_mm256_castps256_ps128(max), _mm256_extractf128_ps::<1>(max));
    let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    let d = _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two))) / 127.0;
    if d < f32::MIN_POSITIVE { (0.0, 0.0) } else { (d, 1.0 / d) }
}

/// Writes and returns 32 integers.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn block(x: &[f32], q: &mut [i8], inverse: f32) -> __m256i {
    assert!(x.len() == 32 && q.len() == 32, "callers cut blocks of 32");
    let mut v = [_mm256_setzero_si256(); 4];
    for (v, x) in v.iter_mut().zip(x.chunks_exact(8)) {
        // SAFETY: the chunk holds 8 floats.
        let x = unsafe { _mm256_loadu_ps(x.as_ptr()) };
        let y = _mm256_mul_ps(x, _mm256_set1_ps(inverse));
        // A NaN converts to a large negative number; scalar makes it 0.
        let ordered = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_ORD_Q>(y, y));
        *v = _mm256_and_si256(_mm256_cvtps_epi32(y), ordered);
    }
    let (low, high) = (_mm256_packs_epi32(v[0], v[1]), _mm256_packs_epi32(v[2], v[3]));
    // Packing works per 128 bits; the permutation puts the groups of 4 back in order.
    let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    let bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high), order);
    // SAFETY: `q` is 32 bytes long.
    unsafe { _mm256_storeu_si256(q.as_mut_ptr().cast(), bytes) };
    bytes
}
