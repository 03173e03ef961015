//! `sprat`: the engine from the command line, for developers' machines.

mod args;
mod bake;
mod bench;
mod bundled;
mod chat;
mod failure;
mod inspect;
mod logits;
mod memory;
mod perplexity;
mod progress;
mod run;
mod tokenize;

use std::process::ExitCode;

use args::Args;
use failure::Failure;

const USAGE: &str = "\
usage: sprat COMMAND [OPTIONS]

  chat        talk to a model; Ctrl-C cancels the turn, /help lists what else it can do
  run         answer one prompt: sprat run [OPTIONS] PROMPT
  bake        a session file with a fixed beginning, to be shipped with an app: --system TEXT --out FILE
  inspect     metadata, tensors and memory of a model
  tokenize    ids of a text: --file T [--no-bos] [--special]
  logits      raw logits of token ids: --tokens 1,2,3 --out FILE [--batch N]
  perplexity  of a text: --file T
  bench       speed and memory: [--prompt N] [--generate N] [--depth N] [--repeat N] [--json]

options of all: --model FILE, --threads N, --context N, --kv f16|q8_0|q4_0, --backend auto|cpu|gpu; without --model, the repository's own small model answers
of chat and run: --system TEXT, --template NAME-OR-FILE, --session FILE, --slide, --max-tokens N, --temperature T,
                 --top-k N, --top-p P, --min-p P, --seed S";

fn main() -> ExitCode {
    let result = Args::parse().and_then(|args| match args.command.as_str() {
        "chat" => chat::chat(&args),
        "run" => run::run(&args),
        "inspect" => inspect::inspect(&args),
        "bake" => bake::bake(&args),
        "tokenize" => tokenize::tokenize(&args),
        "logits" => logits::logits(&args),
        "perplexity" => perplexity::perplexity(&args),
        "bench" => bench::bench(&args),
        "help" => failure::print(&format!("{USAGE}\n")),
        other => Err(Failure::Usage(format!("unknown command `{other}`"))),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(what)) => {
            eprintln!("sprat: {what}\n\n{USAGE}");
            ExitCode::from(2)
        }
        Err(failure) => {
            eprintln!("sprat: {failure}");
            ExitCode::FAILURE
        }
    }
}
