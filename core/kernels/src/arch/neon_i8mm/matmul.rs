//! The matmul table with `smmla`.

use super::dot::Pairs;
use crate::arch::neon::matmul::matmul_set;
use crate::arch::neon_dotprod::dot::Sdot;

matmul_set! {
    features: "neon,dotprod,i8mm",
    dot: Sdot::new(),
    layout: Pairs = Pairs::new(),
    tiles: [1 | 2 => 4, _ => 8]
}
