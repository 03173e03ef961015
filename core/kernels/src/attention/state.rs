//! The arithmetic of the running softmax: scores to weights, merging, the final division.

use crate::attention::{PAGE_LEN, State};
use crate::float::elementary::{exp, tanh};
use crate::float::{fold, fold_by, larger};

/// Turns the dots of one row with a page's keys into weights, in place: `p = e^(s - m)`, 0 where not visible.
/// Returns `m` and the sum `l`; where no score is above -infinity, `m` is -infinity and all is 0.
#[inline(always)]
pub(crate) fn weights(
    scores: &mut [f32; PAGE_LEN],
    (from, to): (u32, u32),
    scale: f32,
    soft_cap: Option<f32>,
) -> (f32, f32) {
    if let Some(cap) = soft_cap {
        for s in scores.iter_mut() {
            *s = cap * tanh(*s * scale / cap);
        }
    } else {
        for s in scores.iter_mut() {
            *s *= scale;
        }
    }
    let (from, to) = (PAGE_LEN.min(from as usize), PAGE_LEN.min(to as usize));
    scores[..from].fill(f32::NEG_INFINITY);
    scores[to..].fill(f32::NEG_INFINITY);
    let mut lanes = [f32::NEG_INFINITY; 16];
    for chunk in scores.as_chunks::<16>().0 {
        for i in 0..16 {
            lanes[i] = larger(lanes[i], chunk[i]);
        }
    }
    let m = fold_by(lanes, larger);
    if m == f32::NEG_INFINITY {
        scores.fill(0.0);
        return (m, 0.0);
    }
    let mut sums = [0.0f32; 16];
    for chunk in scores.as_chunks_mut::<16>().0 {
        for i in 0..16 {
            chunk[i] = exp(chunk[i] - m);
            sums[i] += chunk[i];
        }
    }
    (m, fold(sums))
}

/// How two sums merge: the common maximum, and the factors of both sides.
#[derive(Clone, Copy)]
pub(crate) struct Merge {
    pub m: f32,
    pub a1: f32,
    pub a2: f32,
}

impl Merge {
    /// Of sums with maxima `m1` and (later) `m2`.
    #[inline(always)]
    pub(crate) fn of(m1: f32, m2: f32) -> Self {
        let m = larger(m1, m2);
        Self { m, a1: exp(m1 - m), a2: exp(m2 - m) }
    }
}

/// One row's state, borrowed: `m`, `l`, `acc` `[dv]`.
pub(crate) type Row<'a> = (&'a mut f32, &'a mut f32, &'a mut [f32]);

/// Merges later positions' `m`, `l`, `acc` into a row: both sides scaled by `e^(m_i - m)`, `m` the larger one.
/// An empty side leaves the other as it is.
#[inline(always)]
pub(crate) fn absorb((m1, l1, acc1): Row<'_>, m2: f32, l2: f32, acc2: &[f32], Merge { m, a1, a2 }: Merge) {
    if m2 == f32::NEG_INFINITY {
        return;
    }
    if *m1 == f32::NEG_INFINITY {
        (*m1, *l1) = (m2, l2);
        acc1.copy_from_slice(acc2);
        return;
    }
    *m1 = m;
    *l1 = l1.mul_add(a1, l2 * a2);
    for (x, y) in acc1.iter_mut().zip(acc2) {
        *x = x.mul_add(a1, y * a2);
    }
}

/// Merges `later` into `state`, row by row.
#[inline(always)]
pub(crate) fn merge(state: &mut State<'_>, later: &State<'_>) {
    let dv = state.acc.len() / state.m.len().max(1);
    for (i, (m, l)) in state.m.iter_mut().zip(state.l.iter_mut()).enumerate() {
        let row = i * dv..(i + 1) * dv;
        let how = Merge::of(*m, later.m[i]);
        absorb((m, l, &mut state.acc[row.clone()]), later.m[i], later.l[i], &later.acc[row], how);
    }
}

/// `out = acc * (a / l')`: without a sink `a` is 1 and `l'` is `l`; with one, the sink's score takes part in both.
#[inline(always)]
pub(crate) fn finish(state: &State<'_>, sinks: Option<&[f32]>, out: &mut [f32]) {
    let dv = state.acc.len() / state.m.len().max(1);
    for (i, (&m, &l)) in state.m.iter().zip(state.l.iter()).enumerate() {
        let factor = match sinks {
            _ if m == f32::NEG_INFINITY => 0.0,
            None => 1.0 / l,
            Some(sinks) => {
                let Merge { a1, a2, .. } = Merge::of(m, sinks[i]);
                a1 / l.mul_add(a1, a2)
            }
        };
        let row = i * dv..(i + 1) * dv;
        for (out, x) in out[row.clone()].iter_mut().zip(&state.acc[row]) {
            *out = x * factor;
        }
    }
}
