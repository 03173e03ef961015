//! What the tiles of 32-value formats need of a token besides its integers and scales.

use super::unpack32::{bias, has_min};
use crate::format::Format;

/// Writes one 4-byte value per block: the sum as a float for formats with a minimum, `-bias * sum` as i32 for others.
///
/// # Safety
/// `s` has `blocks` entries, `sums` room for `4 * blocks` bytes.
pub(crate) unsafe fn sums(format: Format, s: *const i16, blocks: usize, sums: *mut u8) {
    for b in 0..blocks {
        // SAFETY: the caller's promise.
        unsafe {
            let sum = *s.add(b);
            let value =
                if has_min(format) { f32::from(sum).to_bits() } else { (-bias(format) * i32::from(sum)) as u32 };
            sums.add(4 * b).cast::<u32>().write_unaligned(value);
        }
    }
}
