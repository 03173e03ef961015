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

#[inline(always)]
fn each(x: &mut [f32], f: impl Fn(f32) -> f32) {
    for x in x {
        *x = f(*x);
    }
}

#[inline(always)]
fn each_times(x: &mut [f32], y: &[f32], f: impl Fn(f32) -> f32) {
    for (x, y) in x.iter_mut().zip(y) {
        *x = f(*x) * y;
    }
}
