//! The pieces of a vocabulary, their kinds and scores, read in place from the mapped file.

use std::ops::Range;
use std::sync::Arc;

use super::fields::{Fields, Scores};
use super::strings::Strings;
use super::table::{Hash, Table};
use crate::error::TokenizerError;

/// The bytes of a model file, kept alive for as long as a tokenizer reads them.
pub type FileBytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// The longest piece of a token or a merge, in bytes. Real ones have some hundred; looking for the longest at every place of
/// a text takes time by its length.
pub(super) const MAX_PIECE_BYTES: usize = 4096;

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// A piece of text.
    Normal,
    /// Stands for text that the vocabulary cannot express.
    Unknown,
    /// Steers the model (start, end, roles); never comes from text unless the caller allows it.
    Control,
    /// A piece added to the vocabulary, found in the text before anything else.
    UserDefined,
    /// Padding of the vocabulary; has no text.
    Unused,
    /// One byte, such as `<0x0A>`.
    Byte,
}

impl TokenKind {
    /// GGUF's numbering, which is SentencePiece's. 0 (undefined) and numbers to come count as normal.
    fn from_file(number: u32) -> TokenKind {
        match number {
            2 => TokenKind::Unknown,
            3 => TokenKind::Control,
            4 => TokenKind::UserDefined,
            5 => TokenKind::Unused,
            6 => TokenKind::Byte,
            _ => TokenKind::Normal,
        }
    }
}

/// Pieces by id and ids by piece.
pub(super) struct Vocabulary {
    file: FileBytes,
    pieces: Strings,
    ids: Table,
    kinds: Option<Range<usize>>, // i32 each
    scores: Option<Scores>,
    overrides: Vec<(u32, TokenKind)>, // kinds that the file states wrongly, by id
    longest: usize,                   // bytes of the longest piece
    unknown: Option<u32>,
    byte_ids: Box<[u32; 256]>, // ids of `<0x00>` to `<0xFF>`, u32::MAX where missing
}

impl Vocabulary {
    /// Indexes the pieces of the file.
    pub(super) fn read(fields: &Fields, file: FileBytes) -> Result<Vocabulary, TokenizerError> {
        const KEY: &str = "tokenizer.ggml.tokens";
        let bytes = (*file).as_ref();
        let n = fields.tokens.len;
        for range in [&fields.kinds, &fields.scores.as_ref().map(|s| s.range().clone())].into_iter().flatten() {
            if range.end > bytes.len() {
                return Err(TokenizerError::Truncated { key: KEY });
            }
        }
        let mut longest = 0;
        let measure = |piece: &[u8]| longest = longest.max(piece.len());
        let pieces = Strings::read(KEY, bytes, fields.tokens.range.clone(), n, measure)?;
        if longest > MAX_PIECE_BYTES {
            return Err(TokenizerError::TooLong { key: KEY, found: longest, limit: MAX_PIECE_BYTES });
        }
        let mut ids = Table::new(n, n.saturating_sub(1) as u32)?;
        for id in 0..n {
            let piece = pieces.get(bytes, id).unwrap_or_default();
            let same = |other| pieces.get(bytes, other as usize) == Some(piece);
            // Padding comes as thousands of empty pieces: nobody looks for those.
            if !piece.is_empty() && !ids.insert(Hash::EMPTY.then(piece), id as u32, same) {
                return Err(TokenizerError::Colliding { key: KEY });
            }
        }
        let mut vocabulary = Vocabulary {
            pieces,
            ids,
            kinds: fields.kinds.clone(),
            scores: fields.scores.clone(),
            overrides: Vec::new(),
            longest,
            unknown: fields.id("unknown_token_id")?,
            byte_ids: Box::new([u32::MAX; 256]),
            file,
        };
        for byte in 0..=255u8 {
            if let Some(id) = vocabulary.id_of(format!("<0x{byte:02X}>").as_bytes()) {
                vocabulary.byte_ids[usize::from(byte)] = id;
            }
        }
        Ok(vocabulary)
    }

    /// The bytes of the file.
    pub(super) fn file(&self) -> &[u8] {
        (*self.file).as_ref()
    }

    /// How many tokens there are.
    pub(super) fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Bytes of the longest piece.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// The piece of a token as the file has it. Empty for ids outside the vocabulary.
    pub(super) fn piece(&self, id: u32) -> &[u8] {
        self.pieces.get(self.file(), id as usize).unwrap_or_default()
    }

    /// Where the piece of a token lies in the file.
    pub(super) fn piece_range(&self, id: u32) -> Range<usize> {
        self.pieces.range(self.file(), id as usize).unwrap_or_default()
    }

    /// The token with this piece.
    pub(super) fn id_of(&self, piece: &[u8]) -> Option<u32> {
        if piece.len() > self.longest {
            return None;
        }
        self.find(Hash::EMPTY.then(piece), piece)
    }

    /// The token with this piece, whose hash the caller has.
    pub(super) fn find(&self, hash: Hash, piece: &[u8]) -> Option<u32> {
        self.ids.find(hash, |id| self.piece(id) == piece)
    }

    /// The token for text that the vocabulary cannot express.
    pub(super) fn unknown(&self) -> Option<u32> {
        self.unknown
    }

    /// Appends the tokens of the bytes of `text`, or one unknown token for all where the vocabulary has no such tokens.
    pub(super) fn spell_bytes(&self, text: &[u8], out: &mut Vec<u32>) -> Result<(), TokenizerError> {
        let start = out.len();
        for &byte in text {
            match (self.byte_id(byte), self.unknown) {
                (Some(id), _) => out.push(id),
                (None, Some(unknown)) => {
                    out.truncate(start);
                    out.push(unknown);
                    return Ok(());
                }
                (None, None) => return Err(TokenizerError::MissingByte { byte }),
            }
        }
        Ok(())
    }

    /// The token of one byte, `<0x0A>` and so on.
    pub(super) fn byte_id(&self, byte: u8) -> Option<u32> {
        Some(self.byte_ids[usize::from(byte)]).filter(|&id| id != u32::MAX)
    }

    /// The byte that a token of kind `Byte` stands for.
    pub(super) fn byte_of(&self, id: u32) -> Option<u8> {
        let hex = self.piece(id).strip_prefix(b"<0x")?.strip_suffix(b">")?;
        if hex.len() != 2 {
            return None;
        }
        u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()
    }

    /// What a token is for.
    pub(super) fn kind(&self, id: u32) -> TokenKind {
        if let Ok(i) = self.overrides.binary_search_by_key(&id, |o| o.0) {
            return self.overrides[i].1;
        }
        self.number(&self.kinds, id).map_or(TokenKind::Normal, |b| TokenKind::from_file(u32::from_le_bytes(b)))
    }

    /// States the kind of a token against the file.
    pub(super) fn set_kind(&mut self, id: u32, kind: TokenKind) {
        match self.overrides.binary_search_by_key(&id, |o| o.0) {
            Ok(i) => self.overrides[i].1 = kind,
            Err(i) => self.overrides.insert(i, (id, kind)),
        }
    }

    /// The score of a token, 0 where the file has none.
    pub(super) fn score(&self, id: u32) -> f32 {
        let score = match &self.scores {
            None => None,
            Some(Scores::F32(range)) => self.number_in(range, id).map(f32::from_le_bytes),
            Some(Scores::I32(range)) => self.number_in(range, id).map(|b| i32::from_le_bytes(b) as f32),
        };
        score.unwrap_or(0.0)
    }

    fn number(&self, range: &Option<Range<usize>>, id: u32) -> Option<[u8; 4]> {
        range.as_ref().and_then(|range| self.number_in(range, id))
    }

    /// The four bytes of element `id`.
    fn number_in(&self, range: &Range<usize>, id: u32) -> Option<[u8; 4]> {
        self.file().get(range.clone())?.as_chunks().0.get(id as usize).copied()
    }
}
