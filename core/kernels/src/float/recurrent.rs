//! Layers that carry a state from token to token: short convolution, gated delta rule, selective state space. One token
//! at a time and the rows of a state apart from each other, so the bits do not depend on how tokens or rows are cut.

use crate::float::norm::fold;
use crate::float::vector::Vector;
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

/// Rows whose sums are folded at once.
const TOGETHER: usize = 16;

/// Rows whose sums are in registers at once.
const SIDE_BY_SIDE: usize = 4;

/// `s *= decay; s += (v - s·k) * beta * k; out = s·q` for each row.
#[inline(always)]
pub(crate) fn delta_rule<V: Vector>(state: &mut [f32], token: &DeltaToken<'_>, out: &mut [f32]) {
    let DeltaToken { q, k, v, decay, beta } = *token;
    let whole = whole_rows(out.len(), k.len());
    let (rows, rest) = state.split_at_mut(whole * k.len());
    let ((v, v_rest), (out, out_rest)) = (v.split_at(whole), out.split_at_mut(whole));
    let (v, _) = v.as_chunks::<TOGETHER>();
    let (out, _) = out.as_chunks_mut::<TOGETHER>();
    for ((rows, v), out) in rows.chunks_exact_mut((TOGETHER * k.len()).max(1)).zip(v).zip(out) {
        let stays = V::splat(decay);
        // What stays is multiplied twice: that is less than to write it and to read it again.
        let kept = walk::<V, false>(rows, k, k, |_, s, _| s.mul(stays));
        let mut change = [V::zero(); TOGETHER];
        for row in 0..TOGETHER {
            change[row] = V::splat((v[row] - kept[row]) * beta);
        }
        *out = walk::<V, true>(rows, k, q, |row, s, k| k.fma(change[row], s.mul(stays)));
    }
    for ((row, v), out) in rest.chunks_exact_mut(k.len().max(1)).zip(v_rest).zip(out_rest) {
        let kept = walk_row(row, k, k, |s, _| s * decay);
        let change = (v - kept) * beta;
        *out = walk_row(row, k, q, |s, k| k.mul_add(change, s));
    }
}

/// `s = s * decay + x * step * b; out = s·c + x * skip` for each row.
#[inline(always)]
pub(crate) fn state_space<V: Vector>(state: &mut [f32], token: &SpaceToken<'_>, out: &mut [f32]) {
    let SpaceToken { x, b, c, step, decay, skip } = *token;
    let whole = whole_rows(out.len(), b.len());
    let (rows, rest) = state.split_at_mut(whole * b.len());
    for (rows, first) in rows.chunks_exact_mut((TOGETHER * b.len()).max(1)).zip((0..whole).step_by(TOGETHER)) {
        let stays = V::splat(decay);
        let mut input = [V::zero(); TOGETHER];
        for (input, x) in input.iter_mut().zip(&x[first..]) {
            *input = V::splat(x * step);
        }
        let read = walk::<V, true>(rows, b, c, |row, s, b| b.fma(input[row], s.mul(stays)));
        out[first..first + TOGETHER].copy_from_slice(&read);
    }
    for (row, at) in rest.chunks_exact_mut(b.len().max(1)).zip(whole..) {
        let input = x[at] * step;
        out[at] = walk_row(row, b, c, |s, b| b.mul_add(input, s * decay));
    }
    for (out, x) in out.iter_mut().zip(x) {
        *out = x.mul_add(skip, *out);
    }
}

/// How many of `n` rows of `size` values go through [`walk`].
fn whole_rows(n: usize, size: usize) -> usize {
    if size.is_multiple_of(16) { n - n % TOGETHER } else { 0 }
}

/// For each of 16 rows: `s = f(row, s, y)`, written where `WRITES`, then the canonical dot of the new row and `z`.
/// `rows` is `[16, size]`, `y` and `z` `[size]`, a multiple of 16.
#[inline(always)]
fn walk<V: Vector, const WRITES: bool>(
    rows: &mut [f32],
    y: &[f32],
    z: &[f32],
    f: impl Fn(usize, V, V) -> V,
) -> [f32; TOGETHER] {
    let size = y.len();
    assert!(rows.len() == TOGETHER * size && z.len() == size && size.is_multiple_of(16), "walk: [16, size] and [size]");
    let mut dots = [V::zero(); TOGETHER];
    let mut first = 0;
    while first < TOGETHER {
        let mut sums = [[V::zero(); 4]; SIDE_BY_SIDE];
        let mut chunk = 0;
        while chunk < size {
            let mut part = 0;
            while part < 16 / V::WIDTH {
                let at = chunk + part * V::WIDTH;
                // SAFETY: `at + WIDTH <= size`.
                let (y, z) = unsafe { (V::load(y.as_ptr().add(at)), V::load(z.as_ptr().add(at))) };
                for (row, sums) in sums.iter_mut().enumerate() {
                    // SAFETY: `first + row` is one of the 16 rows, and `at + WIDTH <= size`.
                    let s = unsafe {
                        let place = rows.as_mut_ptr().add((first + row) * size + at);
                        let s = f(first + row, V::load(place), y);
                        if WRITES {
                            s.store(place);
                        }
                        s
                    };
                    sums[part] = s.fma(z, sums[part]);
                }
                part += 1;
            }
            chunk += 16;
        }
        for row in 0..SIDE_BY_SIDE {
            let [a, b, c, d] = sums[row];
            // As `fold` goes: `i + (i + 8)`, then `i + (i + 4)`.
            dots[first + row] = match 16 / V::WIDTH {
                1 => a,
                2 => a.add(b),
                _ => a.add(c).add(b.add(d)),
            };
        }
        first += SIDE_BY_SIDE;
    }
    V::fold(dots)
}

/// [`walk`] for one row of any size.
#[inline(always)]
fn walk_row(row: &mut [f32], y: &[f32], z: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut sums = [0.0f32; 16];
    for (i, ((s, y), z)) in row.iter_mut().zip(y).zip(z).enumerate() {
        *s = f(*s, *y);
        sums[i % 16] = s.mul_add(*z, sums[i % 16]);
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
        // The last three are more than Miri, which interprets, can do.
        let shapes = [(1, 1, 1), (5, 7, 2), (3, 17, 5), (0, 16, 3), (64, 64, 3), (33, 128, 4), (16, 100, 4)];
        for (n, k, taps) in shapes.into_iter().take(if cfg!(miri) { 4 } else { 7 }) {
            let expected = run(Isa::available()[0], n, k, taps, n.max(1));
            for isa in Isa::available() {
                assert_eq!(bits(&run(isa, n, k, taps, n.max(1))), bits(&expected), "{} {n} {k} {taps}", isa.name());
            }
        }
    }

    #[test]
    fn a_state_may_be_cut_into_rows() {
        let isa = Isa::detect();
        let (n, k) = if cfg!(miri) { (7, 17) } else { (24, 64) };
        let sorted = |piece| {
            let mut values: Vec<u32> = bits(&run(isa, n, k, 4, piece));
            values.sort_unstable(); // pieces only change the order in which outputs are listed
            values
        };
        assert_eq!(sorted(n), sorted(5));
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
