//! The `tokenizer.*` keys of a GGUF file, read once and checked: the only place that knows their names.

use std::ops::Range;

use sprat_gguf::{Contents, ValueKind};

use crate::error::TokenizerError;

/// More tokens than any vocabulary has; leaves ten bits of a table's slot to the hash.
const MAX_TOKENS: usize = 1 << 22;
/// More merges than any vocabulary has (Gemma 4: 514,906).
const MAX_MERGES: usize = 1 << 23;

/// An array of the file: how many elements, and the bytes they take.
#[derive(Clone)]
pub(super) struct Elements {
    pub(super) len: usize,
    pub(super) range: Range<usize>,
}

/// Scores, one for each token.
#[derive(Clone)]
pub(super) enum Scores {
    F32(Range<usize>),
    I32(Range<usize>),
}

impl Scores {
    /// The bytes they take.
    pub(super) fn range(&self) -> &Range<usize> {
        match self {
            Scores::F32(range) | Scores::I32(range) => range,
        }
    }
}

/// What a file says about its tokenizer.
pub(super) struct Fields<'a> {
    contents: &'a Contents,
    /// `tokenizer.ggml.model`, such as `gpt2`.
    pub(super) model: &'a str,
    /// `tokenizer.ggml.pre`, such as `llama-bpe`.
    pub(super) pre: Option<&'a str>,
    /// The pieces, by id.
    pub(super) tokens: Elements,
    /// The kind of each token, i32.
    pub(super) kinds: Option<Range<usize>>,
    /// The score of each token.
    pub(super) scores: Option<Scores>,
}

impl<'a> Fields<'a> {
    /// Reads and checks the keys that every vocabulary has.
    pub(super) fn read(contents: &'a Contents) -> Result<Fields<'a>, TokenizerError> {
        const MODEL: &str = "tokenizer.ggml.model";
        let model = contents.str(MODEL)?.ok_or(TokenizerError::Missing { key: MODEL })?;
        let tokens = required(contents, "tokenizer.ggml.tokens", MAX_TOKENS)?;
        let per_token = |key, kinds: &[ValueKind]| {
            let Some((kind, found)) = array(contents, key, kinds, usize::MAX)? else { return Ok(None) };
            if found.len < tokens.len {
                return Err(TokenizerError::TooShort { key, needed: tokens.len, found: found.len });
            }
            Ok(Some((kind, found.range)))
        };
        let kinds = per_token("tokenizer.ggml.token_type", &[ValueKind::I32, ValueKind::U32])?.map(|k| k.1);
        let scores = per_token("tokenizer.ggml.scores", &[ValueKind::F32, ValueKind::I32])?
            .map(|(kind, range)| if kind == ValueKind::F32 { Scores::F32(range) } else { Scores::I32(range) });
        Ok(Fields { contents, model, pre: contents.str("tokenizer.ggml.pre")?, tokens, kinds, scores })
    }

    /// The merges of byte pair encoding, best first, each `left right`.
    pub(super) fn merges(&self) -> Result<Elements, TokenizerError> {
        required(self.contents, "tokenizer.ggml.merges", MAX_MERGES)
    }

    /// SentencePiece's compiled normalization rules.
    pub(super) fn charsmap(&self) -> Result<Option<Range<usize>>, TokenizerError> {
        let kinds = [ValueKind::U8, ValueKind::I8];
        let found = array(self.contents, "tokenizer.ggml.precompiled_charsmap", &kinds, usize::MAX)?;
        Ok(found.map(|(_, elements)| elements.range))
    }

    /// The id under `tokenizer.ggml.{name}`; one outside the vocabulary counts as none, as in llama.cpp.
    pub(super) fn id(&self, name: &str) -> Result<Option<u32>, TokenizerError> {
        let id = self.contents.u32(&format!("tokenizer.ggml.{name}"))?;
        Ok(id.filter(|&id| (id as usize) < self.tokens.len))
    }

    /// The flag under `tokenizer.ggml.{name}`.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, TokenizerError> {
        Ok(self.contents.bool(&format!("tokenizer.ggml.{name}"))?)
    }

    /// `general.name`, in lower case.
    pub(super) fn model_name(&self) -> Result<String, TokenizerError> {
        Ok(self.contents.str("general.name")?.unwrap_or_default().to_lowercase())
    }
}

fn required(contents: &Contents, key: &'static str, limit: usize) -> Result<Elements, TokenizerError> {
    let found = array(contents, key, &[ValueKind::String], limit)?;
    Ok(found.ok_or(TokenizerError::Missing { key })?.1)
}

fn array(
    contents: &Contents,
    key: &'static str,
    kinds: &[ValueKind],
    limit: usize,
) -> Result<Option<(ValueKind, Elements)>, TokenizerError> {
    let Some(array) = contents.array(key)? else { return Ok(None) };
    if !kinds.contains(&array.kind) {
        return Err(TokenizerError::WrongElements { key, found: array.kind });
    }
    if array.len > limit {
        return Err(TokenizerError::TooMany { key, found: array.len, limit });
    }
    Ok(Some((array.kind, Elements { len: array.len, range: array.range.clone() })))
}
