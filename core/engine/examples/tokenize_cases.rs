//! Checks the tokenizer on files in the form of llama.cpp's vocabulary tests, and measures it.
//!
//! `cargo run --release -p sprat --example tokenize_cases -- [--special] ggml-vocab-NAME.gguf …`
//! Beside each vocabulary lie `NAME.gguf.inp`, texts separated by the line `__ggml_vocab_test__`, and
//! `NAME.gguf.out`, a line of ids for each. With `--special` control tokens in the texts are parsed. With `--measure
//! TEXT` the vocabularies are timed on that file instead.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;

use sprat::tokenizer::{SpecialTokens, Tokenizer};
use sprat_gguf::Contents;

const SEPARATOR: &str = "\n__ggml_vocab_test__\n";

fn main() -> Result<(), Box<dyn Error>> {
    let mut special = SpecialTokens::AsText;
    let mut measured = None;
    let mut failed = 0;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--special" => special = SpecialTokens::Parse,
            "--measure" => measured = Some(std::fs::read_to_string(arguments.next().ok_or("--measure needs a file")?)?),
            path => match &measured {
                Some(text) => measure(path, text)?,
                None => failed += check(path, special)?,
            },
        }
    }
    if failed > 0 { Err(format!("{failed} cases failed").into()) } else { Ok(()) }
}

/// Reads the tokenizer of a file.
fn open(file: &Arc<Vec<u8>>) -> Result<Tokenizer, Box<dyn Error>> {
    let contents = Contents::parse(file, file.len() as u64)?;
    Ok(Tokenizer::from_gguf(&contents, file.clone())?)
}

/// Runs the cases of one vocabulary; gives the number of failures.
fn check(path: &str, special: SpecialTokens) -> Result<usize, Box<dyn Error>> {
    let tokenizer = open(&Arc::new(std::fs::read(path)?))?;
    let texts = std::fs::read_to_string(format!("{path}.inp"))?;
    let ids = std::fs::read_to_string(format!("{path}.out"))?;
    // A text that occurs twice counts with its last line, as in llama.cpp's own test.
    let cases: BTreeMap<&str, &str> = texts.split(SEPARATOR).zip(ids.lines()).collect();
    let mut failed = 0;
    for (text, want) in &cases {
        let want: Vec<u32> = want.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        match tokenizer.encode(text, special, false) {
            Ok(got) if got == want => {}
            got => {
                failed += 1;
                println!("{text:?}\n  want {want:?}\n  got  {got:?}");
            }
        }
    }
    println!("{path}: {}/{}", cases.len() - failed, cases.len());
    Ok(failed)
}

/// Times opening and encoding, and counts the anonymous memory of the index. Times are the processor's, so other work
/// on the machine does not count.
fn measure(path: &str, text: &str) -> Result<(), Box<dyn Error>> {
    const OPENS: usize = 10;
    let file = Arc::new(std::fs::read(path)?);
    let before = anonymous_kb()?;
    let tokenizer = open(&file)?;
    let after = anonymous_kb()?;
    let start = cpu_seconds()?;
    for _ in 0..OPENS {
        open(&file)?;
    }
    let open_ms = (cpu_seconds()? - start) * 1e3 / OPENS as f64;
    let start = cpu_seconds()?;
    let n = tokenizer.count(text, SpecialTokens::AsText, false)?;
    let seconds = cpu_seconds()? - start;
    println!(
        "{path}: {} tokens, open {open_ms:.1} ms, {} KB, {n} ids, {:.1} MB/s",
        tokenizer.vocab_size(),
        after.saturating_sub(before),
        text.len() as f64 / seconds / 1e6
    );
    Ok(())
}

/// Processor time of this thread.
fn cpu_seconds() -> Result<f64, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let ns: u64 = stat.split_whitespace().next().ok_or("an empty schedstat")?.parse()?;
    Ok(ns as f64 / 1e9)
}

/// Anonymous resident memory of this process.
fn anonymous_kb() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|l| l.strip_prefix("RssAnon:")).ok_or("no RssAnon")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
