//! The formats of blocks of 256 whose weights are points of a grid.

use super::intrinsics::*;

use super::blocks256::{Block256, Header, steps8, steps16};
use super::load::{halves, ints16, words2};
use crate::format::Format;
use crate::grids;

/// The format `Format::ALL[F]`.
pub(crate) struct OnGrid<const F: usize>;

impl<const F: usize, const N: usize> Block256<N> for OnGrid<F> {
    const GROUP: usize = grids::group(Format::ALL[F]);

    #[inline(always)]
    fn weights<const HALF: usize>(b: &[u8; N]) -> [int8x16_t; 8] {
        let words = grids::half::<F, HALF>(b);
        [0, 2, 4, 6, 8, 10, 12, 14].map(|at| words2(&words, at))
    }

    #[inline(always)]
    fn header(b: &[u8; N]) -> Header {
        let scales = ints16(&grids::scales(const { Format::ALL[F] }, b), 0);
        let none = vdupq_n_s8(0);
        let eight = <Self as Block256<N>>::GROUP == 32;
        // Eight scales belong into the upper half.
        let steps = if eight { steps8(vextq_s8::<8>(none, scales)) } else { steps16(scales) };
        Header { steps, mins: none }
    }

    #[inline(always)]
    fn scales(b: [&[u8; N]; 4]) -> [float32x4_t; 2] {
        let format = const { Format::ALL[F] };
        let d = halves(b.map(|b| grids::d_bits(format, b)));
        [vmulq_n_f32(d, grids::factor(format)), vdupq_n_f32(0.0)]
    }
}
