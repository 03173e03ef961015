//! `sprat perplexity`: how surprised a model is by a text.

use std::sync::atomic::AtomicBool;

use sprat::{Context, SpecialTokens};

use crate::args::Args;
use crate::failure::{Failure, io, print};
use crate::progress::Progress;

/// Tokens of one window; the second half of each is scored, so that every scored token has at least this much context.
const WINDOW: usize = 512;

/// Prints the perplexity of `--file` over windows of 512 tokens, or fewer where the text or the context is shorter.
pub fn perplexity(args: &Args) -> Result<(), Failure> {
    let path = args.need(&args.file, "--file")?;
    let text = std::fs::read_to_string(path).map_err(io(path))?;
    let model = args.open()?;
    let tokenizer = model.tokenizer();
    let ids = tokenizer.encode(&text, SpecialTokens::AsText, false)?;
    let mut context = Context::new(model.clone(), &args.context)?;
    let window = WINDOW.min(context.max_positions()).min(ids.len() + 1);
    if ids.len() < 2 {
        return Err(Failure::Engine(sprat::Error::EmptyPrompt));
    }
    let (mut sum, mut count) = (0.0f64, 0usize);
    let mut progress = Progress::new("perplexity", ids.len());
    let body = window - 1;
    for (n, part) in ids.chunks(body).enumerate() {
        if n > 0 && part.len() < body {
            break;
        }
        let mut tokens: Vec<u32> = tokenizer.bos().into_iter().collect();
        tokens.extend_from_slice(part);
        let scored_from = tokens.len() / 2;
        context.rewind(0);
        let mut position = 0;
        context.feed_each(&tokens, &AtomicBool::new(false), &mut |logits| {
            position += 1;
            if position > scored_from && position < tokens.len() {
                sum -= log_probability(logits, tokens[position] as usize);
                count += 1;
            }
            Ok(())
        })?;
        progress.show((n + 1) * body);
    }
    drop(progress);
    print(&format!("perplexity {:.4} over {count} tokens\n", (sum / count.max(1) as f64).exp()))
}

fn log_probability(logits: &[f32], id: usize) -> f64 {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|x| f64::from(x - max).exp()).sum();
    f64::from(logits[id] - max) - sum.ln()
}
