//! The arithmetic of the running softmax: scores to weights, merging, the final division.

use crate::attention::{PAGE_LEN, State};
use crate::float::elementary::{exp, tanh};
use crate::float::{fold, max};

/// Turns the dots of one row with a page's keys into weights, in place: `p = e^(s - m)`, 0 where not visible.
/// Returns `m` and the sum `l`; where no score is above -infinity, `m` is -infinity and all is 0.
#[inline(always)]
pub(crate) fn weights(
    scores: &mut [f32; PAGE_LEN],
    (from, to): (u32, u32),
    scale: f32,
    soft_cap: Option<f32>,
) -> (f32, f32) {
    for s in scores.iter_mut() {
        *s *= scale;
    }
    if let Some(cap) = soft_cap {
        for s in scores.iter_mut() {
            *s = cap * tanh(*s / cap);
        }
    }
    for (i, s) in scores.iter_mut().enumerate() {
        *s = if (i as u32) >= from && (i as u32) < to { *s } else { f32::NEG_INFINITY };
    }
    let m = max(scores);
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

/// One row's state, borrowed: `m`, `l`, `acc` `[dv]`.
pub(crate) type Row<'a> = (&'a mut f32, &'a mut f32, &'a mut [f32]);

/// Merges a later page's `m`, `l`, `acc` into a row: both sides scaled by `e^(m_i - m')`, `m'` the larger `m`.
/// An empty side leaves the other as it is.
#[inline(always)]
pub(crate) fn absorb((m1, l1, acc1): Row<'_>, m2: f32, l2: f32, acc2: &[f32]) {
    if m2 == f32::NEG_INFINITY {
        return;
    }
    if *m1 == f32::NEG_INFINITY {
        (*m1, *l1) = (m2, l2);
        acc1.copy_from_slice(acc2);
        return;
    }
    let m = if m2 > *m1 { m2 } else { *m1 };
    let (a1, a2) = (exp(*m1 - m), exp(m2 - m));
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
        absorb((m, l, &mut state.acc[row.clone()]), later.m[i], later.l[i], &later.acc[row]);
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
                let top = if sinks[i] > m { sinks[i] } else { m };
                let a = exp(m - top);
                a / l.mul_add(a, exp(sinks[i] - top))
            }
        };
        let row = i * dv..(i + 1) * dv;
        for (out, x) in out[row.clone()].iter_mut().zip(&state.acc[row]) {
            *out = x * factor;
        }
    }
}
