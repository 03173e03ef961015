//! Floats to 8-bit integers with a scale per 32 or per 256 values.

/// Quantizes blocks of 32 with one sum each: `q` `[n]`, `d` `[n / 32]`, `s` `[n / 32]`.
pub(crate) fn q8_32(x: &[f32], q: &mut [i8], d: &mut [f32], s: &mut [i16], _: &mut [u16]) {
    for (((x, q), d), s) in x.chunks_exact(32).zip(q.chunks_exact_mut(32)).zip(d).zip(s) {
        *d = block(x, q);
        *s = q.iter().map(|&q| i16::from(q)).sum();
    }
}

/// Quantizes blocks of 256 with sums per 16: `q` `[n]`, `d` `[n / 256]`, `s` `[n / 16]`, `m` `[n / 256]`.
pub(crate) fn q8_256(x: &[f32], q: &mut [i8], d: &mut [f32], s: &mut [i16], m: &mut [u16]) {
    let blocks = x.chunks_exact(256).zip(q.chunks_exact_mut(256)).zip(d);
    for ((((x, q), d), s), m) in blocks.zip(s.chunks_exact_mut(16)).zip(m) {
        *d = block(x, q);
        for (q, s) in q.chunks_exact(16).zip(s) {
            *s = q.iter().map(|&q| i16::from(q)).sum();
        }
        let magnitudes = q.chunks_exact(16).map(|q| q.iter().map(|q| u16::from(q.unsigned_abs())).sum());
        *m = magnitudes.max().unwrap_or(0);
    }
}

/// Quantizes one block and returns its scale, `max|x| / 127`; a NaN becomes 0, and so does the whole block where the
/// scale is below the smallest normal float (its reciprocal might overflow).
fn block(x: &[f32], q: &mut [i8]) -> f32 {
    let max = x.iter().fold(0.0f32, |max, x| if x.abs() > max { x.abs() } else { max });
    let d = max / 127.0;
    if d < f32::MIN_POSITIVE {
        q.fill(0);
        return 0.0;
    }
    let inverse = 1.0 / d;
    for (x, q) in x.iter().zip(q) {
        // A NaN casts to 0; |x * inverse| is at most 127 plus a rounding error.
        *q = (x * inverse).round_ties_even() as i8;
    }
    d
}
