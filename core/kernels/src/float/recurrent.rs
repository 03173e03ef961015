//! Layers that carry a state from token to token: short convolution, gated delta rule, selective state space. One token
//! at a time and the rows of a state apart from each other, so the bits do not depend on how tokens or rows are cut.

use crate::float::norm::fold;
use crate::isa::Isa;

impl Isa {
    /// One step of a depthwise causal convolution: `out[c] = bias[c] + Σ_j weight[c, j] * rows[j][c]`, one fused chain over
    /// `j` from `bias` (or 0) on. `rows` are the inputs `[n]` of the last `taps` tokens, oldest first, `weight` `[n, taps]`,
    /// `bias` and `out` `[n]`. Panics if a length differs.
    pub fn convolve(&self, rows: &[&[f32]], weight: &[f32], bias: Option<&[f32]>, out: &mut [f32]) {
        let n = out.len();
        assert!(rows.iter().all(|row| row.len() == n), "convolve: each row is [n]");
        assert_eq!(Some(weight.len()), n.checked_mul(rows.len()), "convolve: weight is [n, taps]");
        assert!(bias.is_none_or(|b| b.len() == n), "convolve: bias is [n]");
        // SAFETY: an `Isa` is only handed out for features this CPU has; lengths were asserted above.
        unsafe { (self.table().float.convolve)(rows, weight, bias, out) }
    }

    /// One token of the gated delta rule for some rows of one head's state `[n, k.len()]`, each by itself: `s *= decay`,
    /// `s += (v - s·k) * beta * k`, `out = s·q`. `k` and `q` are alike, `v` and `out` `[n]`; dots in canonical order.
    /// Source: arXiv 2412.06464, equation 10. Panics if a length differs.
    pub fn delta_rule(&self, state: &mut [f32], token: &DeltaToken<'_>, out: &mut [f32]) {
        assert_eq!(token.q.len(), token.k.len(), "delta_rule: q is as long as k");
        assert_eq!(token.v.len(), out.len(), "delta_rule: v and out are [n]");
        assert_eq!(Some(state.len()), out.len().checked_mul(token.k.len()), "delta_rule: state is [n, k]");
        // SAFETY: an `Isa` is only handed out for features this CPU has; lengths were asserted above.
        unsafe { (self.table().float.delta_rule)(state, token, out) }
    }

    /// One token of a selective state space for some rows of one head's state `[n, b.len()]`: `s = s * decay + x * step * b`,
    /// `out = s·c + x * skip`. `b` and `c` are alike, `x` and `out` `[n]`; the dot in canonical order.
    /// Source: arXiv 2405.21060 (Mamba-2). Panics if a length differs.
    pub fn state_space(&self, state: &mut [f32], token: &SpaceToken<'_>, out: &mut [f32]) {
        assert_eq!(token.b.len(), token.c.len(), "state_space: b is as long as c");
        assert_eq!(token.x.len(), out.len(), "state_space: x and out are [n]");
        assert_eq!(Some(state.len()), out.len().checked_mul(token.b.len()), "state_space: state is [n, b]");
        // SAFETY: an `Isa` is only handed out for features this CPU has; lengths were asserted above.
        unsafe { (self.table().float.state_space)(state, token, out) }
    }
}

/// What one token brings to one head of a gated delta net.
#[derive(Clone, Copy, Debug)]
pub struct DeltaToken<'a> {
    /// Query, scaled.
    pub q: &'a [f32],
    /// Key, of length 1.
    pub k: &'a [f32],
    /// Values of the rows at hand, `[n]`.
    pub v: &'a [f32],
    /// How much of the state stays, 0 to 1.
    pub decay: f32,
    /// How much of the difference is written, 0 to 1.
    pub beta: f32,
}

/// What one token brings to one head of a selective state space.
#[derive(Clone, Copy, Debug)]
pub struct SpaceToken<'a> {
    /// Inputs of the rows at hand, `[n]`.
    pub x: &'a [f32],
    /// Where inputs are written in a row.
    pub b: &'a [f32],
    /// What is read from a row.
    pub c: &'a [f32],
    /// Length of the step, `dt`.
    pub step: f32,
    /// How much of the state stays, 0 to 1.
    pub decay: f32,
    /// How much of the input goes past the state, `D`.
    pub skip: f32,
}

/// `out[c] = bias[c] + Σ_j weight[c, j] * rows[j][c]`.
#[inline(always)]
pub(crate) fn convolve(rows: &[&[f32]], weight: &[f32], bias: Option<&[f32]>, out: &mut [f32]) {
    match bias {
        Some(bias) => out.copy_from_slice(bias),
        None => out.fill(0.0),
    }
    // The lengths that models have are spelled out: the compiler then loads the interleaved taps as vectors.
    match rows {
        [a, b, c] => fixed::<3>([a, b, c], weight, out),
        [a, b, c, d] => fixed::<4>([a, b, c, d], weight, out),
        _ => {
            for (j, row) in rows.iter().enumerate() {
                for ((out, x), w) in out.iter_mut().zip(*row).zip(weight.chunks_exact(rows.len())) {
                    *out = w[j].mul_add(*x, *out);
                }
            }
        }
    }
}

#[inline(always)]
fn fixed<const TAPS: usize>(rows: [&[f32]; TAPS], weight: &[f32], out: &mut [f32]) {
    let (weight, _) = weight.as_chunks::<TAPS>();
    let rows = rows.map(|row| &row[..out.len()]);
    for (c, (out, weight)) in out.iter_mut().zip(weight).enumerate() {
        for j in 0..TAPS {
            *out = weight[j].mul_add(rows[j][c], *out);
        }
    }
}

/// `s *= decay; s += (v - s·k) * beta * k; out = s·q` for each row.
#[inline(always)]
pub(crate) fn delta_rule(state: &mut [f32], token: &DeltaToken<'_>, out: &mut [f32]) {
    let DeltaToken { q, k, v, decay, beta } = *token;
    for ((row, v), out) in state.chunks_exact_mut(k.len().max(1)).zip(v).zip(out) {
        let kept = update_and_dot(row, k, |s, _| s * decay);
        let change = (v - kept) * beta;
        // `k` is written and `q` read in one walk: the row is loaded twice, not three times.
        *out = update_and_dot2(row, k, q, |s, k| k.mul_add(change, s));
    }
}

/// `s = s * decay + x * step * b; out = s·c + x * skip` for each row.
#[inline(always)]
pub(crate) fn state_space(state: &mut [f32], token: &SpaceToken<'_>, out: &mut [f32]) {
    let SpaceToken { x, b, c, step, decay, skip } = *token;
    for ((row, x), out) in state.chunks_exact_mut(b.len().max(1)).zip(x).zip(out) {
        let input = x * step;
        let read = update_and_dot2(row, b, c, |s, b| b.mul_add(input, s * decay));
        *out = x.mul_add(skip, read);
    }
}

/// `row = f(row, y)`, then the canonical dot of `row` and `y`.
#[inline(always)]
fn update_and_dot(row: &mut [f32], y: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    update_and_dot2(row, y, y, f)
}

/// `row = f(row, y)`, then the canonical dot of `row` and `z`.
#[inline(always)]
fn update_and_dot2(row: &mut [f32], y: &[f32], z: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut sums = [0.0f32; 16];
    let (chunks, tail) = row.as_chunks_mut::<16>();
    let ((ys, y_tail), (zs, z_tail)) = (y.as_chunks::<16>(), z.as_chunks::<16>());
    for ((chunk, y), z) in chunks.iter_mut().zip(ys).zip(zs) {
        // Values of their own: for all the compiler knows, what is stored in a row could be what is read of `y` and `z` next.
        let (mut s, y, z) = (*chunk, *y, *z);
        for i in 0..16 {
            s[i] = f(s[i], y[i]);
            sums[i] = s[i].mul_add(z[i], sums[i]);
        }
        *chunk = s;
    }
    for (((s, y), z), sum) in tail.iter_mut().zip(y_tail).zip(z_tail).zip(&mut sums) {
        *s = f(*s, *y);
        *sum = s.mul_add(*z, *sum);
    }
    fold(sums)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::float::tests::{Random, bits};

    /// Runs all three over a few tokens, rows cut into pieces of `piece`, and returns every output and the last states.
    fn run(isa: &Isa, n: usize, k: usize, taps: usize, piece: usize) -> Vec<f32> {
        let mut random = Random(21);
        let mut results = Vec::new();
        let (weight, bias) = (random.floats(n * taps, 0.6), random.floats(n, 0.3));
        let (mut delta, mut space) = (vec![0.0; n * k], vec![0.0; n * k]);
        let inputs: Vec<Vec<f32>> = (0..taps + 5).map(|_| random.floats(n, 1.0)).collect();
        for t in 0..5 {
            let mut out = vec![0.0; n];
            let rows: Vec<&[f32]> = inputs[t..t + taps].iter().map(Vec::as_slice).collect();
            isa.convolve(&rows, &weight, (t % 2 == 0).then_some(&bias[..]), &mut out);
            results.extend_from_slice(&out);
            let (a, b) = (random.floats(k, 0.3), random.floats(k, 0.3));
            for from in (0..n).step_by(piece) {
                let part = from..(from + piece).min(n);
                let x = &inputs[t][part.clone()];
                let states = part.start * k..part.end * k;
                let token = DeltaToken { q: &a, k: &b, v: x, decay: 0.9, beta: 0.7 };
                isa.delta_rule(&mut delta[states.clone()], &token, &mut out[part.clone()]);
                let token = SpaceToken { x, b: &b, c: &a, step: 0.4, decay: 0.8, skip: 1.1 };
                results.extend_from_slice(&out[part.clone()]);
                isa.state_space(&mut space[states], &token, &mut out[part.clone()]);
                results.extend_from_slice(&out[part]);
            }
        }
        results.extend(delta);
        results.extend(space);
        results
    }

    #[test]
    fn every_set_gives_the_bits_of_scalar() {
        for (n, k, taps) in [(1, 1, 1), (5, 7, 2), (64, 64, 3), (33, 128, 4), (16, 100, 4), (3, 17, 5), (0, 16, 3)] {
            let expected = run(Isa::available()[0], n, k, taps, n.max(1));
            for isa in Isa::available() {
                assert_eq!(bits(&run(isa, n, k, taps, n.max(1))), bits(&expected), "{} {n} {k} {taps}", isa.name());
            }
        }
    }

    #[test]
    fn a_state_may_be_cut_into_rows() {
        let isa = Isa::detect();
        let sorted = |piece| {
            let mut values: Vec<u32> = bits(&run(isa, 24, 64, 4, piece));
            values.sort_unstable(); // pieces only change the order in which outputs are listed
            values
        };
        assert_eq!(sorted(24), sorted(5));
    }

    #[test]
    fn steps_agree_with_the_formulas() {
        let mut random = Random(22);
        let (n, size, taps) = (6, 20, 4);
        let isa = Isa::detect();
        let wide = |x: &[f32]| -> Vec<f64> { x.iter().map(|&x| f64::from(x)).collect() };
        let close = |found: f32, exact: f64| {
            assert!((f64::from(found) - exact).abs() < 1e-5, "{found}, exact {exact}"); // some 20 roundings of values near 1
        };
        let rows: Vec<Vec<f32>> = (0..taps).map(|_| random.floats(n, 1.0)).collect();
        let (weight, bias) = (random.floats(n * taps, 1.0), random.floats(n, 1.0));
        let mut out = vec![0.0; n];
        isa.convolve(&rows.iter().map(Vec::as_slice).collect::<Vec<_>>(), &weight, Some(&bias), &mut out);
        for c in 0..n {
            let sum = |j: usize| f64::from(weight[c * taps + j]) * f64::from(rows[j][c]);
            close(out[c], f64::from(bias[c]) + (0..taps).map(sum).sum::<f64>());
        }

        let (q, k, v) = (random.floats(size, 0.5), random.floats(size, 0.5), random.floats(n, 1.0));
        let before = random.floats(n * size, 1.0);
        let mut state = before.clone();
        isa.delta_rule(&mut state, &DeltaToken { q: &q, k: &k, v: &v, decay: 0.75, beta: 0.5 }, &mut out);
        for i in 0..n {
            let row: Vec<f64> = wide(&before[i * size..(i + 1) * size]).iter().map(|s| s * 0.75).collect();
            let kept: f64 = row.iter().zip(wide(&k)).map(|(s, k)| s * k).sum();
            let change = (f64::from(v[i]) - kept) * 0.5;
            let row: Vec<f64> = row.iter().zip(wide(&k)).map(|(s, k)| s + change * k).collect();
            (0..size).for_each(|j| close(state[i * size + j], row[j]));
            close(out[i], row.iter().zip(wide(&q)).map(|(s, q)| s * q).sum());
        }

        let mut state = before.clone();
        let token = SpaceToken { x: &v, b: &k, c: &q, step: 0.25, decay: 0.75, skip: 2.0 };
        isa.state_space(&mut state, &token, &mut out);
        for i in 0..n {
            let x = f64::from(v[i]);
            let row = wide(&before[i * size..(i + 1) * size]);
            let row: Vec<f64> = row.iter().zip(wide(&k)).map(|(s, b)| s * 0.75 + x * 0.25 * b).collect();
            (0..size).for_each(|j| close(state[i * size + j], row[j]));
            close(out[i], row.iter().zip(wide(&q)).map(|(s, c)| s * c).sum::<f64>() + x * 2.0);
        }
    }
}
