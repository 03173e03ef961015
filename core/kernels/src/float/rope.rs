//! Rotary position embedding of one head.

use crate::float::Pairing;

/// Turns the pairs of `head` by the angles whose cosines and sines are given.
#[inline(always)]
pub(crate) fn rope(head: &mut [f32], cos: &[f32], sin: &[f32], pairing: Pairing) {
    let n = cos.len();
    match pairing {
        Pairing::Adjacent => {
            let (pairs, _) = head[..2 * n].as_chunks_mut::<2>();
            for ((pair, &c), &s) in pairs.iter_mut().zip(cos).zip(sin) {
                *pair = turn(*pair, c, s);
            }
        }
        Pairing::Halves => {
            let (low, high) = head[..2 * n].split_at_mut(n);
            for (((low, high), &c), &s) in low.iter_mut().zip(high).zip(cos).zip(sin) {
                [*low, *high] = turn([*low, *high], c, s);
            }
        }
    }
}

/// The rotation; the products of the second factors are the rounded ones.
#[inline(always)]
fn turn([x, y]: [f32; 2], c: f32, s: f32) -> [f32; 2] {
    [x.mul_add(c, -(y * s)), x.mul_add(s, y * c)]
}
