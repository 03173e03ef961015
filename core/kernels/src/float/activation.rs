//! Activations of whole slices, alone or times a second slice.

use crate::float::Activation;
use crate::float::elementary::{exp, gelu_tanh, sigmoid, silu, softplus, tanh};

/// `x = f(x)`.
#[inline(always)]
pub(crate) fn activate(f: Activation, x: &mut [f32]) {
    match f {
        Activation::Silu => each(x, silu),
        Activation::GeluTanh => each(x, gelu_tanh),
        Activation::Sigmoid => each(x, sigmoid),
        Activation::Tanh => each(x, tanh),
        Activation::Softplus => each(x, softplus),
        Activation::Exp => each(x, exp),
    }
}

/// `gate = f(gate) * up`.
#[inline(always)]
pub(crate) fn gated(f: Activation, gate: &mut [f32], up: &[f32]) {
    match f {
        Activation::Silu => each_times(gate, up, silu),
        Activation::GeluTanh => each_times(gate, up, gelu_tanh),
        Activation::Sigmoid => each_times(gate, up, sigmoid),
        Activation::Tanh => each_times(gate, up, tanh),
        Activation::Softplus => each_times(gate, up, softplus),
        Activation::Exp => each_times(gate, up, exp),
    }
}

/// `gate = g sigmoid(1.702 g) (u + 1)`, `g` at most 7 and `u` within 7 of 0. NaN stays.
#[inline(always)]
pub(crate) fn gated_clamped(gate: &mut [f32], up: &[f32]) {
    each_with(gate, up, |gate, up| {
        let gate = if gate > 7.0 { 7.0 } else { gate };
        let up = if up > 7.0 { 7.0 } else { up };
        let up = if up < -7.0 { -7.0 } else { up };
        gate * sigmoid(1.702 * gate) * (up + 1.0)
    });
}

#[inline(always)]
fn each(x: &mut [f32], f: impl Fn(f32) -> f32) {
    for x in x {
        *x = f(*x);
    }
}

#[inline(always)]
fn each_times(x: &mut [f32], y: &[f32], f: impl Fn(f32) -> f32) {
    each_with(x, y, |x, y| f(x) * y);
}

#[inline(always)]
fn each_with(x: &mut [f32], y: &[f32], f: impl Fn(f32, f32) -> f32) {
    for (x, y) in x.iter_mut().zip(y) {
        *x = f(*x, *y);
    }
}
