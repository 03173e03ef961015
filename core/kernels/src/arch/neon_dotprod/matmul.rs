//! The matmul table with `sdot`.

use super::dot::Sdot;
use crate::arch::neon::matmul::{matmul_set, one_token_set};
use crate::arch::neon::tile::ByLane;

one_token_set! { features: "neon,dotprod", dot: Sdot::new() }

matmul_set! {
    features: "neon,dotprod",
    one_token: neon_dotprod,
    layout: ByLane<Sdot> = ByLane(Sdot::new()),
    tiles: [1 => 2, 2 => 4, 3 => 6, _ => 8]
}
