//! Tokens with a role: start, ends and padding, by the file's keys and, since many files leave keys out, by their text.
//!
//! Which texts mean what, and the corrections of kinds, are llama.cpp's (src/llama-vocab.cpp, `special_eog_ids`).

use super::fields::Fields;
use super::vocabulary::{TokenKind, Vocabulary};
use crate::error::TokenizerError;

/// Texts of the token that ends a turn, in the order they are looked for.
const END_OF_TURN: &[&str] = &[
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "<｜end▁of▁sentence｜>",
    "<end_of_utterance>",
];
/// Further texts of tokens after which a model has nothing more to say.
const OTHER_ENDS: &[&str] = &[
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "</s>",
    "<|eom_id|>",
    "[EOS]",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "[e~[",
];
/// Tokens of code completion that end it.
const CODE_ENDS: &[(&str, &[&str])] = &[
    ("fim_pad_token_id", &["<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"]),
    ("fim_rep_token_id", &["<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"]),
    ("fim_sep_token_id", &["<|file_sep|>"]),
];
/// Tokens that frame code completion. No end, but no text either.
const CODE_FRAMES: &[(&str, &[&str])] = &[
    (
        "fim_pre_token_id",
        &[
            "<|fim_prefix|>",
            "<fim-prefix>",
            "<fim_prefix>",
            "<｜fim▁begin｜>",
            "<PRE>",
            "▁<PRE>",
            "<|code_prefix|>",
            "<|prefix|>",
        ],
    ),
    (
        "fim_suf_token_id",
        &[
            "<|fim_suffix|>",
            "<fim-suffix>",
            "<fim_suffix>",
            "<｜fim▁hole｜>",
            "<SUF>",
            "▁<SUF>",
            "<|code_suffix|>",
            "<|suffix|>",
        ],
    ),
    (
        "fim_mid_token_id",
        &[
            "<|fim_middle|>",
            "<fim-middle>",
            "<fim_middle>",
            "<｜fim▁end｜>",
            "<MID>",
            "▁<MID>",
            "<|code_middle|>",
            "<|middle|>",
        ],
    ),
];
/// gpt-oss: parts of a reply, shown as text.
const SHOWN: &[&str] = &["<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"];

/// Ids of tokens with a role.
pub(super) struct Special {
    pub(super) bos: Option<u32>,
    pub(super) eos: Option<u32>,
    pub(super) eot: Option<u32>,
    pub(super) pad: Option<u32>,
    pub(super) ends: Vec<u32>, // in ascending order
}

impl Special {
    /// Finds the tokens, and corrects kinds that files are known to state wrongly.
    pub(super) fn read(fields: &Fields, vocabulary: &mut Vocabulary) -> Result<Special, TokenizerError> {
        // SentencePiece's own numbering, for files without the keys.
        let (default_bos, default_eos) = match fields.model {
            "llama" => (Some(1), Some(2)),
            "t5" => (None, Some(1)),
            _ => (None, None),
        };
        let known = |id: Option<u32>| id.filter(|&id| (id as usize) < fields.tokens.len);
        let eos = fields.id("eos_token_id")?.or(known(default_eos));
        let mut ends: Vec<u32> = eos.into_iter().collect();
        for &(key, texts) in CODE_ENDS {
            ends.extend(fields.id(key)?.or_else(|| control(vocabulary, texts)));
        }
        for &(key, texts) in CODE_FRAMES {
            if fields.id(key)?.is_none() {
                control(vocabulary, texts);
            }
        }
        let eot = fields.id("eot_token_id")?.or_else(|| control(vocabulary, END_OF_TURN));
        ends.extend(eot);
        ends.extend(fields.id("eom_token_id")?);
        for text in END_OF_TURN.iter().chain(OTHER_ENDS) {
            ends.extend(control(vocabulary, &[text]));
        }
        for text in SHOWN {
            if let Some(id) = vocabulary.id_of(text.as_bytes()) {
                vocabulary.set_kind(id, TokenKind::UserDefined);
            }
        }
        let has = |vocabulary: &Vocabulary, text: &str| vocabulary.id_of(text.as_bytes()).is_some();
        // gpt-oss and Solar close every part of a reply with `<|end|>`; others end the reply.
        let calls = has(vocabulary, "<|call|>") || has(vocabulary, "<|calls|>");
        if calls && (has(vocabulary, "<|return|>") || has(vocabulary, "<|flush|>")) {
            take_out(vocabulary, &mut ends, "<|end|>", TokenKind::UserDefined);
        }
        // Gemma 4: a tag of HTML.
        if has(vocabulary, "<|tool_response>") {
            take_out(vocabulary, &mut ends, "</s>", TokenKind::Normal);
        }
        ends.sort_unstable();
        ends.dedup();
        let bos = fields.id("bos_token_id")?.or(known(default_bos));
        Ok(Special { bos, eos, eot, pad: fields.id("padding_token_id")?, ends })
    }
}

/// The first of `texts` that is a token; it is a control token, whatever the file says.
fn control(vocabulary: &mut Vocabulary, texts: &[&str]) -> Option<u32> {
    let id = texts.iter().find_map(|text| vocabulary.id_of(text.as_bytes()))?;
    if vocabulary.kind(id) != TokenKind::Control {
        vocabulary.set_kind(id, TokenKind::Control);
    }
    Some(id)
}

fn take_out(vocabulary: &mut Vocabulary, ends: &mut Vec<u32>, text: &str, kind: TokenKind) {
    if let Some(id) = vocabulary.id_of(text.as_bytes()) {
        ends.retain(|&end| end != id);
        vocabulary.set_kind(id, kind);
    }
}
