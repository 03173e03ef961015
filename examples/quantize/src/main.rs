//! `sprat-quantize`: a model in GGUF or safetensors in, the same model in smaller blocks out.
#![forbid(unsafe_code)]

mod blocks;
mod convert;
mod error;
mod mixture;
mod safetensors;
mod source;

use std::path::PathBuf;
use std::process::ExitCode;

use lexopt::prelude::{Long, Short, Value, ValueExt};

use crate::error::Error;
use crate::mixture::Mixture;
use crate::source::Source;

const USAGE: &str = "\
usage: sprat-quantize IN OUT --type TYPE [OPTIONS]

  IN      a GGUF file, or a safetensors file whose tensors bear GGUF's names
          (token_embd.weight, blk.0.attn_q.weight, ...); its metadata then comes from --metadata-from
  OUT     the GGUF file to be written
  TYPE    Q8_0, Q6_K, Q5_K_M, Q4_K_M, Q4_0 or F16

  --metadata-from F.gguf   metadata and vocabulary, in place of IN's
  --verbose                one line for each tensor on standard error

Names and rows of a Hugging Face checkpoint are not converted. Blocks that are quantized already can be quantized
again, at a loss that adds up: start from F32, F16 or BF16 where you can.";

/// What was asked for.
struct Args {
    input: PathBuf,
    output: PathBuf,
    mixture: Mixture,
    metadata: Option<PathBuf>,
    verbose: bool,
}

/// The command line; none if only help was asked for, a text if it is wrong.
fn parse(mut parser: lexopt::Parser) -> Result<Option<Args>, String> {
    let (mut paths, mut mixture, mut metadata, mut verbose) = (Vec::new(), None, None, false);
    while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
        match arg {
            Long("help") | Short('h') => return Ok(None),
            Long("type") => {
                let name = parser.value().and_then(ValueExt::string).map_err(|e| e.to_string())?;
                mixture =
                    Some(Mixture::from_name(&name).ok_or_else(|| format!("--type: `{name}` is not one of these"))?);
            }
            Long("metadata-from") => metadata = Some(PathBuf::from(parser.value().map_err(|e| e.to_string())?)),
            Long("verbose") => verbose = true,
            Value(path) if paths.len() < 2 => paths.push(PathBuf::from(path)),
            other => return Err(other.unexpected().to_string()),
        }
    }
    let output = paths.pop();
    match (paths.pop(), output, mixture) {
        (Some(input), Some(output), Some(mixture)) => Ok(Some(Args { input, output, mixture, metadata, verbose })),
        (Some(_), Some(_), None) => Err("--type is missing".to_owned()),
        _ => Err("IN and OUT are needed".to_owned()),
    }
}

fn run(args: &Args) -> Result<(), Error> {
    let source = Source::open(&args.input, args.metadata.as_deref())?;
    let done = convert::convert(&source, args.mixture, &args.output, args.verbose)?;
    println!("{}: {done}", args.output.display());
    Ok(())
}

fn main() -> ExitCode {
    match parse(lexopt::Parser::from_env()) {
        Ok(None) => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        Err(what) => {
            eprintln!("sprat-quantize: {what}\n\n{USAGE}");
            ExitCode::from(2)
        }
        Ok(Some(args)) => match run(&args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("sprat-quantize: {error}");
                ExitCode::FAILURE
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Option<Args>, String> {
        parse(lexopt::Parser::from_args(args.iter().copied()))
    }

    #[test]
    fn paths_and_type_are_read_in_any_order() {
        let args = parsed(&["--type", "q4_k_m", "a.gguf", "--verbose", "b.gguf"]).expect("right").expect("not help");
        assert_eq!((args.input, args.output), ("a.gguf".into(), "b.gguf".into()));
        assert_eq!((args.mixture, args.verbose, args.metadata), (Mixture::Q4_K_M, true, None));
    }

    #[test]
    fn a_wrong_command_line_says_what_is_wrong() {
        let cases: [(&[&str], &str); 6] = [
            (&[], "IN and OUT"),
            (&["a"], "IN and OUT"),
            (&["a", "b"], "--type is missing"),
            (&["a", "b", "--type", "Q3_X"], "Q3_X"),
            (&["a", "b", "c", "--type", "Q8_0"], "c"),
            (&["a", "b", "--type", "Q8_0", "--fast"], "--fast"),
        ];
        for (args, expected) in cases {
            let what = parsed(args).err().unwrap_or_default();
            assert!(what.contains(expected), "{args:?}: {what:?}");
        }
    }
}
