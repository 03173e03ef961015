//! Weight rows times several tokens: up to 64 rows and 512 columns are unpacked once into scratch memory and swept over all
//! tokens with a register tile, then the next 512 columns go on with the sums where they stopped.

use super::intrinsics::*;

use super::blocks32::Block32;
use super::blocks256::Block256;
use super::load::{head_of, ints16, next_heads, sums16};
use super::tile::{Layout, ROWS, Sums, TOKENS, Tile32, Tile256, split_sums};
use crate::activations::Activations;
use crate::scratch::{MAX_SCRATCH_BYTES, Scratch};

/// Tiles of rows unpacked together: enough to spread the packing of tokens, few enough for the nearest caches.
const TILES: usize = 8;
/// Columns unpacked together, in groups of 16.
const GROUPS: usize = 512 / 16;
/// The same in blocks of 32 and of 256.
const BLOCKS32: usize = GROUPS / 2;
const BLOCKS256: usize = GROUPS / 16;
/// Row registers of a layout at most.
const REGISTERS: usize = 4;

/// A layout with its two sweeps compiled for the instructions it needs.
pub(crate) trait Tiles: Layout {
    /// `tile::sweep32` for `tokens` tokens, 1 to 4, with or without minimums.
    fn sweep32(self, min: bool, tokens: usize, tile: &Tile32<'_>, sums: &mut Sums);

    /// `tile::sweep256` for `tokens` tokens, 1 to 4, and groups of 16 or 32.
    fn sweep256(self, group: usize, min: bool, tokens: usize, tile: &Tile256<'_>, sums: &mut Sums);
}

/// The unpacked bytes and scales of 8 rows.
#[repr(C, align(64))]
struct Rows {
    w: [[[i8; 64]; 2]; GROUPS],
    steps: [[i32; 4]; GROUPS * REGISTERS],
    d: [[i32; 4]; BLOCKS32 * REGISTERS],
    m: [[i32; 4]; BLOCKS32 * REGISTERS],
    mins: [[[i8; 64]; 2]; BLOCKS256],
}

/// The same of a tile's tokens.
#[repr(C, align(64))]
struct Tokens {
    x: [[i8; 64]; GROUPS],
    d: [[f32; TOKENS]; BLOCKS32],
    s: [[f32; TOKENS]; BLOCKS32],
    split: [[[i8; 64]; 2]; BLOCKS256],
}

/// What the panel kernels keep in scratch memory.
#[repr(C, align(64))]
struct Panel {
    rows: [Rows; TILES],
    tokens: Tokens,
}

impl Panel {
    fn of(scratch: &mut Scratch) -> &mut Self {
        const { assert!(size_of::<Self>() <= MAX_SCRATCH_BYTES) };
        let bytes = scratch.bytes_mut();
        assert!(bytes.len() >= size_of::<Self>() && bytes.as_ptr().cast::<Self>().is_aligned());
        // SAFETY: long enough and aligned as just asserted, borrowed for as long as the result, and every bit pattern is a
        // valid integer or float.
        unsafe { &mut *bytes.as_mut_ptr().cast::<Self>() }
    }
}

/// One piece of a matmul: rows from `row`, columns by blocks.
struct Piece {
    row: usize,
    rows: usize,
    block: usize,
    blocks: usize,
}

/// Blocks `piece.block..` of rows 4 `quad` to 4 `quad + 3` of the piece, the last row again where there are fewer.
#[inline(always)]
fn quad_of<'a, const N: usize>(w: &'a [[u8; N]], per_row: usize, piece: &Piece, quad: usize) -> [&'a [[u8; N]]; 4] {
    [0, 1, 2, 3].map(|i| {
        let row = piece.row + (4 * quad + i).min(piece.rows - 1);
        &w[row * per_row + piece.block..][..piece.blocks]
    })
}

/// Walks the rows by panels and the columns by pieces of `piece_blocks`.
#[inline(always)]
fn pieces(n: usize, per_row: usize, piece_blocks: usize) -> impl Iterator<Item = Piece> {
    (0..n).step_by(TILES * ROWS).flat_map(move |row| {
        (0..per_row).step_by(piece_blocks).map(move |block| Piece {
            row,
            rows: (n - row).min(TILES * ROWS),
            block,
            blocks: (per_row - block).min(piece_blocks),
        })
    })
}

/// `out[t, n]` for several tokens, formats with blocks of 32.
pub(crate) fn rows32<const N: usize, B: Block32<N>, T: Tiles>(
    tiles: T,
    w: &[u8],
    x: &Activations<'_>,
    out: &mut [f32],
    scratch: &mut Scratch,
) {
    let Panel { rows, tokens } = Panel::of(scratch);
    let w = w.as_chunks::<N>().0;
    let (t, n, per_row) = (x.t(), out.len() / x.t(), x.k() / 32);
    for piece in pieces(n, per_row, BLOCKS32) {
        let rows = &mut rows[..piece.rows.div_ceil(ROWS)];
        for (i, rows) in rows.iter_mut().enumerate() {
            for quad in 0..2 {
                unpack32::<N, B, T>(tiles, quad_of(w, per_row, &piece, 2 * i + quad), quad, rows);
            }
        }
        for first in (0..t).step_by(TOKENS) {
            let count = (t - first).min(TOKENS);
            tokens.pack32(tiles, x, first, &piece);
            for (i, rows) in rows.iter().enumerate() {
                let tile = Tile32 {
                    w: &rows.w.as_chunks().0[..piece.blocks],
                    d: &rows.d,
                    m: &rows.m,
                    x: tokens.x.as_chunks().0,
                    xd: &tokens.d,
                    xs: &tokens.s,
                };
                let mut sums = load(out, n, first, count, &piece, i);
                tiles.sweep32(B::MIN, count, &tile, &mut sums);
                store(&sums, out, n, first, count, &piece, i);
            }
        }
    }
}

/// `out[t, n]` for several tokens, formats with blocks of 256.
pub(crate) fn rows256<const N: usize, B: Block256<N>, T: Tiles>(
    tiles: T,
    w: &[u8],
    x: &Activations<'_>,
    out: &mut [f32],
    scratch: &mut Scratch,
) {
    let Panel { rows, tokens } = Panel::of(scratch);
    let w = w.as_chunks::<N>().0;
    let (t, n, per_row) = (x.t(), out.len() / x.t(), x.k() / 256);
    for piece in pieces(n, per_row, BLOCKS256) {
        let rows = &mut rows[..piece.rows.div_ceil(ROWS)];
        for (i, rows) in rows.iter_mut().enumerate() {
            for quad in 0..2 {
                unpack256::<N, B, T>(tiles, quad_of(w, per_row, &piece, 2 * i + quad), quad, rows);
            }
        }
        for first in (0..t).step_by(TOKENS) {
            let count = (t - first).min(TOKENS);
            tokens.pack256::<T>(tiles, x, first, &piece, if B::MIN { B::GROUP } else { 0 });
            for (i, rows) in rows.iter().enumerate() {
                let tile = Tile256 {
                    w: &rows.w.as_chunks().0[..piece.blocks],
                    steps: &rows.steps,
                    d: &rows.d,
                    dmin: &rows.m,
                    mins: &rows.mins,
                    x: tokens.x.as_chunks().0,
                    xd: &tokens.d,
                    xs: &tokens.split,
                    shift: B::SHIFT,
                };
                let mut sums = load(out, n, first, count, &piece, i);
                tiles.sweep256(B::GROUP, B::MIN, count, &tile, &mut sums);
                store(&sums, out, n, first, count, &piece, i);
            }
        }
    }
}

/// The sums so far of `count` tokens from `first` and of the piece's tile `i`: zeros for its first columns.
#[inline(always)]
fn load(out: &[f32], n: usize, first: usize, count: usize, piece: &Piece, i: usize) -> Sums {
    let mut sums = [[0.0; ROWS]; TOKENS];
    if piece.block > 0 {
        let width = (piece.rows - i * ROWS).min(ROWS);
        for (t, sums) in sums[..count].iter_mut().enumerate() {
            let out = &out[(first + t) * n + piece.row + i * ROWS..][..width];
            match out.first_chunk() {
                Some(eight) => *sums = *eight,
                None => sums[..width].copy_from_slice(out),
            }
        }
    }
    sums
}

/// Writes back what `load` read.
#[inline(always)]
fn store(sums: &Sums, out: &mut [f32], n: usize, first: usize, count: usize, piece: &Piece, i: usize) {
    let width = (piece.rows - i * ROWS).min(ROWS);
    for (t, sums) in sums[..count].iter().enumerate() {
        let out = &mut out[(first + t) * n + piece.row + i * ROWS..][..width];
        match out.first_chunk_mut() {
            Some(eight) => *eight = *sums,
            None => out.copy_from_slice(&sums[..width]),
        }
    }
}

/// Unpacks 4 rows to the tile's half `quad`.
fn unpack32<const N: usize, B: Block32<N>, L: Layout>(layout: L, rows: [&[[u8; N]]; 4], quad: usize, to: &mut Rows) {
    let half = L::ROW_REGISTERS / 2;
    let n = rows[0].len();
    let [r0, r1, r2, r3] = rows.map(|row| &row[..n]);
    for b in 0..n {
        let blocks = [&r0[b], &r1[b], &r2[b], &r3[b]];
        let bias = vdupq_n_s8(B::BIAS);
        let w = blocks.map(|b| B::weights(b).map(|w| if B::BIAS == 0 { w } else { vsubq_s8(w, bias) }));
        for (part, to) in to.w[2 * b..][..2].iter_mut().enumerate() {
            layout.pack_rows([w[0][part], w[1][part], w[2][part], w[3][part]], &mut to[quad]);
        }
        let at = b * L::ROW_REGISTERS + quad * half;
        // SAFETY: references to blocks.
        let heads =
            unsafe { next_heads(&mut blocks.map(|b| &raw const *b), B::HEAD, 0, N, head_of(blocks[0], B::HEAD)) };
        let [d, m] = B::scales(heads);
        layout.spread(vreinterpretq_s32_f32(d), &mut to.d[at..][..half]);
        if B::MIN {
            layout.spread(vreinterpretq_s32_f32(m), &mut to.m[at..][..half]);
        }
    }
}

/// Unpacks 4 rows to the tile's half `quad`.
fn unpack256<const N: usize, B: Block256<N>, L: Layout>(layout: L, rows: [&[[u8; N]]; 4], quad: usize, to: &mut Rows) {
    let half = L::ROW_REGISTERS / 2;
    let groups = 256 / B::GROUP;
    let n = rows[0].len();
    let [r0, r1, r2, r3] = rows.map(|row| &row[..n]);
    for b in 0..n {
        let blocks = [&r0[b], &r1[b], &r2[b], &r3[b]];
        let (first, last) = to.w[16 * b..][..16].split_at_mut(8);
        pack_half(layout, blocks.map(|b| B::weights::<0>(b)), quad, first);
        pack_half(layout, blocks.map(|b| B::weights::<1>(b)), quad, last);
        let headers = blocks.map(|b| B::header(b));
        for eight in 0..groups / 8 {
            let by_group = transposed(headers.map(|h| h.steps[eight]));
            for (g, steps) in by_group.into_iter().enumerate() {
                let at = (b * groups + 8 * eight + g) * L::ROW_REGISTERS + quad * half;
                layout.spread(steps, &mut to.steps[at..][..half]);
            }
        }
        let [d, dmin] = B::scales(blocks);
        let at = b * L::ROW_REGISTERS + quad * half;
        layout.spread(vreinterpretq_s32_f32(d), &mut to.d[at..][..half]);
        if B::MIN {
            layout.spread(vreinterpretq_s32_f32(dmin), &mut to.m[at..][..half]);
            // Groups of 32: the 8 minimums twice, for the high and the low halves of the sums beside each other.
            let twice = |mins| if B::GROUP == 32 { vcombine_s8(vget_low_s8(mins), vget_low_s8(mins)) } else { mins };
            layout.pack_rows(headers.map(|h| twice(h.mins)), &mut to.mins[b][quad]);
        }
    }
}

/// Lays out 128 weights each of 4 rows.
#[inline(always)]
fn pack_half<L: Layout>(layout: L, w: [[int8x16_t; 8]; 4], quad: usize, to: &mut [[[i8; 64]; 2]]) {
    for (part, to) in to.iter_mut().enumerate() {
        layout.pack_rows([w[0][part], w[1][part], w[2][part], w[3][part]], &mut to[quad]);
    }
}

/// From 8 values each of 4 rows to the 4 rows of each value.
#[inline(always)]
fn transposed(rows: [int16x8_t; 4]) -> [int32x4_t; 8] {
    let [a, b, c, d] = rows;
    let (ac, bd) = ([vzip1q_s16(a, c), vzip2q_s16(a, c)], [vzip1q_s16(b, d), vzip2q_s16(b, d)]);
    let pairs =
        [vzip1q_s16(ac[0], bd[0]), vzip2q_s16(ac[0], bd[0]), vzip1q_s16(ac[1], bd[1]), vzip2q_s16(ac[1], bd[1])];
    let [p, q, r, s] = pairs.map(|pair| [vmovl_s16(vget_low_s16(pair)), vmovl_high_s16(pair)]);
    [p[0], p[1], q[0], q[1], r[0], r[1], s[0], s[1]]
}

impl Tokens {
    /// Packs the piece's columns of 4 tokens from `first` (the last one again where there are fewer).
    fn pack32<L: Layout>(&mut self, layout: L, x: &Activations<'_>, first: usize, piece: &Piece) {
        self.pack_values(layout, x, first, 32 * piece.block, 2 * piece.blocks);
        let per_token = x.k() / 32;
        for t in 0..TOKENS {
            let at = (first + t).min(x.t() - 1) * per_token + piece.block;
            let (d, s) = (&x.d()[at..][..piece.blocks], &x.s()[at..][..piece.blocks]);
            for b in 0..piece.blocks {
                self.d[b][t] = d[b];
                self.s[b][t] = f32::from(s[b]);
            }
        }
    }

    /// The same for blocks of 256; `groups` is the length of the groups that have minimums, 0 where there are none.
    fn pack256<L: Layout>(&mut self, layout: L, x: &Activations<'_>, first: usize, piece: &Piece, groups: usize) {
        self.pack_values(layout, x, first, 256 * piece.block, 16 * piece.blocks);
        let per_token = x.k() / 256;
        let token = |t: usize| (first + t).min(x.t() - 1);
        let sums = x.s().as_chunks::<16>().0;
        for b in 0..piece.blocks {
            let at = [0, 1, 2, 3].map(|t| token(t) * per_token + piece.block + b);
            self.d[b] = at.map(|at| x.d()[at]);
            let split = match groups {
                0 => continue,
                32 => at.map(|at| split_sums::<32>(sums16(&sums[at]))),
                _ => at.map(|at| split_sums::<16>(sums16(&sums[at]))),
            };
            for (part, to) in self.split[b].iter_mut().enumerate() {
                layout.pack_tokens(split.map(|token| token[part]), to);
            }
        }
    }

    /// Packs `groups` groups of 16 values of 4 tokens, from column `column` on.
    fn pack_values<L: Layout>(&mut self, layout: L, x: &Activations<'_>, first: usize, column: usize, groups: usize) {
        let token = |t: usize| {
            let at = (first + t).min(x.t() - 1) * x.k() + column;
            &x.q()[at..][..16 * groups].as_chunks::<16>().0[..groups]
        };
        let tokens = [token(0), token(1), token(2), token(3)];
        for (g, to) in self.x[..groups].iter_mut().enumerate() {
            layout.pack_tokens(tokens.map(|token| ints16(&token[g], 0)), to);
        }
    }
}
