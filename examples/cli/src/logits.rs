//! `sprat logits`: the logits at every position of given token ids, as raw little-endian f32.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::atomic::AtomicBool;

use sprat::Context;

use crate::args::Args;
use crate::failure::{Failure, io};
use crate::progress::Progress;

/// Writes `[n_tokens, vocabulary]` to `--out`.
pub fn logits(args: &Args) -> Result<(), Failure> {
    let out = args.need(&args.out, "--out")?;
    let mut context = Context::new(args.open()?, &args.context)?;
    let mut writer = BufWriter::new(File::create(out).map_err(io(out))?);
    let mut progress = Progress::new("logits", args.tokens.len());
    let (mut done, mut failed) = (0, None);
    let result = context.feed_each(&args.tokens, &AtomicBool::new(false), &mut |logits| {
        progress.show(done);
        done += 1;
        if failed.is_none() {
            failed = logits.iter().try_for_each(|x| writer.write_all(&x.to_le_bytes())).err();
        }
        Ok(())
    });
    result?;
    failed.map_or_else(|| writer.flush(), Err).map_err(io(out))
}
