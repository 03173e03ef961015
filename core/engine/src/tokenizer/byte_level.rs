//! GPT-2's alphabet: every byte as one printable character, so that a vocabulary of text can hold any bytes.
//!
//! Printable Latin-1 characters stand for themselves, the other 68 bytes for U+0100 onwards in order.
//! Source: `bytes_to_unicode` of GPT-2's encoder.py.

/// The characters run from U+0021 to U+0143.
const END: usize = 0x144;

const fn stands_for_itself(byte: usize) -> bool {
    matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff)
}

/// The character of each byte.
const CHARS: [u16; 256] = {
    let mut chars = [0; 256];
    let (mut byte, mut next) = (0, 0x100);
    while byte < 256 {
        if stands_for_itself(byte) {
            chars[byte] = byte as u16;
        } else {
            chars[byte] = next;
            next += 1;
        }
        byte += 1;
    }
    chars
};

/// The byte of each character below `END`, 256 for those outside the alphabet.
const BYTES: [u16; END] = {
    let mut bytes = [256; END];
    let mut byte = 0;
    while byte < 256 {
        bytes[CHARS[byte] as usize] = byte as u16;
        byte += 1;
    }
    bytes
};

/// The character that stands for `byte`.
pub(super) fn char_of(byte: u8) -> char {
    char::from_u32(u32::from(CHARS[usize::from(byte)])).expect("the alphabet lies below the surrogates")
}

/// The byte that `c` stands for.
pub(super) fn byte_of(c: char) -> Option<u8> {
    BYTES.get(c as usize).and_then(|&b| u8::try_from(b).ok())
}

/// Appends `text` in the alphabet to `out`.
pub(super) fn encode(text: &str, out: &mut String) {
    out.extend(text.bytes().map(char_of));
}

/// Appends the bytes that `piece` stands for to `out`; a piece with a character outside the alphabet is taken as
/// plain text, as the `tokenizers` crate's decoder does.
pub(super) fn decode(piece: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    if let Ok(text) = std::str::from_utf8(piece)
        && text.chars().all(|c| byte_of(c).map(|b| out.push(b)).is_some())
    {
        return;
    }
    out.truncate(start);
    out.extend_from_slice(piece);
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokenizers::pre_tokenizers::byte_level::ByteLevel;

    #[test]
    fn the_alphabet_is_the_crates_and_goes_both_ways() {
        let theirs = ByteLevel::alphabet();
        for byte in 0..=255 {
            assert!(theirs.contains(&char_of(byte)), "byte {byte:#x}");
            assert_eq!(byte_of(char_of(byte)), Some(byte));
        }
        // The two that everyone knows from vocabulary listings.
        assert_eq!((char_of(b' '), char_of(b'\n')), ('Ġ', 'Ċ'));
    }

    #[test]
    fn a_piece_outside_the_alphabet_is_plain_text() {
        let mut out = Vec::new();
        decode("Ġa".as_bytes(), &mut out);
        decode("<｜end｜>".as_bytes(), &mut out);
        assert_eq!(out, " a<｜end｜>".as_bytes());
    }
}
