//! How fast this machine reads its memory: what generation is limited by.

use std::hint::black_box;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;

use super::cores::default_workers;
use super::pool::{Halt, Pool, Work};
use super::shared::Shared;
use crate::error::Error;

/// What is read: more than the caches of phones hold (24 MB at most), so that it comes from memory.
const WORDS: usize = 16 << 20;

/// Words of a piece that a worker takes, 64 KB.
const PIECE: usize = 16 << 10;

/// Readings; the fastest counts, since a neighbour only slows them.
const READINGS: usize = 4;

/// Bytes per second that the default number of workers reads from memory together; measured once per process.
///
/// # Errors
/// There is no memory for it.
pub fn memory_bytes_per_s() -> Result<f64, Error> {
    static MEASURED: OnceLock<f64> = OnceLock::new();
    if let Some(&measured) = MEASURED.get() {
        return Ok(measured);
    }
    let mut words = Shared::<f32>::new(WORDS)?;
    // Pages that were never written are all the same one.
    words.as_mut_slice().fill(1.0);
    let never = AtomicBool::new(false);
    let mut fastest = f64::INFINITY;
    for _ in 0..READINGS {
        let ran = Pool::global().run(Work::Batch, default_workers(), Halt { stop: &never, lost: &never }, &|team| {
            while let Some(pieces) = team.chunk(WORDS / PIECE, 1) {
                // SAFETY: nobody writes.
                let words = unsafe { words.get(pieces.start * PIECE..pieces.end * PIECE) };
                black_box(words.iter().fold(0u32, |sum, word| sum ^ word.to_bits()));
            }
        })?;
        fastest = fastest.min(ran.time.as_secs_f64());
    }
    Ok(*MEASURED.get_or_init(|| (WORDS * size_of::<f32>()) as f64 / fastest.max(1e-9)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_measured_once_and_has_a_plausible_speed() {
        let measured = memory_bytes_per_s().expect("64 MB");
        // From an emulator to the fastest memory there is.
        assert!((1e7..1e13).contains(&measured), "{measured}");
        assert_eq!(memory_bytes_per_s().expect("known"), measured);
    }
}
