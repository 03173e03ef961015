//! `sprat bench`: tokens per second, times and memory of one model on this machine.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use serde_json::json;
use sprat::{Context, ContextOptions, Error, MappedFile, Model};

use crate::args::Args;
use crate::failure::{Failure, print};
use crate::memory::anonymous_bytes;
use crate::progress::Progress;

/// Tokens of the prompt whose first answer is timed from opening on.
const FIRST_PROMPT: usize = 8;

/// Measures and prints, for people or with `--json` for programs.
pub fn bench(args: &Args) -> Result<(), Failure> {
    let path = args.model_path()?;
    let (prompt, generate) = (args.prompt_tokens.unwrap_or(256), args.generate.unwrap_or(32));
    let (depth, repeat) = (args.depth.unwrap_or(0), args.repeat.unwrap_or(5));
    let options =
        ContextOptions { max_positions: Some(depth + prompt.max(FIRST_PROMPT) + generate), ..args.context.clone() };
    let before = anonymous_bytes();
    let never = AtomicBool::new(false);

    let start = Instant::now();
    let model = Arc::new(Model::open_with(path, &args.open_options()?)?);
    let open_ms = ms(start);
    let mut context = Context::new(model.clone(), &options)?;
    context.feed(&tokens(&model, 0, FIRST_PROMPT), &never)?;
    let first_token_ms = ms(start);

    let mut speed = Speed { context: &mut context, never: &never };
    let (mut prompt_rates, mut generate_rates) = (Vec::new(), Vec::new());
    let mut progress = Progress::new("bench", repeat);
    for done in 0..repeat {
        progress.show(done);
        speed.go_to(depth)?;
        if prompt > 0 {
            prompt_rates.push(speed.prompt(&tokens(&model, 7, prompt))?);
        }
        speed.context.rewind(depth);
        if generate > 0 {
            generate_rates.push(speed.generate(depth, generate)?);
        }
    }
    drop(progress);
    // What Sprat itself took; the pages of the file are counted apart.
    let anonymous = anonymous_bytes().saturating_sub(before);
    let computed = context.take_computed();
    let (resident, kv) = (model.resident_bytes(), context.kv_bytes());
    let threads = options.threads.unwrap_or_else(sprat::default_workers);
    let read = read_gb_per_s(path, threads)?;
    if args.json {
        let report = json!({
            "prompt_tokens_per_s": prompt_rates,
            "generate_tokens_per_s": generate_rates,
            "open_ms": open_ms,
            "first_token_ms": first_token_ms,
            "anonymous_bytes": anonymous,
            "file_resident_bytes": resident,
            "kv_bytes": kv,
            "bytes_per_token": model.bytes_per_token(),
            "read_gb_per_s": read,
            "cpu_tokens": computed.cpu_tokens,
            "gpu_tokens": computed.gpu_tokens,
        });
        return print(&format!("{report}\n"));
    }
    let mb = |bytes: f64| bytes / 1e6;
    let generated = median(&generate_rates);
    let used = generated * model.bytes_per_token() as f64 / 1e9;
    let lines = [
        format!("{} threads, kernels {}", threads, sprat::instruction_sets().last().unwrap_or_default()),
        match &model.info().gpu {
            Ok(()) => format!("GPU         {:9} tokens, CPU {}", computed.gpu_tokens, computed.cpu_tokens),
            Err(fault) => format!("GPU         none: {fault}"),
        },
        format!("prompt      {:9.1} tokens/s  ({prompt} tokens, median of {repeat})", median(&prompt_rates)),
        format!("generate    {generated:9.1} tokens/s  ({generate} tokens at depth {depth})"),
        format!("open        {open_ms:9.1} ms"),
        format!("first token {first_token_ms:9.1} ms        (opening and a prompt of {FIRST_PROMPT} tokens)"),
        format!("anonymous   {:9.1} MB        ({:.1} MB of it KV cache)", mb(anonymous as f64), mb(kv as f64)),
        format!("file pages  {:9.1} MB", mb(resident as f64)),
        format!("reading     {read:9.1} GB/s      (a plain sum over the file; generation reads {used:.1} GB/s)"),
    ];
    print(&format!("{}\n", lines.join("\n")))
}

fn ms(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

fn median(rates: &[f64]) -> f64 {
    let mut sorted = rates.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}

/// Some ids of the vocabulary, the same for the same arguments.
fn tokens(model: &Model, salt: usize, n: usize) -> Vec<u32> {
    let vocabulary = model.config().vocabulary;
    (0..n).map(|i| ((i + salt) * 7919 % vocabulary) as u32).collect()
}

struct Speed<'a> {
    context: &'a mut Context,
    never: &'a AtomicBool,
}

impl Speed<'_> {
    /// Leaves exactly `depth` tokens in the context.
    fn go_to(&mut self, depth: usize) -> Result<(), Error> {
        let len = self.context.rewind(depth);
        if len < depth {
            let filling = tokens(self.context.model(), 3, depth - len);
            self.context.feed(&filling, self.never)?;
        }
        self.context.checkpoint();
        Ok(())
    }

    fn prompt(&mut self, tokens: &[u32]) -> Result<f64, Error> {
        let start = Instant::now();
        self.context.feed(tokens, self.never)?;
        Ok(tokens.len() as f64 / start.elapsed().as_secs_f64())
    }

    /// Greedy generation of `n` tokens, the choice of each token included.
    fn generate(&mut self, depth: usize, n: usize) -> Result<f64, Error> {
        let mut next = tokens(self.context.model(), depth, 1)[0];
        let start = Instant::now();
        for _ in 0..n {
            let logits = self.context.feed(&[next], self.never)?;
            let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
            next = best.map_or(0, |(id, _)| id as u32);
        }
        Ok(n as f64 / start.elapsed().as_secs_f64())
    }
}

/// How fast `threads` threads read the mapped file, summing it: the best of two rounds of several loops, since which is
/// the fastest differs from machine to machine.
fn read_gb_per_s(path: &Path, threads: usize) -> Result<f64, Failure> {
    let file = MappedFile::open(path.into())?;
    let bytes = file.bytes();
    let part = bytes.len().div_ceil(threads).next_multiple_of(64);
    let loops: [fn(&[u8]) -> u64; 4] = [sum, sum_of_streams::<4>, sum_of_streams::<16>, sum_and_touch_ahead];
    let mut best = 0.0f64;
    // The first loop of the first round also brings the pages in.
    for sum in loops.into_iter().chain(loops) {
        let start = Instant::now();
        let sum: u64 = std::thread::scope(|scope| {
            let threads: Vec<_> = bytes.chunks(part).map(|part| scope.spawn(move || sum(part))).collect();
            threads.into_iter().map(|t| t.join().expect("a sum does not panic")).fold(0, u64::wrapping_add)
        });
        std::hint::black_box(sum);
        best = best.max(bytes.len() as f64 / start.elapsed().as_secs_f64() / 1e9);
    }
    Ok(best)
}

/// Bytes in lines of a cache, as words.
fn sum(bytes: &[u8]) -> u64 {
    bytes.chunks_exact(64).map(line).fold(0, u64::wrapping_add)
}

/// From so many places at once.
fn sum_of_streams<const N: usize>(bytes: &[u8]) -> u64 {
    let part = bytes.len() / N / 64 * 64;
    let streams: [&[u8]; N] = std::array::from_fn(|i| &bytes[i * part..][..part]);
    (0..part / 64).fold(0, |sum, i| streams.iter().fold(sum, |sum, s| sum.wrapping_add(line(&s[i * 64..][..64]))))
}

/// One word of the line 16 KB ahead beside each line, which asks memory for it.
fn sum_and_touch_ahead(bytes: &[u8]) -> u64 {
    let ahead = bytes
        .get(16 << 10..)
        .unwrap_or_default()
        .chunks_exact(64)
        .chain(std::iter::repeat(&bytes[..64.min(bytes.len())]));
    bytes.chunks_exact(64).zip(ahead).fold(0, |sum, (here, ahead)| {
        sum.wrapping_add(line(here)).wrapping_add(u64::from(ahead.first().copied().unwrap_or(0)))
    })
}

fn line(bytes: &[u8]) -> u64 {
    bytes.as_chunks::<8>().0.iter().map(|w| u64::from_le_bytes(*w)).fold(0, u64::wrapping_add)
}
