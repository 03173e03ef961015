//! The loop nest of the x86 matmuls: unpack a panel of rows so that a lane is a row, sweep all tokens over it.
//!
//! A panel is `LANES` consecutive weight rows over a piece of k, unpacked to bytes in groups of 4 k: group, lane, 4
//! bytes. Behind it lie the rows' scales, one vector per scale. The accumulators of a piece live in `out` between
//! pieces, so any k fits the scratch. Lane = row makes the order of the float sums the canonical one by construction.

use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
use std::ops::Range;

use crate::activations::Activations;
use crate::arch::scalar;
use crate::format::Format;
use crate::scratch::Scratch;

/// Values of k in a piece when the panel serves many tokens: 64 rows fit the scratch and the second-level cache.
const PIECE: usize = 2048;

/// The same for a short batch, where a panel is read only a few times: it stays in the first-level cache.
const SHORT_PIECE: usize = 512;

/// Tokens of a short batch.
const SHORT_BATCH: usize = 24;

/// Least bytes between what is read and what is asked for: fewer do not hide memory's latency.
const AHEAD: usize = 16 * 1024;

/// Most times that eight rows are read again for further tokens before panels are faster.
const FEWS: usize = 3;

/// A row of this length is left to the scalar kernel.
const MAX_ROW_BYTES: usize = 1 << 26;

/// Scratch for the tokens' sums; the rest is for panels.
const SUMS_BYTES: usize = 64 * 1024;

/// What a format needs to be multiplied by panels on one instruction set.
pub(crate) trait Panels {
    /// The format of the rows.
    const FORMAT: Format;
    /// Rows in a panel: 32-bit lanes in a register.
    const LANES: usize;
    /// Most tokens in a tile.
    const TILE: usize;
    /// Vectors of scales per block behind the panel.
    const SIDE: usize;
    /// Bytes of sums per token and block.
    const SUMS: usize;

    /// Unpacks `blocks` blocks of each row: bytes to `panel`, scales to `side`.
    ///
    /// # Safety
    /// Each of `rows` (`LANES` pointers) has `blocks` blocks to read; `panel` and `side` have room; the CPU has the set.
    unsafe fn unpack(rows: &[*const u8], blocks: usize, panel: *mut u8, side: *mut u8);

    /// Most tokens that are multiplied with rows straight from the weights, eight at a time, without a panel.
    const FEW: usize;
    /// Bytes of sums per token and block for that.
    const FEW_SUMS: usize;

    /// Writes the sums of one token's blocks that `few` reads.
    ///
    /// # Safety
    /// `s` has `blocks` blocks to read; `sums` has room for `blocks * FEW_SUMS` bytes; the CPU has the set.
    unsafe fn few_sums(s: *const i16, blocks: usize, sums: *mut u8);

    /// Multiplies `tokens` (1 to `FEW`) tokens with eight rows over all of k and sets the outputs. `tile.panel` is free
    /// scratch. `ahead` is what will be read soon, worth a prefetch.
    ///
    /// # Safety
    /// Each of `rows` has `tile.blocks` blocks to read, at least one; the other pointers of `tile` cover what `tokens` and the rows
    /// reach; `tile.panel` has room for two blocks' scales; the CPU has the set.
    unsafe fn few(rows: &[*const u8; 8], ahead: *const u8, tile: &Tile, tokens: usize);

    /// Writes the sums of one token's blocks that the tile reads.
    ///
    /// # Safety
    /// `s` has `blocks` blocks to read; `sums` has room for `blocks * SUMS` bytes and 64 more; the CPU has the set.
    unsafe fn sums(s: *const i16, blocks: usize, sums: *mut u8);

    /// Adds the products of `tokens` (1, 2, 3, 4 or `TILE`) tokens and `panels` (1 or 2) panels to `out`.
    ///
    /// # Safety
    /// All pointers of `tile` cover what `tokens`, `panels` and `tile.blocks` reach; the CPU has the set.
    unsafe fn tile(tile: &Tile, tokens: usize, panels: usize);
}

/// Where a tile reads and writes. Strides are in elements of the pointer they follow.
pub(crate) struct Tile {
    /// Blocks of k in this piece.
    pub blocks: usize,
    /// The first panel's bytes.
    pub panel: *mut u8,
    /// Bytes to the next panel.
    pub panel_stride: usize,
    /// Bytes from a panel to its scales.
    pub side: usize,
    /// The first token's integers.
    pub q: *const i8,
    /// Integers to the next token.
    pub q_stride: usize,
    /// The first token's scales.
    pub d: *const f32,
    /// The first token's magnitudes; blocks of 256 only.
    pub m: *const u16,
    /// Scales, and magnitudes, to the next token.
    pub d_stride: usize,
    /// The first token's sums, as `Panels::sums` wrote them.
    pub sums: *const u8,
    /// Bytes to the next token's sums.
    pub sums_stride: usize,
    /// The first token's output for the first panel's first row.
    pub out: *mut f32,
    /// Outputs to the next token.
    pub out_stride: usize,
    /// Rows that exist, from the first panel's first row on; lanes beyond must not be stored.
    pub rows: usize,
}

/// `out[t, n] = x[t, k] * w[n, k]` for a format with panels.
///
/// # Safety
/// As `MatmulFn`.
pub(crate) unsafe fn matmul<F: Panels>(w: &[u8], x: &Activations<'_>, out: &mut [f32], scratch: &mut Scratch) {
    let nest = Nest::<F>::new(w, x, out, scratch);
    // Lanes reach their rows through 32-bit distances.
    if nest.row_bytes > MAX_ROW_BYTES {
        scalar::matmul::matmul(F::FORMAT, w, x, out);
        return;
    }
    // SAFETY: the lengths are the caller's promise; `Nest` derives every pointer from them.
    unsafe {
        if x.t() <= FEWS * F::FEW && nest.k_blocks * F::FEW_SUMS * x.t() <= SUMS_BYTES {
            nest.few_tokens();
        } else {
            out.fill(0.0); // the accumulators start here
            nest.many_tokens();
        }
    }
}

/// The loops' fixed facts.
struct Nest<'a, F> {
    x: Activations<'a>,
    w: *const u8,
    out: *mut f32,
    /// Sums first, panels behind them.
    scratch: *mut u8,
    scratch_bytes: usize,
    row_bytes: usize,
    k_blocks: usize,
    n: usize,
    format: std::marker::PhantomData<F>,
}

impl<'a, F: Panels> Nest<'a, F> {
    fn new(w: &[u8], x: &Activations<'a>, out: &mut [f32], scratch: &mut Scratch) -> Self {
        let row_bytes = F::FORMAT.row_bytes(x.k());
        let scratch = scratch.bytes_mut();
        Self {
            x: *x,
            w: w.as_ptr(),
            out: out.as_mut_ptr(),
            scratch_bytes: scratch.len(),
            scratch: scratch.as_mut_ptr(),
            row_bytes,
            k_blocks: x.k() / F::FORMAT.block_len(),
            n: w.len() / row_bytes,
            format: std::marker::PhantomData,
        }
    }

    /// Bytes of one token's sums over `blocks`, with the slack that tiles and `sums` may touch beyond.
    fn sums_stride(&self, blocks: usize) -> usize {
        (blocks * F::SUMS + 64).next_multiple_of(64)
    }

    /// Bytes of the unpacked rows of a piece, without their scales.
    fn panel_bytes(&self, blocks: usize) -> usize {
        blocks * F::FORMAT.block_len() * F::LANES
    }

    /// Bytes of a panel with its scales.
    fn panel_stride(&self, blocks: usize) -> usize {
        self.panel_bytes(blocks) + blocks * F::SIDE * F::LANES * 4
    }

    /// Decode and short batches: all sums first, then eight rows after the other.
    unsafe fn few_tokens(&self) {
        let sums_stride = self.k_blocks * F::FEW_SUMS;
        let sums_per_block = self.x.kind().block_len() / self.x.kind().sum_len();
        for t in 0..self.x.t() {
            // SAFETY: token `t` has sums; `matmul` checked that those of all tokens fit their part of the scratch.
            unsafe {
                let s = self.x.s().as_ptr().add(t * self.k_blocks * sums_per_block);
                F::few_sums(s, self.k_blocks, self.scratch.add(t * sums_stride));
            }
        }
        for row in (0..self.n).step_by(8) {
            // Missing rows repeat the last one; their lanes are not stored.
            let rows = std::array::from_fn(|lane| {
                // SAFETY: the row exists.
                unsafe { self.w.add((row + lane).min(self.n - 1) * self.row_bytes) }
            });
            // What will be read next. An address beyond the weights is harmless.
            let ahead = self.w.wrapping_add(row * self.row_bytes + (8 * self.row_bytes).max(AHEAD));
            for first in (0..self.x.t()).step_by(F::FEW) {
                // SAFETY: all pointers are inside the activations, the outputs and the scratch.
                unsafe {
                    let tile = Tile {
                        blocks: self.k_blocks,
                        panel: self.scratch.add(SUMS_BYTES),
                        panel_stride: 0,
                        side: 0,
                        q: self.x.q().as_ptr().add(first * self.x.k()),
                        q_stride: self.x.k(),
                        d: self.x.d().as_ptr().add(first * self.k_blocks),
                        m: self.x.m().as_ptr().wrapping_add(first * self.k_blocks),
                        d_stride: self.k_blocks,
                        sums: self.scratch.add(first * sums_stride),
                        sums_stride,
                        out: self.out.add(first * self.n + row),
                        out_stride: self.n,
                        rows: self.n - row,
                    };
                    F::few(&rows, ahead, &tile, (self.x.t() - first).min(F::FEW));
                }
            }
        }
    }

    /// Prefill and longer batches. For many tokens as many panels as fit are unpacked once per piece and swept by all of
    /// them. A short batch spends its time on reading: there the rows of two panels are finished before the next.
    unsafe fn many_tokens(&self) {
        let short = self.x.t() <= SHORT_BATCH;
        let piece = if short { SHORT_PIECE } else { PIECE };
        let piece = (piece / F::FORMAT.block_len()).min(self.k_blocks);
        // Two panels share a tile's activations, so an even number of them is swept at a time.
        let fit = if short { 2 } else { (self.scratch_bytes - SUMS_BYTES) / self.panel_stride(piece) / 2 * 2 };
        let pieces = || (0..self.k_blocks).step_by(piece).map(|block| (block, piece.min(self.k_blocks - block)));
        let groups = || (0..self.n).step_by(fit * F::LANES);
        // SAFETY: `fit` panels of a piece and one tile's sums fit the scratch.
        unsafe {
            if short {
                for row in groups() {
                    for (block, blocks) in pieces() {
                        self.sweep(row, fit, block, blocks);
                    }
                }
            } else {
                for (block, blocks) in pieces() {
                    for row in groups() {
                        self.sweep(row, fit, block, blocks);
                    }
                }
            }
        }
    }

    /// Asks for the piece's share of the `rows` rows behind those from `row` on, taken as one stream: of it what falls to some of
    /// the tokens, so that memory works while they are multiplied.
    fn ask_ahead(&self, row: usize, rows: usize, block: usize, blocks: usize, tokens: Range<usize>) {
        let bytes = rows * F::FORMAT.block_bytes();
        let start = (row + rows) * self.row_bytes + block * bytes;
        let part = |token: usize| token * blocks * bytes / self.x.t() / 64 * 64;
        for at in (part(tokens.start)..part(tokens.end)).step_by(64) {
            // SAFETY: prefetching has no effect but on speed, whatever the address.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(self.w.wrapping_add(start + at).cast()) }
        }
    }

    /// Unpacks up to `fit` panels of a piece from `row` on, and multiplies all tokens with them, a tile at a time.
    unsafe fn sweep(&self, row: usize, fit: usize, block: usize, blocks: usize) {
        // SAFETY: the caller's `fit` panels of a piece and one tile's sums fit the scratch.
        unsafe {
            let panels = (self.n - row).div_ceil(F::LANES).min(fit);
            for p in 0..panels {
                self.unpack(row + p * F::LANES, block, blocks, p);
            }
            let mut token = 0;
            while token < self.x.t() {
                // A tile of one or two tokens cannot hide the latency of its sums: 5 are 3 and 2, 8 are 4 and 4.
                let tokens = match self.x.t() - token {
                    5 => 3,
                    7 | 8 => 4,
                    left if left >= F::TILE => F::TILE,
                    left => left.min(4),
                };
                self.token_sums(token, tokens, block, blocks);
                self.ask_ahead(row, panels * F::LANES, block, blocks, token..token + tokens);
                for p in (0..panels).step_by(2) {
                    let pair = (panels - p).min(2);
                    self.tile(token, tokens, row + p * F::LANES, pair, block, blocks, p);
                }
                token += tokens;
            }
        }
    }

    /// Unpacks the panel that starts at `row` to place `p` of the scratch. Missing rows repeat the last one.
    unsafe fn unpack(&self, row: usize, block: usize, blocks: usize, p: usize) {
        let mut rows = [std::ptr::null(); 16];
        for (lane, pointer) in rows.iter_mut().enumerate() {
            let row = (row + lane).min(self.n - 1);
            // SAFETY: `row` and `block` are inside the weights.
            *pointer = unsafe { self.w.add(row * self.row_bytes + block * F::FORMAT.block_bytes()) };
        }
        // SAFETY: place `p` is inside the scratch, as the loops above fit it.
        unsafe {
            let panel = self.scratch.add(SUMS_BYTES + p * self.panel_stride(blocks));
            F::unpack(&rows[..F::LANES], blocks, panel, panel.add(self.panel_bytes(blocks)));
        }
    }

    /// The sums of `tokens` tokens over a piece.
    unsafe fn token_sums(&self, token: usize, tokens: usize, block: usize, blocks: usize) {
        let sums = self.x.kind().block_len() / self.x.kind().sum_len();
        for t in 0..tokens {
            let at = (token + t) * self.k_blocks + block;
            // SAFETY: token and block are inside the activations; a tile's sums fit their part of the scratch.
            unsafe {
                let s = self.x.s().as_ptr().add(at * sums);
                F::sums(s, blocks, self.scratch.add(t * self.sums_stride(blocks)));
            }
        }
    }

    /// A tile: `tokens` tokens times `panels` panels from place `p` on, whose first row is `row`.
    #[allow(clippy::too_many_arguments, reason = "the coordinates of one tile")]
    unsafe fn tile(
        &self,
        token: usize,
        tokens: usize,
        row: usize,
        panels: usize,
        block: usize,
        blocks: usize,
        p: usize,
    ) {
        let panel_stride = self.panel_stride(blocks);
        let at = token * self.k_blocks + block;
        // SAFETY: token, row and block are inside; `unpack` and `token_sums` filled what the tile reads.
        unsafe {
            let tile = Tile {
                blocks,
                panel: self.scratch.add(SUMS_BYTES + p * panel_stride),
                panel_stride,
                side: self.panel_bytes(blocks),
                q: self.x.q().as_ptr().add(at * F::FORMAT.block_len()),
                q_stride: self.x.k(),
                d: self.x.d().as_ptr().add(at),
                m: self.x.m().as_ptr().wrapping_add(at),
                d_stride: self.k_blocks,
                sums: self.scratch,
                sums_stride: self.sums_stride(blocks),
                out: self.out.add(token * self.n + row),
                out_stride: self.n,
                rows: self.n - row,
            };
            F::tile(&tile, tokens, panels);
        }
    }
}
