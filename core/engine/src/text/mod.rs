//! From the bytes of tokens to text that can be shown: whole characters, no stop strings, thoughts apart from the answer.

mod sections;
mod stream;

pub use sections::{Section, SectionMarks, SectionSplitter};
pub use stream::TextStream;
