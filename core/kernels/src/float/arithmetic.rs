//! Sums and products of rows.

use crate::float::larger;

/// `x += y`.
#[inline(always)]
pub(crate) fn add(x: &mut [f32], y: &[f32]) {
    for (x, y) in x.iter_mut().zip(y) {
        *x += y;
    }
}

/// `x *= y`.
#[inline(always)]
pub(crate) fn multiply(x: &mut [f32], y: &[f32]) {
    for (x, y) in x.iter_mut().zip(y) {
        *x *= y;
    }
}

/// `x *= s`.
#[inline(always)]
pub(crate) fn scale(x: &mut [f32], s: f32) {
    for x in x {
        *x *= s;
    }
}

/// `x = fma(y, s, x)`.
#[inline(always)]
pub(crate) fn add_scaled(x: &mut [f32], y: &[f32], s: f32) {
    for (x, y) in x.iter_mut().zip(y) {
        *x = y.mul_add(s, *x);
    }
}

/// `x = max(x - least, 0)`.
#[inline(always)]
pub(crate) fn subtract_and_clip(x: &mut [f32], least: f32) {
    for x in x {
        *x = larger(0.0, *x - least);
    }
}
