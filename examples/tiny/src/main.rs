//! The tiny model's workshop: `corpus` writes what it learns from, `evaluate` measures what it learned.

mod corpus;
mod evaluate;

use std::path::PathBuf;
use std::process::ExitCode;

use corpus::Size;

const USAGE: &str = "\
usage: sprat-tiny corpus --out DIR [--seed N] [--conversations N] [--held N]
       sprat-tiny evaluate --model FILE [--seed N] [--conversations N] [--held N] [--show]
       sprat-tiny evaluate --model FILE --requests FILE.jsonl";

fn option(args: &[String], name: &str) -> Option<String> {
    args.iter().position(|a| a == name).and_then(|i| args.get(i + 1)).cloned()
}

fn number(args: &[String], name: &str, otherwise: usize) -> Result<usize, String> {
    option(args, name).map_or(Ok(otherwise), |v| v.parse().map_err(|_| format!("{name} needs a number, not {v}")))
}

fn run(args: &[String]) -> Result<(), String> {
    let usual = Size::default();
    let size = Size {
        seed: number(args, "--seed", usual.seed as usize)? as u64,
        conversations: number(args, "--conversations", usual.conversations)?,
        held: number(args, "--held", usual.held)?,
    };
    match args.first().map(String::as_str) {
        Some("corpus") => {
            let out = PathBuf::from(option(args, "--out").ok_or(USAGE)?);
            corpus::write(&out, size).map_err(|e| format!("{}: {e}", out.display()))
        }
        Some("evaluate") => {
            let model = PathBuf::from(option(args, "--model").ok_or(USAGE)?);
            if let Some(file) = option(args, "--requests") {
                return evaluate::requests(&model, &PathBuf::from(file));
            }
            let show = args.iter().any(|a| a == "--show");
            evaluate::run(&model, size, show).map_err(|e| format!("{}: {e}", model.display()))
        }
        _ => Err(USAGE.into()),
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
