//! Which tile, panel and scales each quantized format takes.

use super::few;
use super::sums32;
use super::tile32::{self, tile as tile32};
use super::tile256::{self, tile as tile256};
use super::unpack::halves_of;
use super::unpack32::{self, has_min};
use super::unpack256::{self, Lane, Side};
use crate::activations::Activations;
use crate::arch::panel::{self, Panels, Tile};
use crate::format::Format;
use crate::grids;
use crate::scratch::Scratch;

/// Bytes of a group of 4 k: 8 rows.
const STRIDE: usize = 32;

/// Tiles of 1, 2, 3 and 4 tokens.
type Tiles = [unsafe fn(&Tile); 4];

/// Eight rows without a panel.
type Few = unsafe fn(&[*const u8; 8], *const u8, &Tile);

/// A format with blocks of 32.
///
/// # Safety
/// As `MatmulFn`.
pub(crate) unsafe fn blocks_of_32<const F: usize, const VNNI: bool>(
    w: &[u8],
    x: &Activations<'_>,
    out: &mut [f32],
    scratch: &mut Scratch,
) {
    // SAFETY: the caller's promise.
    unsafe { panel::matmul::<Blocks32<F, VNNI>>(w, x, out, scratch) }
}

/// A format with blocks of 256.
///
/// # Safety
/// As `MatmulFn`.
pub(crate) unsafe fn blocks_of_256<const F: usize, const VNNI: bool>(
    w: &[u8],
    x: &Activations<'_>,
    out: &mut [f32],
    scratch: &mut Scratch,
) {
    // SAFETY: the caller's promise.
    unsafe { panel::matmul::<Blocks256<F, VNNI>>(w, x, out, scratch) }
}

/// Calls the tile for one panel after the other.
///
/// # Safety
/// As `Panels::tile`.
unsafe fn each_panel(tiles: &Tiles, tile: &Tile, tokens: usize, panels: usize) {
    for p in 0..panels {
        // SAFETY: the caller's promise; panel `p` begins 8 rows further.
        unsafe {
            let panel = Tile {
                panel: tile.panel.add(p * tile.panel_stride),
                out: tile.out.add(p * 8),
                rows: tile.rows - p * 8,
                ..*tile
            };
            tiles[tokens - 1](&panel);
        }
    }
}

struct Blocks32<const F: usize, const VNNI: bool>;

impl<const F: usize, const VNNI: bool> Blocks32<F, VNNI> {
    const TILES: Tiles = [tile32::<Self, 1>, tile32::<Self, 2>, tile32::<Self, 3>, tile32::<Self, 4>];
    const FEWS: [Few; 2] = [few::of_32::<Self, F, 1>, few::of_32::<Self, F, 2>];
}

impl<const F: usize, const VNNI: bool> tile32::Shape for Blocks32<F, VNNI> {
    // Pair sums are at most 2 * 127 times the largest byte: 15 lets 8 groups fit 16 bits, 31 lets 4.
    const GROUPS: usize = match Format::ALL[F] {
        Format::Q4_0 | Format::Q4_1 => 8,
        Format::Q8_0 | Format::IQ4_NL => 1,
        _ => 4,
    };
    const MIN: bool = has_min(Format::ALL[F]);
    const VNNI: bool = VNNI;
}

impl<const F: usize, const VNNI: bool> Panels for Blocks32<F, VNNI> {
    const FORMAT: Format = Format::ALL[F];
    const LANES: usize = 8;
    const TILE: usize = 4;
    const SIDE: usize = 1 + has_min(Self::FORMAT) as usize;
    const SUMS: usize = 4;
    const FEW: usize = 2;
    const FEW_SUMS: usize = 4;

    unsafe fn few_sums(s: *const i16, blocks: usize, sums: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe { sums32::sums(Self::FORMAT, s, blocks, sums) }
    }

    unsafe fn few(rows: &[*const u8; 8], ahead: *const u8, tile: &Tile, tokens: usize) {
        // SAFETY: the caller's promise.
        unsafe { Self::FEWS[tokens - 1](rows, ahead, tile) }
    }

    unsafe fn unpack(rows: &[*const u8], blocks: usize, panel: *mut u8, side: *mut u8) {
        let [rows] = halves_of(rows);
        // SAFETY: the caller's promise.
        unsafe { unpack32::unpack::<F, STRIDE>(rows, blocks, panel, side) }
    }

    unsafe fn sums(s: *const i16, blocks: usize, sums: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe { sums32::sums(Self::FORMAT, s, blocks, sums) }
    }

    unsafe fn tile(tile: &Tile, tokens: usize, panels: usize) {
        // SAFETY: the caller's promise.
        unsafe { each_panel(&Self::TILES, tile, tokens, panels) }
    }
}

/// Scales, minimums, corrections and the correction of a format whose bytes are signed ones plus 128: magnitudes need none.
const fn signed(scales: usize, vnni: bool) -> (usize, usize, usize, i16) {
    if vnni { (scales, 0, scales / 2, -128) } else { (scales, 0, 0, 0) }
}

struct Blocks256<const F: usize, const VNNI: bool>;

impl<const F: usize, const VNNI: bool> Blocks256<F, VNNI> {
    const TILES: Tiles = [tile256::<Self, 1>, tile256::<Self, 2>, tile256::<Self, 3>, tile256::<Self, 4>];
    const FEWS: [Few; 2] = [few::of_256::<Self, F, 1>, few::of_256::<Self, F, 2>];
}

impl<const F: usize, const VNNI: bool> tile256::Shape for Blocks256<F, VNNI> {
    // As for blocks of 32, but never across a scale: 63 lets 2 groups fit 16 bits.
    const GROUPS: usize = match Format::ALL[F] {
        _ if VNNI => 64 / <Self as tile256::Shape>::SIDE.scales,
        Format::Q4_K => 8,
        Format::Q6_K => 2,
        Format::IQ4_XS => 1,
        format if grids::group(format) > 0 => 1,
        _ => 4,
    };
    const VNNI: bool = VNNI;
    const PER_32: bool = <Self as tile256::Shape>::SIDE.scales == 8;
    const SIDE: Side = {
        let (scales, mins, corrections, correction) = match Format::ALL[F] {
            Format::Q2_K => (16, 8, 0, 0),
            Format::Q3_K => (16, 0, 8, -4),
            Format::Q6_K => (16, 0, 8, -32),
            Format::IQ4_XS => signed(8, VNNI),
            format if grids::group(format) > 0 => signed(256 / grids::group(format), VNNI),
            _ => (8, 4, 0, 0),
        };
        Side { scales, lane: if VNNI { Lane::Whole } else { Lane::Pair }, mins, corrections, correction }
    };
}

impl<const F: usize, const VNNI: bool> Panels for Blocks256<F, VNNI> {
    const FORMAT: Format = Format::ALL[F];
    const LANES: usize = 8;
    const TILE: usize = 4;
    const SIDE: usize = <Self as tile256::Shape>::SIDE.vectors();
    const SUMS: usize = <Self as tile256::Shape>::SUMS;
    const FEW: usize = 2;
    const FEW_SUMS: usize = <Self as tile256::Shape>::SUMS;

    unsafe fn few_sums(s: *const i16, blocks: usize, sums: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe { tile256::sums::<Self>(s, blocks, sums) }
    }

    unsafe fn few(rows: &[*const u8; 8], ahead: *const u8, tile: &Tile, tokens: usize) {
        // SAFETY: the caller's promise.
        unsafe { Self::FEWS[tokens - 1](rows, ahead, tile) }
    }

    unsafe fn unpack(rows: &[*const u8], blocks: usize, panel: *mut u8, side: *mut u8) {
        let [rows] = halves_of(rows);
        let layout = <Self as tile256::Shape>::SIDE;
        // SAFETY: the caller's promise.
        unsafe { unpack256::unpack::<F, STRIDE>(layout, rows, blocks, panel, side) }
    }

    unsafe fn sums(s: *const i16, blocks: usize, sums: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe { tile256::sums::<Self>(s, blocks, sums) }
    }

    unsafe fn tile(tile: &Tile, tokens: usize, panels: usize) {
        // SAFETY: the caller's promise.
        unsafe { each_panel(&Self::TILES, tile, tokens, panels) }
    }
}
