//! The matmul table with `smmla`.

use super::dot::Pairs;
use crate::arch::neon::matmul::matmul_set;

matmul_set! {
    features: "neon,dotprod,i8mm",
    one_token: neon_dotprod,
    layout: Pairs = Pairs::new(),
    tiles: [1 | 2 => 4, _ => 8]
}
