//! Attention over one page of the KV cache at a time, with a running softmax. The safe doors.
//!
//! A page is also the unit of the arithmetic: what a page contributes does not depend on which rows are computed
//! together, and pages merge in ascending order. Rows may be split over calls and pages over workers (partial states,
//! then `merge`) without changing a bit.

pub use format::KvFormat;

use crate::isa::Isa;
use crate::scratch::Scratch;

mod format;
pub(crate) mod page;
mod rows;
pub(crate) mod stamp;
pub(crate) mod state;
#[cfg(test)]
mod tests;
#[allow(clippy::needless_range_loop, reason = "register tiles: the index is the point")]
mod tiles;

/// Positions of one page of the KV cache.
pub const PAGE_LEN: usize = 64;

/// The largest head `Isa::attend` takes.
pub const MAX_HEAD_DIM: usize = 512;

/// Query rows and one page of keys and values for them.
#[derive(Clone, Copy, Debug)]
pub struct Attend<'a> {
    /// `[r, dk]`: all query heads of the group, for all tokens.
    pub q: &'a [f32],
    /// Per row, the visible positions of this page as from and (excluded) to; empty where from >= to. `[r]`.
    pub ranges: &'a [(u32, u32)],
    /// How `k` and `v` are stored.
    pub format: KvFormat,
    /// Keys, `[p, row_len(dk)]`, p <= `PAGE_LEN`. What a row does not see does not matter to it, be it NaN.
    pub k: &'a [u16],
    /// Values, `[p, row_len(dv)]`.
    pub v: &'a [u16],
    /// The keys that the next call will read, or anything else: only asked for ahead.
    pub next: &'a [u16],
    /// Length of a query and a key: a multiple of the format's `multiple`, at most `MAX_HEAD_DIM`.
    pub dk: usize,
    /// Length of a value, likewise.
    pub dv: usize,
    /// Factor of the scores, usually `1 / sqrt(dk)`.
    pub scale: f32,
    /// After the scale, scores become `cap * tanh(score / cap)`.
    pub soft_cap: Option<f32>,
}

/// A running softmax over values: `acc / l` is the result so far. Begins as [`State::reset`] leaves it.
#[derive(Debug)]
pub struct State<'a> {
    /// The largest score so far; -infinity while nothing was visible. `[r]`.
    pub m: &'a mut [f32],
    /// The sum of `e^(score - m)`. `[r]`.
    pub l: &'a mut [f32],
    /// The sum of `e^(score - m) * value`. `[r, dv]`.
    pub acc: &'a mut [f32],
}

impl State<'_> {
    /// Forgets everything.
    pub fn reset(&mut self) {
        self.m.fill(f32::NEG_INFINITY);
        self.l.fill(0.0);
        self.acc.fill(0.0);
    }

    /// Panics unless this is a state of `r` rows of `dv` values.
    fn check(&self, r: usize, dv: usize) {
        assert_eq!(self.m.len(), r, "attention state: m is [r]");
        assert_eq!(self.l.len(), r, "attention state: l is [r]");
        assert_eq!(Some(self.acc.len()), r.checked_mul(dv), "attention state: acc is [r, dv]");
    }
}

/// The attention part of a set's table.
///
/// # Safety
/// Every function needs the set's CPU features; shapes are what the doors below assert.
pub(crate) struct AttentionOps {
    pub attend: unsafe fn(&Attend<'_>, &mut State<'_>, &mut [f32]),
    pub merge: unsafe fn(&mut State<'_>, &State<'_>),
    pub finish: unsafe fn(&State<'_>, Option<&[f32]>, &mut [f32]),
}

impl Isa {
    /// Merges one page into the running states of `r` rows. Rows that see nothing of it keep their state bit for bit,
    /// and so do rows whose scores are all -infinity. Panics if a shape or range does not fit.
    pub fn attend(&self, page: &Attend<'_>, state: &mut State<'_>, scratch: &mut Scratch) {
        let Attend { dk, dv, format, .. } = *page;
        for dim in [dk, dv] {
            assert!(
                dim > 0 && dim.is_multiple_of(format.multiple()) && dim <= MAX_HEAD_DIM,
                "attend: head dimensions are multiples of the format's"
            );
        }
        let (r, p) = (page.ranges.len(), page.k.len() / format.row_len(dk));
        assert!(p <= PAGE_LEN, "attend: at most a page");
        assert_eq!(page.k.len(), p * format.row_len(dk), "attend: k is [p, dk]");
        assert_eq!(page.v.len(), p * format.row_len(dv), "attend: v is [p, dv]");
        assert_eq!(Some(page.q.len()), r.checked_mul(dk), "attend: q is [r, dk]");
        assert!(page.ranges.iter().all(|&(from, to)| from >= to || to as usize <= p), "attend: ranges inside the page");
        state.check(r, dv);
        // SAFETY: an `Isa` is only handed out for features this CPU has; shapes were asserted above.
        unsafe { (self.table().attention.attend)(page, state, scratch.f32s_mut()) }
    }

    /// Merges the state of later pages into `state`, of the same shape. Merging the states of single pages in
    /// ascending order gives the bits of attending to them one after the other. Panics if shapes differ.
    pub fn merge(&self, state: &mut State<'_>, later: &State<'_>) {
        let r = state.m.len();
        let dv = state.acc.len() / r.max(1);
        state.check(r, dv);
        later.check(r, dv);
        // SAFETY: an `Isa` is only handed out for features this CPU has; shapes were asserted above.
        unsafe { (self.table().attention.merge)(state, later) }
    }

    /// The attention output `acc / l`, `[r, dv]`; zeros for rows that saw nothing. A sink `[r]` is one more score per
    /// row that has no value. Panics if shapes differ.
    pub fn finish(&self, state: &State<'_>, sinks: Option<&[f32]>, out: &mut [f32]) {
        let r = state.m.len();
        state.check(r, state.acc.len() / r.max(1));
        assert_eq!(out.len(), state.acc.len(), "finish: out is [r, dv]");
        assert!(sinks.is_none_or(|s| s.len() == r), "finish: sinks is [r]");
        // SAFETY: an `Isa` is only handed out for features this CPU has; shapes were asserted above.
        unsafe { (self.table().attention.finish)(state, sinks, out) }
    }
}
