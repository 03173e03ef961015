//! The matmul table of a set: the loops of this folder compiled for the set's instructions, for every format.

use super::dot::Smull;
use super::tile::ByLane;

/// Defines the functions of a set for one token, with the dot product `dot`, which needs `features`.
macro_rules! one_token_set {
    (features: $features:literal, dot: $dot:expr) => {
        /// Formats with blocks of 32, token by token. One copy for all sets that have no other.
        #[target_feature(enable = $features)]
        #[inline(never)]
        pub(crate) fn one_by_one32<const N: usize, B: Block32<N>>(w: &[u8], x: &Activations<'_>, out: &mut [f32]) {
            $crate::arch::neon::one_token::rows32::<N, B, _>($dot, w, x, out);
        }

        /// Formats with blocks of 256, one token.
        #[target_feature(enable = $features)]
        pub(crate) fn one256<const N: usize, B: Block256<N>>(w: &[u8], x: &Activations<'_>, out: &mut [f32]) {
            $crate::arch::neon::one_token::rows256::<N, B, _>($dot, w, x, out);
        }
    };
}
pub(crate) use one_token_set;

/// Defines `MATMUL` of a set. `features` are what its instructions need, `one_token` the set that serves one token,
/// `layout` its tile for more, and `tiles` the accumulators of that tile for each number of tokens.
macro_rules! matmul_set {
    (features: $features:literal, one_token: $set:ident, layout: $layout:ty = $new:expr,
        tiles: [$($tokens:pat => $a:literal),*]) => {
        use $crate::activations::Activations;
        use $crate::arch::neon::{blocks32::{self, Block32}, blocks256::{self, Block256}, dense};
        use $crate::arch::neon::{grids256::OnGrid, one_token::ROWS, panel::{self, Tiles}, quantize};
        use $crate::arch::neon::tile::{self, Sums, Tile32, Tile256};
        use $crate::format::Format;
        use $crate::matmul::{MatmulFn, MatmulOps};
        use $crate::scratch::Scratch;

        /// Quantizing and weight rows times activations.
        pub(crate) const MATMUL: MatmulOps = MatmulOps {
            quantize_q8_32: quantize::q8_32,
            quantize_q8_256: quantize::q8_256,
            matmul: BY_FORMAT,
        };

        /// Indexed by `Format as usize`.
        const BY_FORMAT: [MatmulFn; Format::COUNT] = {
            let mut table: [MatmulFn; Format::COUNT] = [floats::<64, dense::F32>; Format::COUNT];
            table[Format::F16 as usize] = floats::<32, dense::F16>;
            table[Format::BF16 as usize] = floats::<32, dense::Bf16>;
            table[Format::Q4_0 as usize] = rows32::<18, blocks32::Q4_0>;
            table[Format::Q4_1 as usize] = rows32::<20, blocks32::Q4_1>;
            table[Format::Q5_0 as usize] = rows32::<22, blocks32::Q5_0>;
            table[Format::Q5_1 as usize] = rows32::<24, blocks32::Q5_1>;
            table[Format::Q8_0 as usize] = rows32::<34, blocks32::Q8_0>;
            table[Format::Q2_K as usize] = rows256::<84, blocks256::Q2K>;
            table[Format::Q3_K as usize] = rows256::<110, blocks256::Q3K>;
            table[Format::Q4_K as usize] = rows256::<144, blocks256::Q4K>;
            table[Format::Q5_K as usize] = rows256::<176, blocks256::Q5K>;
            table[Format::Q6_K as usize] = rows256::<210, blocks256::Q6K>;
            table[Format::IQ4_NL as usize] = rows32::<18, blocks32::Iq4Nl>;
            table[Format::IQ4_XS as usize] = rows256::<136, blocks256::Iq4Xs>;
            table[Format::MXFP4 as usize] = rows32::<17, blocks32::Mxfp4>;
            table[Format::IQ1_S as usize] = rows256::<50, OnGrid<{ Format::IQ1_S as usize }>>;
            table[Format::IQ1_M as usize] = rows256::<56, OnGrid<{ Format::IQ1_M as usize }>>;
            table[Format::IQ2_XXS as usize] = rows256::<66, OnGrid<{ Format::IQ2_XXS as usize }>>;
            table[Format::IQ2_XS as usize] = rows256::<74, OnGrid<{ Format::IQ2_XS as usize }>>;
            table[Format::IQ2_S as usize] = rows256::<82, OnGrid<{ Format::IQ2_S as usize }>>;
            table[Format::IQ3_XXS as usize] = rows256::<98, OnGrid<{ Format::IQ3_XXS as usize }>>;
            table[Format::IQ3_S as usize] = rows256::<110, OnGrid<{ Format::IQ3_S as usize }>>;
            table
        };

        /// Float formats: no integer dot product in them.
        fn floats<const N: usize, W: dense::Dense<N>>(w: &[u8], x: &Activations<'_>, out: &mut [f32], _: &mut Scratch) {
            dense::rows::<N, W>(w, x, out);
        }

        /// Formats with blocks of 32. Fewer rows than `ROWS` are no hot path.
        #[target_feature(enable = $features)]
        fn rows32<const N: usize, B: Block32<N>>(w: &[u8], x: &Activations<'_>, out: &mut [f32], scratch: &mut Scratch) {
            if x.t() <= B::ONE_BY_ONE && out.len() >= ROWS * x.t() {
                $crate::arch::$set::matmul::one_by_one32::<N, B>(w, x, out);
            } else {
                panel::rows32::<N, B, _>($new, w, x, out, scratch);
            }
        }

        /// Formats with blocks of 256.
        #[target_feature(enable = $features)]
        fn rows256<const N: usize, B: Block256<N>>(w: &[u8], x: &Activations<'_>, out: &mut [f32], scratch: &mut Scratch) {
            if x.t() == 1 {
                $crate::arch::$set::matmul::one256::<N, B>(w, x, out);
            } else {
                panel::rows256::<N, B, _>($new, w, x, out, scratch);
            }
        }

        impl Tiles for $layout {
            fn sweep32(self, min: bool, tokens: usize, tile: &Tile32<'_>, sums: &mut Sums) {
                // SAFETY: `self` proves that the CPU has the features.
                unsafe {
                    match (tokens, min) {
                        $(($tokens, false) => sweep32::<$a, false>(tile, sums),
                        ($tokens, true) => sweep32::<$a, true>(tile, sums),)*
                    }
                }
            }

            fn sweep256(self, group: usize, min: bool, tokens: usize, tile: &Tile256<'_>, sums: &mut Sums) {
                // SAFETY: `self` proves that the CPU has the features.
                unsafe {
                    match (tokens, group, min) {
                        $(($tokens, 16, false) => sweep256::<$a, 16, false>(tile, sums),
                        ($tokens, 16, true) => sweep256::<$a, 16, true>(tile, sums),
                        ($tokens, _, false) => sweep256::<$a, 32, false>(tile, sums),
                        ($tokens, _, true) => sweep256::<$a, 32, true>(tile, sums),)*
                    }
                }
            }
        }

        #[target_feature(enable = $features)]
        #[inline(never)]
        fn sweep32<const A: usize, const MIN: bool>(tile: &Tile32<'_>, sums: &mut Sums) {
            tile::sweep32::<A, MIN, _>($new, tile, sums);
        }

        #[target_feature(enable = $features)]
        #[inline(never)]
        fn sweep256<const A: usize, const GROUP: usize, const MIN: bool>(tile: &Tile256<'_>, sums: &mut Sums) {
            tile::sweep256::<A, GROUP, MIN, _>($new, tile, sums);
        }
    };
}
pub(crate) use matmul_set;

one_token_set! { features: "neon", dot: Smull }

matmul_set! {
    features: "neon",
    one_token: neon,
    layout: ByLane<Smull> = ByLane(Smull),
    tiles: [1 => 2, 2 => 4, 3 => 6, _ => 8]
}
