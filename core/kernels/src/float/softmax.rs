//! Softmax of one row, and the soft cap of scores.

use crate::float::elementary::{exp, tanh};
use crate::float::norm::{fold, fold_by};

/// `x = e^(x - max) / sum`, the sum in canonical order.
#[inline(always)]
pub(crate) fn softmax(x: &mut [f32]) {
    let max = max(x);
    if max == f32::NEG_INFINITY {
        x.fill(0.0);
        return;
    }
    let mut sums = [0.0f32; 16];
    let (chunks, tail) = x.as_chunks_mut::<16>();
    for chunk in chunks {
        for i in 0..16 {
            chunk[i] = exp(chunk[i] - max);
            sums[i] += chunk[i];
        }
    }
    for (sum, x) in sums.iter_mut().zip(tail) {
        *x = exp(*x - max);
        *sum += *x;
    }
    let sum = fold(sums);
    for x in x {
        *x /= sum;
    }
}

/// The largest value, NaN passed over; -infinity if there is none.
#[inline(always)]
fn max(x: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; 16];
    let (chunks, tail) = x.as_chunks::<16>();
    for chunk in chunks {
        for i in 0..16 {
            lanes[i] = larger(lanes[i], chunk[i]);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(tail) {
        *lane = larger(*lane, x);
    }
    fold_by(lanes, larger)
}

/// The larger one; `a` if `b` is NaN.
#[inline(always)]
pub(crate) fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

/// `x = cap * tanh(x / cap)`.
#[inline(always)]
pub(crate) fn soft_cap(x: &mut [f32], cap: f32) {
    for x in x {
        *x = cap * tanh(*x / cap);
    }
}
