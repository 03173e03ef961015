//! `sprat tokenize`: the ids of a text, from the vocabulary alone.

use std::sync::Arc;

use sprat::{Contents, MappedFile, SpecialTokens, Tokenizer};

use crate::args::Args;
use crate::failure::{Failure, io, print};

/// Prints the ids of `--file`, separated by spaces.
pub fn tokenize(args: &Args) -> Result<(), Failure> {
    let path = args.need(&args.file, "--file")?;
    let text = std::fs::read(path).map_err(io(path))?;
    let text = String::from_utf8(text)
        .map_err(|_| io(path)(std::io::Error::new(std::io::ErrorKind::InvalidData, "the text is not UTF-8")))?;
    let model = Arc::new(MappedFile::open(args.model_path()?.into())?);
    let contents = Contents::parse(model.bytes(), model.bytes().len() as u64)?;
    let tokenizer = Tokenizer::from_gguf(&contents, model)?;
    let special = if args.special { SpecialTokens::Parse } else { SpecialTokens::AsText };
    let ids = tokenizer.encode(&text, special, !args.no_bos && tokenizer.adds_bos())?;
    print(&format!("{}\n", ids.iter().map(u32::to_string).collect::<Vec<_>>().join(" ")))
}
