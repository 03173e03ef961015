//! What can be wrong with a vocabulary or a text.

/// What can be wrong with a vocabulary or a text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// A key of the file cannot be read.
    #[error(transparent)]
    File(#[from] sprat_gguf::Error),
    /// A key that every vocabulary of this kind has is not there.
    #[error("the file has no {key}")]
    Missing {
        /// The key.
        key: &'static str,
    },
    /// An array holds elements of another type than it should.
    #[error("{key}: an array of {found:?} instead of what belongs there")]
    WrongElements {
        /// The key.
        key: &'static str,
        /// The type of its elements.
        found: sprat_gguf::ValueKind,
    },
    /// An array is longer than any real one.
    #[error("{key}: {found} elements, at most {limit} are supported")]
    TooMany {
        /// The key.
        key: &'static str,
        /// How long it is.
        found: usize,
        /// How long it may be.
        limit: usize,
    },
    /// A string of an array is longer than any real one.
    #[error("{key}: a string of {found} bytes, at most {limit} are supported")]
    TooLong {
        /// The key.
        key: &'static str,
        /// Its length in bytes.
        found: usize,
        /// How long it may be, in bytes.
        limit: usize,
    },
    /// An array does not have an element for each token.
    #[error("{key}: {found} elements for {needed} tokens")]
    TooShort {
        /// The key.
        key: &'static str,
        /// The number of tokens.
        needed: usize,
        /// How long it is.
        found: usize,
    },
    /// An array reaches past the end of the file.
    #[error("{key} reaches past its end")]
    Truncated {
        /// The key.
        key: &'static str,
    },
    /// Thousands of strings with the same hash: a file made to be slow.
    #[error("{key}: too many strings with colliding hashes")]
    Colliding {
        /// The key.
        key: &'static str,
    },
    /// The compiled normalization rules are damaged.
    #[error("tokenizer.ggml.precompiled_charsmap is damaged")]
    Charsmap,
    /// The kind of tokenizer is not supported.
    #[error("tokenizer model `{model}` is not supported (supported: gpt2, llama, t5, gemma4)")]
    UnknownModel {
        /// `tokenizer.ggml.model` of the file.
        model: String,
    },
    /// The pre-tokenizer is not known.
    #[error("pre-tokenizer `{name}` is not supported")]
    UnknownPreTokenizer {
        /// `tokenizer.ggml.pre` of the file.
        name: String,
    },
    /// The text is longer than what is tokenized at once.
    #[error("a text of {found} bytes, at most {limit} can be tokenized at once")]
    TextTooLong {
        /// Its length in bytes.
        found: usize,
        /// The longest possible, in bytes.
        limit: usize,
    },
    /// The system gives no memory for a vocabulary's table or for the tokens of a text.
    #[error("no memory for {bytes} bytes of a tokenizer")]
    NoMemory {
        /// How much.
        bytes: usize,
    },
    /// The pre-tokenizer's search gave up on the text.
    #[error("the pre-tokenizer gave up: {0}")]
    PreTokenizer(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The text has a byte for which the vocabulary has no token.
    #[error("the vocabulary has no token for byte {byte:#04x}")]
    MissingByte {
        /// The byte.
        byte: u8,
    },
    /// A number that is no token.
    #[error("token {id} is outside the vocabulary of {vocabulary} tokens")]
    NoSuchToken {
        /// The number.
        id: u32,
        /// The size of the vocabulary.
        vocabulary: usize,
    },
}
