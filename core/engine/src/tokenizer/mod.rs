//! Text to token ids and back, from the vocabulary in a GGUF file.
//!
//! The file's arrays are read in place; what is built beside them is an index of a few bytes a token (a hash table
//! of ids, one of merges). Regular expressions are searched through the `tokenizers` crate's `Pattern`. The rest of
//! that crate's pipeline would copy the vocabulary (42 MB for Llama 3), decides about special tokens once for all
//! calls, and finds added tokens by other rules than GGUF's; in the tests it is the oracle.

mod added;
mod bpe;
mod byte_level;
mod charsmap;
mod fields;
mod merge;
mod pre;
mod sentence_piece;
mod special;
mod strings;
mod table;
mod unigram;
mod vocabulary;
mod words;

#[cfg(test)]
mod tests;

use sprat_gguf::Contents;

pub use self::vocabulary::{FileBytes, TokenKind};

use self::added::{Added, Fragment};
use self::bpe::Bpe;
use self::fields::Fields;
use self::pre::PreTokenizer;
use self::sentence_piece::SentencePiece;
use self::special::Special;
use self::unigram::Unigram;
use self::vocabulary::Vocabulary;
use crate::error::TokenizerError;

/// The longest text that is tokenized at once, in bytes: far beyond any context, and what a phone's memory bears
/// (merging takes some 40 bytes for each byte of one word, and SentencePiece knows no words).
pub const MAX_TEXT_BYTES: usize = 4 << 20;

/// Two lists of the beginnings and ends of words, which have a byte at least.
const WORDS_BYTES_PER_BYTE: usize = 32;

/// What becomes of control tokens (`<|im_start|>` and the like) spelled out in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpecialTokens {
    /// They become the tokens: for text written by a chat template.
    Parse,
    /// They are text like any other: for what users type.
    AsText,
}

/// How text becomes tokens.
enum Model {
    Bpe(Bpe),
    SentencePiece(SentencePiece),
    Unigram(Unigram),
}

/// The tokenizer of a model.
pub struct Tokenizer {
    vocabulary: Vocabulary,
    added: Added,
    special: Special,
    model: Model,
    adds_bos: bool,
    adds_eos: bool,
}

impl Tokenizer {
    /// Reads the tokenizer of a file. `bytes` is the whole file and must not change while the tokenizer lives; if it
    /// does, tokens come out wrong but nothing else happens.
    ///
    /// Errors: a key that is missing, of the wrong type or length; a model or pre-tokenizer that is not known.
    pub fn from_gguf(contents: &Contents, bytes: FileBytes) -> Result<Tokenizer, TokenizerError> {
        let fields = Fields::read(contents)?;
        let mut vocabulary = Vocabulary::read(&fields, bytes)?;
        let (model, bos, eos) = match fields.model {
            "gpt2" | "gemma4" => {
                let name = if fields.model == "gemma4" { Some("gemma4") } else { fields.pre };
                let pre = PreTokenizer::named(name)?;
                let bos = pre.rules.add_bos;
                (Model::Bpe(Bpe::read(&fields, vocabulary.file(), pre)?), bos, false)
            }
            "llama" => (Model::SentencePiece(SentencePiece::read(&fields, &vocabulary)?), true, false),
            "t5" => (Model::Unigram(Unigram::read(&fields, &vocabulary)?), false, true),
            other => return Err(TokenizerError::UnknownModel { model: other.to_string() }),
        };
        let special = Special::read(&fields, &mut vocabulary)?;
        // Gemma 4's files say no and mean yes (llama.cpp, pull request 21500).
        let always_bos = matches!(&model, Model::Bpe(bpe) if bpe.plain_text());
        let adds_bos = always_bos || fields.flag("add_bos_token")?.unwrap_or(bos);
        let adds_eos = fields.flag("add_eos_token")?.unwrap_or(eos);
        // Phi-3 was trained with the line end behind `<|end|>` and its like taken away, which no key says.
        let name = fields.model_name()?;
        let phi3 = name.contains("phi-3") || name.contains("phi3");
        let added =
            Added::collect(&vocabulary, |piece| phi3 && !matches!(piece, b"<unk>" | b"<s>" | b"<|endoftext|>"))?;
        Ok(Tokenizer { vocabulary, added, special, model, adds_bos, adds_eos })
    }

    /// The tokens of `text`. With `add_bos` the BOS token comes first, if the file asks for it
    /// ([`adds_bos`](Self::adds_bos)).
    ///
    /// Errors: a text above [`MAX_TEXT_BYTES`]; one with a byte the vocabulary cannot express; a pre-tokenizer that
    /// gives up.
    pub fn encode(&self, text: &str, special: SpecialTokens, add_bos: bool) -> Result<Vec<u32>, TokenizerError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(TokenizerError::TextTooLong { found: text.len(), limit: MAX_TEXT_BYTES });
        }
        // Asked for at once and given back: the lists of words grow bit by bit, and cannot be refused one by one.
        table::room::<u8>(text.len() * WORDS_BYTES_PER_BYTE)?;
        let mut ids = table::room(text.len() / 4 + 2)?;
        if add_bos && self.adds_bos {
            ids.extend(self.special.bos);
        }
        for fragment in self.added.split(self.vocabulary.file(), text, special == SpecialTokens::Parse)? {
            match fragment {
                Fragment::Token(id) => ids.push(id),
                Fragment::Text(range) => match &self.model {
                    Model::Bpe(bpe) => bpe.encode(&self.vocabulary, &text[range], &mut ids)?,
                    Model::SentencePiece(model) => model.encode(&self.vocabulary, &text[range], &mut ids)?,
                    Model::Unigram(model) => model.encode(&self.vocabulary, &text[range], &mut ids)?,
                },
            }
        }
        Ok(ids)
    }

    /// How many tokens `text` has; as [`encode`](Self::encode).
    pub fn count(&self, text: &str, special: SpecialTokens, add_bos: bool) -> Result<usize, TokenizerError> {
        Ok(self.encode(text, special, add_bos)?.len())
    }

    /// Appends the bytes of one token to `out`: a part of a UTF-8 text that may begin or end inside a character. The
    /// text of a control token is its name. Allocates nothing where `out` has room for the longest token
    /// ([`longest_token`](Self::longest_token)).
    pub fn token_bytes(&self, id: u32, out: &mut Vec<u8>) -> Result<(), TokenizerError> {
        if id as usize >= self.vocabulary.len() {
            return Err(TokenizerError::NoSuchToken { id, vocabulary: self.vocabulary.len() });
        }
        let piece = self.vocabulary.piece(id);
        match self.vocabulary.kind(id) {
            TokenKind::Unused => {}
            TokenKind::Control | TokenKind::Unknown | TokenKind::UserDefined => out.extend_from_slice(piece),
            TokenKind::Byte => match self.vocabulary.byte_of(id) {
                Some(byte) => out.push(byte),
                None => out.extend_from_slice(piece),
            },
            TokenKind::Normal => match &self.model {
                Model::Bpe(bpe) if !bpe.plain_text() => byte_level::decode(piece, out),
                _ => unescape(piece, out),
            },
        }
        Ok(())
    }

    /// Appends the bytes of a text's tokens to `out`, without the names of control tokens and without the space that
    /// encoding puts before a text.
    pub fn decode(&self, ids: &[u32], out: &mut Vec<u8>) -> Result<(), TokenizerError> {
        let mut drop_space = self.adds_space_prefix();
        for &id in ids {
            let start = out.len();
            if id as usize >= self.vocabulary.len() || self.kind(id) != TokenKind::Control {
                self.token_bytes(id, out)?;
            }
            if drop_space && out.len() > start {
                if out[start] == b' ' {
                    out.remove(start);
                }
                drop_space = false;
            }
        }
        Ok(())
    }

    /// The text of tokens, as [`decode`](Self::decode); bytes that are no text become U+FFFD.
    pub fn text(&self, ids: &[u32]) -> Result<String, TokenizerError> {
        let mut bytes = table::room(ids.len().saturating_mul(4))?;
        self.decode(ids, &mut bytes)?;
        Ok(match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(broken) => String::from_utf8_lossy(broken.as_bytes()).into_owned(),
        })
    }

    /// The token with this piece, spelled as in the file (`<|im_end|>`, `Ġthe`, `▁the`).
    pub fn id_of(&self, piece: &str) -> Option<u32> {
        self.vocabulary.id_of(piece.as_bytes())
    }

    /// What a token is for; ids outside the vocabulary are unused.
    pub fn kind(&self, id: u32) -> TokenKind {
        if id as usize >= self.vocabulary.len() { TokenKind::Unused } else { self.vocabulary.kind(id) }
    }

    /// How many tokens there are. The model's output may be padded beyond.
    pub fn vocab_size(&self) -> usize {
        self.vocabulary.len()
    }

    /// Bytes of the longest piece, which no token's text exceeds.
    pub fn longest_token(&self) -> usize {
        self.vocabulary.longest()
    }

    /// The token that starts a text.
    pub fn bos(&self) -> Option<u32> {
        self.special.bos
    }

    /// The token that ends a text.
    pub fn eos(&self) -> Option<u32> {
        self.special.eos
    }

    /// The token that ends a turn of a chat.
    pub fn eot(&self) -> Option<u32> {
        self.special.eot
    }

    /// The token that fills up batches.
    pub fn pad(&self) -> Option<u32> {
        self.special.pad
    }

    /// The token for text that the vocabulary cannot express.
    pub fn unknown(&self) -> Option<u32> {
        self.vocabulary.unknown()
    }

    /// Whether texts start with the BOS token.
    pub fn adds_bos(&self) -> bool {
        self.adds_bos && self.special.bos.is_some()
    }

    /// Whether the model was trained on texts that end with the EOS token. [`encode`](Self::encode) never adds it: a
    /// prompt is to be continued.
    pub fn adds_eos(&self) -> bool {
        self.adds_eos && self.special.eos.is_some()
    }

    /// Whether text gets a space before it.
    pub fn adds_space_prefix(&self) -> bool {
        match &self.model {
            Model::Bpe(_) => false,
            Model::SentencePiece(model) => model.add_space(),
            Model::Unigram(model) => model.add_space(),
        }
    }

    /// The tokens after which generation ends, in ascending order.
    pub fn end_ids(&self) -> &[u32] {
        &self.special.ends
    }

    /// Whether generation ends at this token.
    pub fn is_end(&self, id: u32) -> bool {
        self.special.ends.binary_search(&id).is_ok()
    }
}

/// Appends a piece of SentencePiece: `▁` is a space.
fn unescape(piece: &[u8], out: &mut Vec<u8>) {
    const SPACE: &[u8] = "▁".as_bytes();
    let mut rest = piece;
    while let Some((&byte, tail)) = rest.split_first() {
        if let Some(tail) = rest.strip_prefix(SPACE) {
            out.push(b' ');
            rest = tail;
        } else {
            out.push(byte);
            rest = tail;
        }
    }
}
