//! What can be wrong with generation options.

/// What can be wrong with generation options.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// A number is outside the range that makes sense for it (or is not a number).
    #[error("option {name}: {value} is outside {min}..={max}")]
    OutOfRange {
        /// The option's name.
        name: &'static str,
        /// What was given.
        value: f64,
        /// Smallest value allowed.
        min: f64,
        /// Largest value allowed.
        max: f64,
    },
    /// A logit bias names a token that the model does not have.
    #[error("option logit_bias: token {id} is outside the vocabulary of {vocabulary}")]
    BiasToken {
        /// The id.
        id: u32,
        /// Size of the vocabulary.
        vocabulary: usize,
    },
    /// A logit bias is not a number.
    #[error("option logit_bias: the bias of token {id} is not a number")]
    BiasNotANumber {
        /// The id.
        id: u32,
    },
    /// A stop string is empty: it would stop every reply before it begins.
    #[error("option stop: string {index} is empty")]
    EmptyStop {
        /// Which one, from 0.
        index: usize,
    },
    /// A stop string is too long to be held back while a reply is streamed.
    #[error("option stop: string {index} has {len_bytes} bytes, the limit is {limit_bytes}")]
    StopTooLong {
        /// Which one, from 0.
        index: usize,
        /// Its length.
        len_bytes: usize,
        /// The limit.
        limit_bytes: usize,
    },
    /// More stop strings than can be looked for after every token.
    #[error("option stop: {found} strings, the limit is {limit}")]
    TooManyStops {
        /// How many were given.
        found: usize,
        /// The limit.
        limit: usize,
    },
}
