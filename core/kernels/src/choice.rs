//! Which of two sets with the same bits is faster on this CPU: a millisecond of timing, because a feature bit does not say.
//!
//! `smmla` does twice the work of `sdot` on Arm's own cores and less than one `sdot` on Apple's M2 and Qualcomm's Oryon
//! (measured peaks: 332 to 166, 361 to 426, 4290 to 5150 billion operations a second; pigirons/cpufp).

use std::time::{Duration, Instant};

use crate::activations::{ActivationKind, Activations};
use crate::format::Format;
use crate::isa::Isa;
use crate::scratch::Scratch;

/// Rows, columns and tokens of the timed batch: one panel, in the nearest caches.
const SHAPE: (usize, usize, usize) = (64, 512, 32);

/// Turns of each set. The least time counts, so a disturbed turn does no harm.
const TURNS: usize = 8;

/// Of a set and the one that would be used unless it is slower, the faster for batches.
pub(crate) fn faster(rival: &'static Isa, usual: &'static Isa) -> &'static Isa {
    let (rows, k, t) = SHAPE;
    let format = Format::Q4_K;
    let w = vec![0; rows * format.row_bytes(k)];
    let (q, d, s, m) = (vec![1; t * k], vec![1.0; t * k / 256], vec![16; t * k / 16], vec![16; t * k / 256]);
    let x = Activations::quantized(ActivationKind::Q8_256, t, k, &q, &d, &s, &m);
    let (mut out, mut scratch) = (vec![0.0; t * rows], Scratch::new());
    let least = times(|turn| {
        let isa = if turn % 2 == 0 { rival } else { usual };
        let start = Instant::now();
        isa.matmul(format, &w, &x, &mut out, &mut scratch);
        start.elapsed()
    });
    if prefers_rival(least) { rival } else { usual }
}

/// The least times of even and odd turns, after one of each that only warms up.
fn times(mut turn: impl FnMut(usize) -> Duration) -> [Duration; 2] {
    let mut least = [Duration::MAX; 2];
    for i in 0..2 * (TURNS + 1) {
        let time = turn(i);
        if i >= 2 {
            least[i % 2] = least[i % 2].min(time);
        }
    }
    least
}

/// Whether the rival wins by more than the clock's noise.
fn prefers_rival([rival, usual]: [Duration; 2]) -> bool {
    rival * 33 < usual * 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_time_of_each_counts_and_warming_up_does_not() {
        let mut called = 0;
        let micros = |turn: usize| match turn {
            0 | 1 => 1,
            6 => 40,
            9 => 50,
            _ => 90,
        };
        let least = times(|turn| {
            called += 1;
            Duration::from_micros(micros(turn))
        });
        assert_eq!(called, 2 * (TURNS + 1));
        assert_eq!(least, [40, 50].map(Duration::from_micros));
    }

    #[test]
    fn a_rival_must_be_clearly_faster() {
        let of = |rival, usual| prefers_rival([rival, usual].map(Duration::from_nanos));
        assert!(of(90_000, 100_000) && !of(99_000, 100_000) && !of(100_000, 100_000) && !of(200_000, 100_000));
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no clock to choose by and one set")]
    fn either_of_two_sets_comes_out() {
        let sets = Isa::available();
        let (first, last) = (sets[0], sets[sets.len() - 1]);
        // The scalar set is never the faster one by far.
        assert_eq!(faster(first, last).name(), last.name());
    }
}
