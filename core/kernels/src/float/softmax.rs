//! Softmax of one row, and the soft cap of scores.

use crate::float::elementary::{exp, tanh};
use crate::float::norm::fold;

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
pub(crate) fn max(x: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; 16];
    let (chunks, tail) = x.as_chunks::<16>();
    for chunk in chunks {
        for i in 0..16 {
            lanes[i] = if chunk[i] > lanes[i] { chunk[i] } else { lanes[i] };
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(tail) {
        *lane = if x > *lane { x } else { *lane };
    }
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            lanes[i] = if lanes[i + half] > lanes[i] { lanes[i + half] } else { lanes[i] };
        }
    }
    lanes[0]
}

/// `x = cap * tanh(x / cap)`.
#[inline(always)]
pub(crate) fn soft_cap(x: &mut [f32], cap: f32) {
    for x in x {
        *x = cap * tanh(*x / cap);
    }
}
