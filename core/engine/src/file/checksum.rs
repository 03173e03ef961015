//! A checksum against accidents: truncation, flipped bits, pages of another file. Not against forgery.

/// Odd, so that multiplying by it loses nothing: the golden ratio's fraction times 2^64.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// Lanes that are computed side by side: one multiplication's latency would limit a single one to 2 GB/s.
const LANES: usize = 4;
const BLOCK: usize = 8 * LANES;

/// Sums bytes, in any number of pieces.
///
/// Every step is a bijection of the sum so far and of the word that is added, so that bytes which differ in one word
/// alone never have the same sum.
#[derive(Clone, Debug)]
pub struct Checksum {
    lanes: [u64; LANES],
    rest: Vec<u8>, // less than a block
    len: u64,
}

impl Default for Checksum {
    fn default() -> Self {
        Self { lanes: [1, 2, 3, 4], rest: Vec::with_capacity(BLOCK), len: 0 }
    }
}

fn add(sum: u64, word: u64) -> u64 {
    (sum ^ word).wrapping_mul(FACTOR).rotate_left(29)
}

impl Checksum {
    /// The sum of `bytes`.
    pub fn of(bytes: &[u8]) -> u64 {
        let mut sum = Self::default();
        sum.update(bytes);
        sum.value()
    }

    /// Adds bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        self.len += bytes.len() as u64;
        if !self.rest.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK - self.rest.len()));
            self.rest.extend_from_slice(now);
            bytes = later;
            if self.rest.len() < BLOCK {
                return;
            }
            let full = std::mem::take(&mut self.rest);
            self.blocks(&full);
        }
        let (blocks, rest) = bytes.split_at(bytes.len() - bytes.len() % BLOCK);
        self.blocks(blocks);
        self.rest.extend_from_slice(rest);
    }

    fn blocks(&mut self, bytes: &[u8]) {
        for block in bytes.as_chunks::<BLOCK>().0 {
            for (lane, word) in self.lanes.iter_mut().zip(block.as_chunks::<8>().0) {
                *lane = add(*lane, u64::from_le_bytes(*word));
            }
        }
    }

    /// The sum of all bytes so far.
    pub fn value(&self) -> u64 {
        let mut sum = self.clone();
        let mut last = std::mem::take(&mut sum.rest);
        last.resize(BLOCK, 0);
        sum.blocks(&last);
        sum.lanes.iter().fold(add(0, sum.len), |all, &lane| add(all, lane))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_and_every_other_length_is_another_sum() {
        let bytes: Vec<u8> = (0..100u8).collect();
        let sum = Checksum::of(&bytes);
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                assert_ne!(Checksum::of(&flipped), sum, "{at} {bit}");
            }
            assert_ne!(Checksum::of(&bytes[..at]), sum, "{at}");
        }
        assert_ne!(Checksum::of(&[bytes.as_slice(), &[0]].concat()), sum, "zeros at the end count");
    }

    #[test]
    fn pieces_make_the_sum_of_the_whole() {
        let bytes: Vec<u8> = (0..200u8).collect();
        for len in 1..70 {
            let mut sum = Checksum::default();
            bytes.chunks(len).for_each(|piece| sum.update(piece));
            assert_eq!(sum.value(), Checksum::of(&bytes), "{len}");
        }
    }
}
