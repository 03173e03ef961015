//! Kernels on plain floats: norms, rotary embedding, activations, softmax, f16 conversion. The safe doors.
//!
//! Each kernel is written once, in plain Rust over 16-lane arrays, and compiled again for every instruction set
//! (`stamp.rs`): the compiler makes vectors of it, the order of operations stays the written one, so all sets give the
//! same bits. NaN and infinity in the input never do worse than NaN in the output; NaN payloads are not promised.

use crate::isa::Isa;

mod activation;
mod arithmetic;
pub(crate) mod elementary;
mod norm;
mod recurrent;
mod rope;
mod softmax;
pub(crate) mod stamp;
#[cfg(test)]
pub(crate) mod tests;
pub(crate) mod vector;

pub(crate) use activation::{activate, gated, gated_clamped};
pub(crate) use arithmetic::{add, add_scaled, multiply, scale, subtract_and_clip};
pub(crate) use norm::{cutoff, fold, fold_by, layer_norm, length, rms_norm};
pub use recurrent::{DeltaToken, SpaceToken};
pub(crate) use recurrent::{convolve, delta_rule, state_space};
pub(crate) use rope::rope;
pub(crate) use softmax::{larger, soft_cap, softmax};
pub(crate) use vector::{load_f16, store_f16};

/// A function of one number, applied to whole slices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// `x / (1 + e^-x)`, also called swish. Max error 4 ULP.
    Silu,
    /// The tanh form of GELU. Max error `3e-7 |x|`.
    GeluTanh,
    /// `1 / (1 + e^-x)`. Max error 3 ULP.
    Sigmoid,
    /// The hyperbolic tangent. Max error 2 ULP.
    Tanh,
    /// `ln(1 + e^x)`. Max error 3 ULP.
    Softplus,
    /// `e^x`. Max error 1.1 ULP.
    Exp,
}

/// Which two values of a head a rotary angle turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pairing {
    /// `x[2i]` with `x[2i + 1]`.
    Adjacent,
    /// `x[i]` with `x[i + n]`, `n` the number of angles.
    Halves,
}

/// The float part of a set's table.
///
/// # Safety
/// Every function needs the set's CPU features; lengths are what the doors below assert.
#[allow(clippy::type_complexity, reason = "each signature is used once")]
pub(crate) struct FloatOps {
    pub rms_norm: unsafe fn(&[f32], Option<&[f32]>, f32, &mut [f32]),
    pub layer_norm: unsafe fn(&[f32], Option<&[f32]>, Option<&[f32]>, f32, &mut [f32]),
    pub length: unsafe fn(&[f32]) -> f32,
    pub cutoff: unsafe fn(&[f32], f32) -> f32,
    pub subtract_and_clip: unsafe fn(&mut [f32], f32),
    pub rope: unsafe fn(&mut [f32], &[f32], &[f32], Pairing),
    pub activate: unsafe fn(Activation, &mut [f32]),
    pub gated: unsafe fn(Activation, &mut [f32], &[f32]),
    pub gated_clamped: unsafe fn(&mut [f32], &[f32]),
    pub add: unsafe fn(&mut [f32], &[f32]),
    pub multiply: unsafe fn(&mut [f32], &[f32]),
    pub scale: unsafe fn(&mut [f32], f32),
    pub add_scaled: unsafe fn(&mut [f32], &[f32], f32),
    pub softmax: unsafe fn(&mut [f32]),
    pub soft_cap: unsafe fn(&mut [f32], f32),
    pub store_f16: unsafe fn(&[f32], &mut [u16]),
    pub load_f16: unsafe fn(&[u16], &mut [f32]),
    pub convolve: unsafe fn(&[&[f32]], &[f32], Option<&[f32]>, &mut [f32]),
    pub delta_rule: unsafe fn(&mut [f32], &DeltaToken<'_>, &mut [f32]),
    pub state_space: unsafe fn(&mut [f32], &SpaceToken<'_>, &mut [f32]),
}

impl Isa {
    /// One row scaled to unit root mean square, then by `weight`: `x / sqrt(mean(x²) + eps) * weight`. All slices
    /// `[n]`. Source: arXiv 1910.07467. Panics if lengths differ.
    pub fn rms_norm(&self, x: &[f32], weight: Option<&[f32]>, eps: f32, out: &mut [f32]) {
        assert_eq!(x.len(), out.len(), "rms_norm: out is [n]");
        assert!(weight.is_none_or(|w| w.len() == x.len()), "rms_norm: weight is [n]");
        // SAFETY: an `Isa` is only handed out for features this CPU has; lengths were asserted above.
        unsafe { (self.table().float.rms_norm)(x, weight, eps, out) }
    }

    /// One row brought to mean 0 and variance 1: `(x - mean) / sqrt(var + eps) * weight + bias`. All slices `[n]`.
    /// Source: arXiv 1607.06450. Panics if lengths differ.
    pub fn layer_norm(&self, x: &[f32], weight: Option<&[f32]>, bias: Option<&[f32]>, eps: f32, out: &mut [f32]) {
        assert_eq!(x.len(), out.len(), "layer_norm: out is [n]");
        assert!(weight.is_none_or(|w| w.len() == x.len()), "layer_norm: weight is [n]");
        assert!(bias.is_none_or(|b| b.len() == x.len()), "layer_norm: bias is [n]");
        // SAFETY: an `Isa` is only handed out for features this CPU has; lengths were asserted above.
        unsafe { (self.table().float.layer_norm)(x, weight, bias, eps, out) }
    }

    /// `sqrt(sum(x²))`.
    pub fn length(&self, x: &[f32]) -> f32 {
        // SAFETY: an `Isa` is only handed out for features this CPU has.
        unsafe { (self.table().float.length)(x) }
    }

    /// What is `deviations` standard deviations (of a sample, so over `n - 1`) above the mean of `x` `[n]`; NaN where `x`
    /// is empty. Source: the "Gaussian top-k" of Gemma 3n, which is arXiv 2506.06644.
    pub fn cutoff(&self, x: &[f32], deviations: f32) -> f32 {
        // SAFETY: an `Isa` is only handed out for features this CPU has.
        unsafe { (self.table().float.cutoff)(x, deviations) }
    }

    /// `x = max(x - least, 0)`; 0 for NaN.
    pub fn subtract_and_clip(&self, x: &mut [f32], least: f32) {
        // SAFETY: an `Isa` is only handed out for features this CPU has.
        unsafe { (self.table().float.subtract_and_clip)(x, least) }
    }

    /// Turns the first `2 * cos.len()` values of `head` pair by pair; the rest stay. `cos` and `sin` `[n]` hold the
    /// angle's cosine and sine per pair (times a scale where the model has one). Source: arXiv 2104.09864.
    /// Panics if `sin` is not as long as `cos` or the pairs do not fit.
    pub fn rope(&self, head: &mut [f32], cos: &[f32], sin: &[f32], pairing: Pairing) {
        assert_eq!(cos.len(), sin.len(), "rope: cos and sin are [n]");
        assert!(cos.len() <= head.len() / 2, "rope: 2n values fit the head");
        // SAFETY: an `Isa` is only handed out for features this CPU has; lengths were asserted above.
        unsafe { (self.table().float.rope)(head, cos, sin, pairing) }
    }

    /// `x = f(x)` for every value.
    pub fn activate(&self, f: Activation, x: &mut [f32]) {
        // SAFETY: an `Isa` is only handed out for features this CPU has.
        unsafe { (self.table().float.activate)(f, x) }
    }

    /// `gate = f(gate) * up`, both `[n]`. Panics if lengths differ.
    pub fn gated(&self, f: Activation, gate: &mut [f32], up: &[f32]) {
        assert_eq!(gate.len(), up.len(), "gated: up is [n]");
        // SAFETY: an `Isa` is only handed out for features this CPU has; lengths were asserted above.
        unsafe { (self.table().float.gated)(f, gate, up) }
    }

    /// `gate = g sigmoid(1.702 g) (u + 1)` with `g = min(gate, 7)` and `u = clamp(up, -7, 7)`, both `[n]`: what gpt-oss
    /// does (source: its model card's `swiglu`). Panics if lengths differ.
    pub fn gated_clamped(&self, gate: &mut [f32], up: &[f32]) {
        assert_eq!(gate.len(), up.len(), "gated_clamped: up is [n]");
        // SAFETY: an `Isa` is only handed out for features this CPU has; lengths were asserted above.
        unsafe { (self.table().float.gated_clamped)(gate, up) }
    }

    /// `x += y`, both `[n]`. Panics if lengths differ.
    pub fn add(&self, x: &mut [f32], y: &[f32]) {
        assert_eq!(x.len(), y.len(), "add: y is [n]");
        // SAFETY: an `Isa` is only handed out for features this CPU has; lengths were asserted above.
        unsafe { (self.table().float.add)(x, y) }
    }

    /// `x *= y`, both `[n]`. Panics if lengths differ.
    pub fn multiply(&self, x: &mut [f32], y: &[f32]) {
        assert_eq!(x.len(), y.len(), "multiply: y is [n]");
        // SAFETY: an `Isa` is only handed out for features this CPU has; lengths were asserted above.
        unsafe { (self.table().float.multiply)(x, y) }
    }

    /// `x *= s`.
    pub fn scale(&self, x: &mut [f32], s: f32) {
        // SAFETY: an `Isa` is only handed out for features this CPU has.
        unsafe { (self.table().float.scale)(x, s) }
    }

    /// `x = fma(y, s, x)`, both `[n]`. Panics if lengths differ.
    pub fn add_scaled(&self, x: &mut [f32], y: &[f32], s: f32) {
        assert_eq!(x.len(), y.len(), "add_scaled: y is [n]");
        // SAFETY: an `Isa` is only handed out for features this CPU has; lengths were asserted above.
        unsafe { (self.table().float.add_scaled)(x, y, s) }
    }

    /// `x = e^(x - max) / sum`. All zeros where no value is above -infinity.
    pub fn softmax(&self, x: &mut [f32]) {
        // SAFETY: an `Isa` is only handed out for features this CPU has.
        unsafe { (self.table().float.softmax)(x) }
    }

    /// `x = cap * tanh(x / cap)`.
    pub fn soft_cap(&self, x: &mut [f32], cap: f32) {
        // SAFETY: an `Isa` is only handed out for features this CPU has.
        unsafe { (self.table().float.soft_cap)(x, cap) }
    }

    /// Rounds `x` `[n]` to half precision, ties to even, too large to infinity. Panics if lengths differ.
    pub fn store_f16(&self, x: &[f32], out: &mut [u16]) {
        assert_eq!(x.len(), out.len(), "store_f16: out is [n]");
        // SAFETY: an `Isa` is only handed out for features this CPU has; lengths were asserted above.
        unsafe { (self.table().float.store_f16)(x, out) }
    }

    /// Half precision `x` `[n]` to floats, exactly. Panics if lengths differ.
    pub fn load_f16(&self, x: &[u16], out: &mut [f32]) {
        assert_eq!(x.len(), out.len(), "load_f16: out is [n]");
        // SAFETY: an `Isa` is only handed out for features this CPU has; lengths were asserted above.
        unsafe { (self.table().float.load_f16)(x, out) }
    }
}
