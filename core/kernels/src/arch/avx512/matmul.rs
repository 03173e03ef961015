//! Which tile, panel and scales each quantized format takes.

use super::few;
use super::one_token;
use super::tile32::tile as tile32;
use super::tile256::{self, Shape, tile as tile256};
use crate::activations::Activations;
use crate::arch::avx2::sums32;
use crate::arch::avx2::tile256 as narrow;
use crate::arch::avx2::unpack::halves_of;
use crate::arch::avx2::unpack32::{self, has_min};
use crate::arch::avx2::unpack256::{self, Lane, Side};
use crate::arch::panel::{self, Panels, Tile};
use crate::format::Format;
use crate::grids;
use crate::scratch::Scratch;

/// Bytes of a group of 4 k: 16 rows.
const STRIDE: usize = 64;

/// Tiles of 1, 2, 3, 4 and 6 tokens by 1 and 2 panels.
type Tiles = [[unsafe fn(&Tile); 2]; 5];

/// Bytes are signed ones plus 128, whose totals exceed 16 bits; the scales are per 32 values.
const fn wide_per_32(format: Format) -> bool {
    matches!(format, Format::IQ4_XS) || grids::group(format) == 32
}

/// The same with scales per 16 values.
const fn wide_per_16(format: Format) -> bool {
    grids::group(format) == 16
}

/// Eight rows without a panel, for 1 to 4 tokens.
type Fews = [unsafe fn(&[*const u8; 8], *const u8, &Tile); 4];

/// A format with blocks of 32.
///
/// # Safety
/// As `MatmulFn`.
pub(crate) unsafe fn blocks_of_32<const F: usize>(
    w: &[u8],
    x: &Activations<'_>,
    out: &mut [f32],
    scratch: &mut Scratch,
) {
    // SAFETY: the caller's promise.
    unsafe { panel::matmul::<Blocks32<F>>(w, x, out, scratch) }
}

/// A format with blocks of 256.
///
/// # Safety
/// As `MatmulFn`.
pub(crate) unsafe fn blocks_of_256<const F: usize>(
    w: &[u8],
    x: &Activations<'_>,
    out: &mut [f32],
    scratch: &mut Scratch,
) {
    // SAFETY: the caller's promise.
    unsafe { panel::matmul::<Blocks256<F>>(w, x, out, scratch) }
}

struct Blocks32<const F: usize>;

impl<const F: usize> Blocks32<F> {
    const FEWS: Fews = [few::of_32::<F, 1>, few::of_32::<F, 2>, few::of_32::<F, 3>, few::of_32::<F, 4>];
}

const PLAIN: Tiles = [
    [tile32::<false, 1, 1>, tile32::<false, 1, 2>],
    [tile32::<false, 2, 1>, tile32::<false, 2, 2>],
    [tile32::<false, 3, 1>, tile32::<false, 3, 2>],
    [tile32::<false, 4, 1>, tile32::<false, 4, 2>],
    [tile32::<false, 6, 1>, tile32::<false, 6, 2>],
];

const WITH_MIN: Tiles = [
    [tile32::<true, 1, 1>, tile32::<true, 1, 2>],
    [tile32::<true, 2, 1>, tile32::<true, 2, 2>],
    [tile32::<true, 3, 1>, tile32::<true, 3, 2>],
    [tile32::<true, 4, 1>, tile32::<true, 4, 2>],
    [tile32::<true, 6, 1>, tile32::<true, 6, 2>],
];

impl<const F: usize> Panels for Blocks32<F> {
    const FORMAT: Format = Format::ALL[F];
    const LANES: usize = 16;
    const TILE: usize = 6;
    const SIDE: usize = 1 + has_min(Self::FORMAT) as usize;
    const SUMS: usize = 4;
    const FEW: usize = 4;
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
        let [low, high] = halves_of(rows);
        // SAFETY: the caller's promise; the upper 8 rows follow the lower 8 in every vector.
        unsafe {
            unpack32::unpack::<F, STRIDE>(low, blocks, panel, side);
            unpack32::unpack::<F, STRIDE>(high, blocks, panel.add(32), side.add(32));
        }
    }

    unsafe fn sums(s: *const i16, blocks: usize, sums: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe { sums32::sums(Self::FORMAT, s, blocks, sums) }
    }

    unsafe fn tile(tile: &Tile, tokens: usize, panels: usize) {
        let tiles = if has_min(Self::FORMAT) { &WITH_MIN } else { &PLAIN };
        // SAFETY: the caller's promise.
        unsafe { tiles[tokens.min(5) - 1][panels - 1](tile) }
    }
}

struct Blocks256<const F: usize>;

impl<const F: usize> Blocks256<F> {
    const TILES: Tiles = [
        [tile256::<Self, 1, 1>, tile256::<Self, 1, 2>],
        [tile256::<Self, 2, 1>, tile256::<Self, 2, 2>],
        [tile256::<Self, 3, 1>, tile256::<Self, 3, 2>],
        [tile256::<Self, 4, 1>, tile256::<Self, 4, 2>],
        if <Self as Shape>::MOST.is_none() {
            [tile256::<Self, 6, 1>, tile256::<Self, 6, 2>]
        } else {
            [tile256::<Self, 4, 1>, tile256::<Self, 4, 2>] // `TILE` is less: never asked for
        },
    ];
    const FEWS: Fews = [
        match Format::ALL[F] {
            Format::Q4_K | Format::Q5_K => one_token::with_min::<F>,
            Format::Q6_K => one_token::q6_k,
            _ => few::of_256::<Self, F, 1>,
        },
        few::of_256::<Self, F, 2>,
        few::of_256::<Self, F, 3>,
        few::of_256::<Self, F, 4>,
    ];
}

impl<const F: usize> narrow::Shape for Blocks256<F> {
    // Without a panel a unit is 16 values, whose total fits 16 bits unless bytes exceed 15.
    const GROUPS: usize = 4;
    const VNNI: bool = true;
    const PER_32: bool = matches!(Format::ALL[F], Format::Q4_K | Format::Q5_K) || wide_per_32(Format::ALL[F]);
    const SIDE: Side = {
        let (scales, lane, mins, corrections, correction) = match Format::ALL[F] {
            Format::Q2_K => (16, Lane::Low, 8, 0, 0),
            Format::Q3_K => (16, Lane::Low, 0, 8, -4),
            Format::Q4_K => (8, Lane::Low, 4, 0, 0),
            Format::Q5_K => (8, Lane::Whole, 4, 0, 0),
            Format::Q6_K => (16, Lane::Whole, 0, 8, -32),
            format if wide_per_16(format) => (16, Lane::Whole, 0, 8, -128),
            _ => (8, Lane::Whole, 0, 4, -128),
        };
        Side { scales, lane, mins, corrections, correction }
    };
}

impl<const F: usize> Shape for Blocks256<F> {
    const STEP: usize = match Format::ALL[F] {
        Format::Q4_K | Format::Q5_K => 32,
        format if wide_per_32(format) => 32,
        _ => 16,
    };
    const BIAS: i32 = match Format::ALL[F] {
        Format::Q3_K => 4,
        Format::Q5_K => 16,
        Format::Q6_K => 32,
        _ => 0,
    };
    const MOST: Option<i32> = match Format::ALL[F] {
        Format::Q2_K => Some(3),
        Format::Q3_K => Some(4),
        Format::Q4_K => Some(15),
        Format::Q5_K => Some(16),
        Format::Q6_K => Some(32),
        _ => None,
    };
    const PER_32: bool = !matches!(Format::ALL[F], Format::Q2_K) && !wide_per_16(Format::ALL[F]);
    const SIDE: Side = {
        let (scales, mins, corrections, correction) = match Format::ALL[F] {
            Format::Q2_K => (8, 8, 0, 0),
            Format::Q4_K => (4, 4, 0, 0),
            Format::Q5_K => (4, 4, 4, 16),
            Format::Q3_K | Format::Q6_K => (8, 0, 0, 0),
            format if wide_per_16(format) => (16, 0, 8, -128),
            _ => (8, 0, 4, -128),
        };
        let lane = if Self::MOST.is_none() { Lane::Whole } else { Lane::Two };
        Side { scales, lane, mins, corrections, correction }
    };
}

impl<const F: usize> Panels for Blocks256<F> {
    const FORMAT: Format = Format::ALL[F];
    const LANES: usize = 16;
    // Two totals at a time leave room for fewer tokens.
    const TILE: usize = if <Self as Shape>::MOST.is_none() { 6 } else { 4 };
    const SIDE: usize = <Self as Shape>::SIDE.vectors();
    const SUMS: usize = <Self as Shape>::SUMS;
    const FEW: usize = 4;
    const FEW_SUMS: usize = <Self as narrow::Shape>::SUMS;

    unsafe fn few_sums(s: *const i16, blocks: usize, sums: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe { narrow::sums::<Self>(s, blocks, sums) }
    }

    unsafe fn few(rows: &[*const u8; 8], ahead: *const u8, tile: &Tile, tokens: usize) {
        // SAFETY: the caller's promise.
        unsafe { Self::FEWS[tokens - 1](rows, ahead, tile) }
    }

    unsafe fn unpack(rows: &[*const u8], blocks: usize, panel: *mut u8, side: *mut u8) {
        let [low, high] = halves_of(rows);
        let layout = <Self as Shape>::SIDE;
        // SAFETY: the caller's promise; the upper 8 rows follow the lower 8 in every vector.
        unsafe {
            unpack256::unpack::<F, STRIDE>(layout, low, blocks, panel, side);
            unpack256::unpack::<F, STRIDE>(layout, high, blocks, panel.add(32), side.add(32));
        }
    }

    unsafe fn sums(s: *const i16, blocks: usize, sums: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe { tile256::sums::<Self>(s, blocks, sums) }
    }

    unsafe fn tile(tile: &Tile, tokens: usize, panels: usize) {
        // SAFETY: the caller's promise.
        unsafe { Self::TILES[tokens.min(5) - 1][panels - 1](tile) }
    }
}
