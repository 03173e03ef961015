//! One page of keys and values for all rows: scores, weights, weighted values, merged into the running states.

use crate::attention::rows::widen;
use crate::attention::state::{Merge, absorb, weights};
use crate::attention::tiles::{Element, Rows, scores, weigh};
use crate::attention::{Attend, KvFormat, MAX_HEAD_DIM, PAGE_LEN, State};
use crate::float::vector::Vector;

/// Rows that share a widened page; bounds the scratch.
const MAX_ROWS: usize = 128;
/// Rows of a register tile.
const TILE: usize = 4;
/// Keys widened at a time: 4-32 KB, so that they stay in the first-level cache while all rows pass over them.
const KEY_BLOCK: usize = 16;

/// The scratch, cut up.
struct Buffers<'a> {
    /// `[MAX_ROWS, PAGE_LEN]`: scores, then weights.
    scores: &'a mut [f32],
    /// `[KEY_BLOCK, dk]`, then `[PAGE_LEN, dv]`, widened; rows padded to a multiple of 16 with zeros.
    wide: &'a mut [f32],
    /// `[TILE, dk]`, padded likewise.
    queries: &'a mut [f32],
    /// `[TILE, dv]`, padded likewise.
    acc: &'a mut [f32],
}

impl<'a> Buffers<'a> {
    #[inline(always)]
    fn new(scratch: &'a mut [f32]) -> Self {
        let (scores, rest) = scratch.split_at_mut(MAX_ROWS * PAGE_LEN);
        let (wide, rest) = rest.split_at_mut(PAGE_LEN * MAX_HEAD_DIM);
        let (queries, rest) = rest.split_at_mut(TILE * MAX_HEAD_DIM);
        Self { scores, wide, queries, acc: &mut rest[..TILE * MAX_HEAD_DIM] }
    }
}

/// Merges a page into the states of all rows. Shapes are as `Isa::attend` asserts.
#[inline(always)]
pub(crate) fn attend<V: Vector>(page: &Attend<'_>, state: &mut State<'_>, scratch: &mut [f32]) {
    let mut buffers = Buffers::new(scratch);
    let (r, dk, dv) = (page.ranges.len(), page.dk, page.dv);
    for from in (0..r).step_by(MAX_ROWS) {
        let to = r.min(from + MAX_ROWS);
        let rows = Attend { q: &page.q[from * dk..to * dk], ranges: &page.ranges[from..to], ..*page };
        let mut state =
            State { m: &mut state.m[from..to], l: &mut state.l[from..to], acc: &mut state.acc[from * dv..to * dv] };
        let (first, last) = union(rows.ranges);
        if first < last {
            score_all::<V>(&rows, (first, last), &mut buffers);
            weigh_all::<V>(&rows, (first, last), &mut buffers, &mut state);
        }
    }
}

/// The smallest range that holds all that are not empty; empty if all are.
#[inline(always)]
fn union(ranges: &[(u32, u32)]) -> (usize, usize) {
    let visible = ranges.iter().filter(|(from, to)| from < to);
    let (from, to) = visible.fold((u32::MAX, 0), |(a, b), &(from, to)| (a.min(from), b.max(to)));
    (from as usize, to as usize)
}

/// What all ranges that are not empty have in common; may be empty.
#[inline(always)]
fn intersection(ranges: &[(u32, u32)]) -> (usize, usize) {
    let visible = ranges.iter().filter(|(from, to)| from < to);
    let (from, to) = visible.fold((0, u32::MAX), |(a, b), &(from, to)| (a.max(from), b.min(to)));
    (from as usize, to as usize)
}

/// Scores of all rows with the keys in `first..last`.
#[inline(always)]
fn score_all<V: Vector>(page: &Attend<'_>, (first, last): (usize, usize), buffers: &mut Buffers<'_>) {
    let dk = page.dk;
    if reads_in_place(page, dk) {
        let keys = Rows { base: page.k.as_ptr(), stride: dk, next: page.v.as_ptr() };
        // SAFETY: `k` has `last` rows of `dk` values.
        return unsafe { score_rows::<V, u16>(page, keys, (first, last), 0, buffers) };
    }
    let (len, stride) = (page.format.row_len(dk), dk.next_multiple_of(16));
    for from in (first - first % KEY_BLOCK..last).step_by(KEY_BLOCK) {
        let to = last.min(from + KEY_BLOCK);
        widen::<V>(page.format, &page.k[from * len..to * len], dk, buffers.wide);
        let keys = Rows { base: buffers.wide.as_ptr(), stride, next: std::ptr::null() };
        // SAFETY: `wide` has `to - from` rows of `stride` floats.
        unsafe { score_rows::<V, f32>(page, keys, (from, to), from, buffers) }
    }
}

/// Whether tiles read the vectors of `dim` values where they lie: half precision is widened as it is loaded, and for a single
/// tile nothing is gained by doing it before. Quantized vectors would need their scale for every load.
#[inline(always)]
fn reads_in_place(page: &Attend<'_>, dim: usize) -> bool {
    page.format == KvFormat::F16 && page.ranges.len() <= TILE && dim.is_multiple_of(16)
}

/// Scores of all rows with keys `from..to`, of which `keys` holds those from `origin` on.
///
/// # Safety
/// `keys` has rows up to `to - origin`, each of `dk` values padded to a multiple of 16.
#[inline(always)]
unsafe fn score_rows<V: Vector, E: Element>(
    page: &Attend<'_>,
    keys: Rows<E>,
    (from, to): (usize, usize),
    origin: usize,
    buffers: &mut Buffers<'_>,
) {
    let dk = page.dk;
    let dim = dk.next_multiple_of(16);
    for (tile, ranges) in page.ranges.chunks(TILE).enumerate() {
        let (first, last) = union(ranges);
        let range = (first.max(from), last.min(to));
        if range.0 >= range.1 {
            continue;
        }
        let range = (range.0 - origin, range.1 - origin);
        let rows = ranges.len();
        let mut q = page.q[tile * TILE * dk..][..rows * dk].as_ptr();
        if dim != dk {
            for r in 0..rows {
                let padded = &mut buffers.queries[r * dim..(r + 1) * dim];
                padded[..dk].copy_from_slice(&page.q[(tile * TILE + r) * dk..][..dk]);
                padded[dk..].fill(0.0);
            }
            q = buffers.queries.as_ptr();
        }
        // A tile taller than its rows repeats the last query and writes to the unused score rows below.
        let out = buffers.scores[tile * TILE * PAGE_LEN..][..TILE * PAGE_LEN].as_mut_ptr();
        let q = |r: usize| q.wrapping_add(r.min(rows - 1) * dim);
        let out = |r: usize| out.wrapping_add(r * PAGE_LEN + origin);
        // SAFETY: `q` has `rows` rows of `dim` floats, `out` TILE rows of PAGE_LEN, `keys` is the caller's promise.
        unsafe {
            match (rows, V::ROUNDS) {
                (1, 1) => scores::<V, E, 1, 16, 16>([q(0)], keys, range, dim, [out(0)]),
                (1, _) => scores::<V, E, 1, 16, 8>([q(0)], keys, range, dim, [out(0)]),
                (2, 1) => scores::<V, E, 2, 8, 8>([q(0), q(1)], keys, range, dim, [out(0), out(1)]),
                (2, _) => scores::<V, E, 2, 8, 4>([q(0), q(1)], keys, range, dim, [out(0), out(1)]),
                (_, 1) => scores::<V, E, 4, 4, 4>([0, 1, 2, 3].map(q), keys, range, dim, [0, 1, 2, 3].map(out)),
                (_, _) => scores::<V, E, 4, 4, 2>([0, 1, 2, 3].map(q), keys, range, dim, [0, 1, 2, 3].map(out)),
            }
        }
    }
}

/// Weights from scores, then the weighted values of positions `first..last`, merged into the states.
#[inline(always)]
fn weigh_all<V: Vector>(
    page: &Attend<'_>,
    (first, last): (usize, usize),
    buffers: &mut Buffers<'_>,
    state: &mut State<'_>,
) {
    let dv = page.dv;
    if reads_in_place(page, dv) {
        let values = Rows { base: page.v.as_ptr(), stride: dv, next: page.next.as_ptr() };
        // SAFETY: `v` has `last` rows of `dv` values.
        return unsafe { weigh_rows::<V, u16>(page, values, 0, buffers, state) };
    }
    let len = page.format.row_len(dv);
    widen::<V>(page.format, &page.v[first * len..last * len], dv, buffers.wide);
    let values = Rows { base: buffers.wide.as_ptr(), stride: dv.next_multiple_of(16), next: std::ptr::null() };
    // SAFETY: `wide` has `last - first` rows of `stride` floats.
    unsafe { weigh_rows::<V, f32>(page, values, first, buffers, state) }
}

/// Weights and weighted values of all rows; `values` holds the positions from `origin` on.
///
/// # Safety
/// `values` has rows up to the end of every range, each of `dv` values padded to a multiple of 16.
#[inline(always)]
unsafe fn weigh_rows<V: Vector, E: Element>(
    page: &Attend<'_>,
    values: Rows<E>,
    origin: usize,
    buffers: &mut Buffers<'_>,
    state: &mut State<'_>,
) {
    let dv = page.dv;
    let dim = dv.next_multiple_of(16);
    for (tile, ranges) in page.ranges.chunks(TILE).enumerate() {
        let (first, last) = union(ranges);
        if first >= last {
            continue;
        }
        let rows = ranges.len();
        let p = &mut buffers.scores[tile * TILE * PAGE_LEN..][..TILE * PAGE_LEN];
        let mut sums = [(f32::NEG_INFINITY, 0.0); TILE];
        for (r, p) in p.as_chunks_mut::<PAGE_LEN>().0.iter_mut().enumerate() {
            if r < rows {
                sums[r] = weights(p, ranges[r], page.scale, page.soft_cap);
            } else {
                p.fill(0.0);
            }
        }
        let mut merges = [Merge { m: 0.0, a1: 0.0, a2: 0.0 }; TILE];
        for r in 0..rows {
            merges[r] = Merge::of(state.m[tile * TILE + r], sums[r].0);
        }
        let acc = &mut buffers.acc[..TILE * dim];
        acc.fill(0.0);
        let (p, out) = (p.as_ptr(), acc.as_mut_ptr());
        let p = |r: usize| p.wrapping_add(r * PAGE_LEN + origin);
        let out = |r: usize| out.wrapping_add(r * dim);
        // What all rows of the tile see goes through the tile, before and after it each row by itself: every row's
        // chain runs over exactly its own positions, in order.
        let (from, to) = intersection(ranges);
        let (from, to) = if from < to { (from, to) } else { (usize::MAX, usize::MAX) };
        for after in [false, true] {
            for (r, &(a, b)) in ranges.iter().enumerate() {
                let (a, b) = (a as usize, b as usize);
                let (a, b) = if after { (a.max(to), b) } else { (a, b.min(from)) };
                if a < b {
                    let range = (a - origin, b - origin);
                    // SAFETY: the range is one of the row's own; `acc` has TILE rows of `dim` floats.
                    unsafe { weigh::<V, E, 1, 4>([p(r)], values, range, dim, [out(r)]) }
                }
            }
            if !after && from < to {
                let range = (from - origin, to - origin);
                // SAFETY: every row sees the range; `p` and `acc` have TILE rows.
                unsafe {
                    match (rows, V::ROUNDS) {
                        (1, _) => weigh::<V, E, 1, 4>([p(0)], values, range, dim, [out(0)]),
                        (2, _) => weigh::<V, E, 2, 4>([0, 1].map(p), values, range, dim, [0, 1].map(out)),
                        (_, 1) => weigh::<V, E, 4, 4>([0, 1, 2, 3].map(p), values, range, dim, [0, 1, 2, 3].map(out)),
                        (_, _) => weigh::<V, E, 4, 2>([0, 1, 2, 3].map(p), values, range, dim, [0, 1, 2, 3].map(out)),
                    }
                }
            }
        }
        for (r, (m, l)) in sums.into_iter().take(rows).enumerate() {
            let i = tile * TILE + r;
            let row = (&mut state.m[i], &mut state.l[i], &mut state.acc[i * dv..(i + 1) * dv]);
            absorb(row, m, l, &buffers.acc[r * dim..][..dv], merges[r]);
        }
    }
}
