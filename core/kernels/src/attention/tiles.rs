//! The two inner loops: 16 dots of queries and keys at once, and weighted sums of values.

use crate::float::vector::Vector;

/// How a key or value is stored where a tile reads it.
pub(crate) trait Element: Copy {
    /// Widens one register of values.
    ///
    /// # Safety
    /// `from` is readable for `V::WIDTH` values.
    unsafe fn load<V: Vector>(from: *const Self) -> V;
}

impl Element for u16 {
    #[inline(always)]
    unsafe fn load<V: Vector>(from: *const Self) -> V {
        // SAFETY: the caller's promise.
        unsafe { V::widen(from) }
    }
}

impl Element for f32 {
    #[inline(always)]
    unsafe fn load<V: Vector>(from: *const Self) -> V {
        // SAFETY: the caller's promise.
        unsafe { V::load(from) }
    }
}

/// Rows of a page, `stride` values apart.
#[derive(Clone, Copy)]
pub(crate) struct Rows<E> {
    pub base: *const E,
    pub stride: usize,
    /// Rows as far apart that will be read next and are asked for on the way; null: none.
    pub next: *const E,
}

/// Dots of `R` queries with keys `from..to`, `K = 16 / R` at a time, `H` of them in registers at once:
/// `out[r][i] = q[r] . k[i]`. Works in whole groups of `K`: around the range it writes what means nothing.
///
/// # Safety
/// `dim` is a multiple of 16; each `q` is readable for `dim` floats; keys 0 to `to` are readable for `dim` values;
/// each `out` is writable up to `to` rounded up to a multiple of `K`; `from < to`.
#[inline(always)]
pub(crate) unsafe fn scores<V: Vector, E: Element, const R: usize, const K: usize, const H: usize>(
    q: [*const f32; R],
    k: Rows<E>,
    (from, to): (usize, usize),
    dim: usize,
    out: [*mut f32; R],
) {
    let mut first = from - from % K;
    while first < to {
        if !k.next.is_null() {
            V::ask(k.next.wrapping_add(first * k.stride).cast(), K * k.stride * size_of::<E>());
        }
        let mut keys = [k.base; K];
        for (i, key) in keys.iter_mut().enumerate() {
            // Past the end the last key again; nobody looks at its dots.
            let index = if first + i < to { first + i } else { to - 1 };
            // SAFETY: `index` is a key.
            *key = unsafe { k.base.add(index * k.stride) };
        }
        // SAFETY: the caller's promises; `part` reads lanes `offset + 16 j`, all below `dim`.
        let sums = unsafe {
            match 16 / V::WIDTH {
                1 => part::<V, E, R, K, H>(&q, &keys, dim, 0),
                2 => {
                    let low = part::<V, E, R, K, H>(&q, &keys, dim, 0);
                    add(low, part::<V, E, R, K, H>(&q, &keys, dim, 8))
                }
                _ => {
                    let even = part::<V, E, R, K, H>(&q, &keys, dim, 0);
                    let even = add(even, part::<V, E, R, K, H>(&q, &keys, dim, 8));
                    let odd = part::<V, E, R, K, H>(&q, &keys, dim, 4);
                    let odd = add(odd, part::<V, E, R, K, H>(&q, &keys, dim, 12));
                    add(even, odd)
                }
            }
        };
        let dots = V::fold(sums);
        for r in 0..R {
            // SAFETY: `first + K` is at most `to` rounded up, and row r's dots are `dots[r K..][..K]`.
            unsafe { std::ptr::copy_nonoverlapping(dots.as_ptr().add(r * K), out[r].add(first), K) }
        }
        first += K;
    }
}

/// The partial sums of the lanes that start at `offset` of every 16.
///
/// # Safety
/// As `scores`.
#[inline(always)]
unsafe fn part<V: Vector, E: Element, const R: usize, const K: usize, const H: usize>(
    q: &[*const f32; R],
    k: &[*const E; K],
    dim: usize,
    offset: usize,
) -> [V; 16] {
    let mut all = [V::zero(); 16];
    let mut first = 0;
    while first < K {
        let mut sums = [[V::zero(); H]; R];
        let mut d = offset;
        while d < dim {
            let mut keys = [V::zero(); H];
            for i in 0..H {
                // SAFETY: `d + WIDTH <= dim`.
                keys[i] = unsafe { E::load(k[first + i].add(d)) };
            }
            for r in 0..R {
                // SAFETY: `d + WIDTH <= dim`.
                let query = unsafe { V::load(q[r].add(d)) };
                for i in 0..H {
                    sums[r][i] = query.fma(keys[i], sums[r][i]);
                }
            }
            d += 16;
        }
        for r in 0..R {
            for i in 0..H {
                all[r * K + first + i] = sums[r][i];
            }
        }
        first += H;
    }
    all
}

#[inline(always)]
fn add<V: Vector>(mut a: [V; 16], b: [V; 16]) -> [V; 16] {
    for i in 0..16 {
        a[i] = a[i].add(b[i]);
    }
    a
}

/// `acc[r] += p[r][i] * v[i]` for positions `from..to` in order, `C` registers of each row at a time.
///
/// # Safety
/// `dim` is a multiple of 16; each `p` is readable up to index `to`, each value for `dim` values, each `acc` writable
/// for `dim` floats.
#[inline(always)]
pub(crate) unsafe fn weigh<V: Vector, E: Element, const R: usize, const C: usize>(
    p: [*const f32; R],
    v: Rows<E>,
    (from, to): (usize, usize),
    dim: usize,
    acc: [*mut f32; R],
) {
    let mut d = 0;
    while d + C * V::WIDTH <= dim {
        // SAFETY: the columns end within `dim`.
        unsafe { weigh_columns::<V, E, R, C>(&p, v, (from, to), d, &acc) }
        d += C * V::WIDTH;
    }
    while d < dim {
        // SAFETY: `dim` is a multiple of `WIDTH`.
        unsafe { weigh_columns::<V, E, R, 1>(&p, v, (from, to), d, &acc) }
        d += V::WIDTH;
    }
}

/// The columns of `weigh` from `d` on.
///
/// # Safety
/// As `weigh`, with `d + C * WIDTH <= dim`.
#[inline(always)]
unsafe fn weigh_columns<V: Vector, E: Element, const R: usize, const C: usize>(
    p: &[*const f32; R],
    v: Rows<E>,
    (from, to): (usize, usize),
    d: usize,
    acc: &[*mut f32; R],
) {
    let mut sums = [[V::zero(); C]; R];
    for r in 0..R {
        for c in 0..C {
            // SAFETY: the caller's promises.
            sums[r][c] = unsafe { V::load(acc[r].add(d + c * V::WIDTH)) };
        }
    }
    // Columns narrower than a line of the cache ask for each line once.
    let asks = !v.next.is_null() && (d * size_of::<E>()).is_multiple_of(64);
    for i in from..to {
        if asks {
            V::ask(v.next.wrapping_add(i * v.stride + d).cast(), C * V::WIDTH * size_of::<E>());
        }
        let mut values = [V::zero(); C];
        for c in 0..C {
            // SAFETY: the caller's promises.
            values[c] = unsafe { E::load(v.base.add(i * v.stride + d + c * V::WIDTH)) };
        }
        for r in 0..R {
            // SAFETY: the caller's promises.
            let weight = V::splat(unsafe { *p[r].add(i) });
            for c in 0..C {
                sums[r][c] = weight.fma(values[c], sums[r][c]);
            }
        }
    }
    for r in 0..R {
        for c in 0..C {
            // SAFETY: the caller's promises.
            unsafe { sums[r][c].store(acc[r].add(d + c * V::WIDTH)) }
        }
    }
}
