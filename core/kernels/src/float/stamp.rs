//! The macro that compiles every float kernel once more, with the CPU features of one instruction set.

/// A `FloatOps` whose functions carry the given attributes and convert f16 with the given vector type.
macro_rules! float_ops {
    ($(#[$features:meta])* $vector:ty) => {{
        use $crate::float::{self, Activation, DeltaToken, FloatOps, Pairing, SpaceToken};

        $(#[$features])*
        fn rms_norm(x: &[f32], weight: Option<&[f32]>, eps: f32, out: &mut [f32]) {
            float::rms_norm(x, weight, eps, out)
        }
        $(#[$features])*
        fn layer_norm(x: &[f32], weight: Option<&[f32]>, bias: Option<&[f32]>, eps: f32, out: &mut [f32]) {
            float::layer_norm(x, weight, bias, eps, out)
        }
        $(#[$features])*
        fn length(x: &[f32]) -> f32 {
            float::length(x)
        }
        $(#[$features])*
        fn cutoff(x: &[f32], deviations: f32) -> f32 {
            float::cutoff(x, deviations)
        }
        $(#[$features])*
        fn subtract_and_clip(x: &mut [f32], least: f32) {
            float::subtract_and_clip(x, least)
        }
        $(#[$features])*
        fn rope(head: &mut [f32], cos: &[f32], sin: &[f32], pairing: Pairing) {
            float::rope(head, cos, sin, pairing)
        }
        $(#[$features])*
        fn activate(f: Activation, x: &mut [f32]) {
            float::activate(f, x)
        }
        $(#[$features])*
        fn gated(f: Activation, gate: &mut [f32], up: &[f32]) {
            float::gated(f, gate, up)
        }
        $(#[$features])*
        fn gated_clamped(gate: &mut [f32], up: &[f32]) {
            float::gated_clamped(gate, up)
        }
        $(#[$features])*
        fn add(x: &mut [f32], y: &[f32]) {
            float::add(x, y)
        }
        $(#[$features])*
        fn multiply(x: &mut [f32], y: &[f32]) {
            float::multiply(x, y)
        }
        $(#[$features])*
        fn scale(x: &mut [f32], s: f32) {
            float::scale(x, s)
        }
        $(#[$features])*
        fn add_scaled(x: &mut [f32], y: &[f32], s: f32) {
            float::add_scaled(x, y, s)
        }
        $(#[$features])*
        fn softmax(x: &mut [f32]) {
            float::softmax(x)
        }
        $(#[$features])*
        fn soft_cap(x: &mut [f32], cap: f32) {
            float::soft_cap(x, cap)
        }
        $(#[$features])*
        fn store_f16(x: &[f32], out: &mut [u16]) {
            float::store_f16::<$vector>(x, out)
        }
        $(#[$features])*
        fn load_f16(x: &[u16], out: &mut [f32]) {
            float::load_f16::<$vector>(x, out)
        }
        $(#[$features])*
        fn convolve(rows: &[&[f32]], weight: &[f32], bias: Option<&[f32]>, out: &mut [f32]) {
            float::convolve(rows, weight, bias, out)
        }
        $(#[$features])*
        fn delta_rule(state: &mut [f32], token: &DeltaToken<'_>, out: &mut [f32]) {
            float::delta_rule::<$vector>(state, token, out)
        }
        $(#[$features])*
        fn state_space(state: &mut [f32], token: &SpaceToken<'_>, out: &mut [f32]) {
            float::state_space::<$vector>(state, token, out)
        }
        FloatOps {
            rms_norm, layer_norm, length, cutoff, subtract_and_clip, rope, activate, gated, gated_clamped, add, multiply, scale,
            add_scaled, softmax, soft_cap, store_f16, load_f16, convolve, delta_rule, state_space,
        }
    }};
}
pub(crate) use float_ops;
