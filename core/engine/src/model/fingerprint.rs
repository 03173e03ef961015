//! Which file a saved session belongs to.

use sprat_gguf::Contents;

use crate::file::{Checksum, MappedFile};

/// Pieces of each part's weights that are looked at, and bytes of each: files with the same header differ in their weights.
const PIECES: usize = 64;
const PIECE_BYTES: usize = 1024;

/// Of each part the whole header, the length, and pieces of the weights spread over it.
pub fn of(parts: &[Contents], file: &MappedFile) -> u64 {
    let mut sum = Checksum::default();
    for (contents, bytes) in parts.iter().zip(file.parts()) {
        sum.update(&(bytes.len() as u64).to_le_bytes());
        let (header, weights) = bytes.split_at((contents.data_offset as usize).min(bytes.len()));
        sum.update(header);
        let step = (weights.len() / PIECES).max(1);
        for piece in weights.chunks(step) {
            sum.update(&piece[..piece.len().min(PIECE_BYTES)]);
        }
    }
    sum.value()
}
