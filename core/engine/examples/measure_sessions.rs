//! Measures what sessions promise: how soon a stop stops, restoring against reading anew, what a fork costs, and what
//! guessing gains and loses on replies whose text is given.
//!
//! `cargo run --release -p sprat --example measure_sessions -- MODEL.gguf [THREADS]`
//! The tokens of the replies are forced, so that it does not matter what the weights are: a file of random weights in the
//! shape of a real model does.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sprat::{
    ContextOptions, Event, GenerationOptions, Input, Model, SamplerOptions, Session, SessionOptions, SpecialTokens,
    Trim,
};

/// Tokens of the conversation that is saved, restored and forked.
const LONG: usize = 2000;

/// Times each stop is tried.
const STOPS: usize = 20;

/// Turns of each kind that are timed, in turn with their opposites.
const ROUNDS: usize = 3;

/// What is to be copied: prose, so that nothing in it repeats by itself.
const SOURCE: &str = "The ferry left the harbour at six, with two lorries, a priest and eleven crates of oysters on board. Fog lay \
on the water like a folded sheet, and the captain, who had crossed here for thirty years, steered by the bell of the \
lighthouse alone. Nobody spoke. Halfway across, the engine coughed, caught itself and went on; a child laughed, and \
the priest put away his book. By the time the sun had burned the fog away, the island stood before them, green and \
close, with its one white street and the church whose clock had never told the right hour.";

/// A copy with a few words changed, as a model writes when it is asked to correct a text.
fn corrected() -> String {
    SOURCE
        .replace("eleven crates", "twelve crates")
        .replace("thirty years", "forty years")
        .replace("green and", "grey and")
}

/// A reply that owes the prompt nothing.
const CREATIVE: &str = "My grandmother kept bees behind the railway station, in nine hives painted the colours of old trams. She said \
that a swarm remembers whoever it was first afraid of, and that this was why they never stung the stationmaster. Each \
autumn she sold honey from a wooden table, and each winter she read to the hives from the newspaper, so that they \
would not lose touch. When she died, I drove there with a borrowed van. The bees had already gone. On the table stood \
one jar, a spoon, and a note in her square hand: take what is yours, and leave the door open behind you.";

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("name a model file")?;
    let threads = arguments.next().map(|threads| threads.parse()).transpose()?;
    let model = Arc::new(Model::open(path)?);
    let context = ContextOptions { threads, max_positions: Some(LONG + 1000), ..ContextOptions::default() };
    let options = SessionOptions { context, ..SessionOptions::default() };
    stops(&model, &options)?;
    files_and_forks(&model, &options)?;
    guesses(&model, &options)?;
    close(&model, &options)
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A reply of `text`, token by token.
fn forced(model: &Model, text: &str) -> Result<GenerationOptions, Box<dyn Error>> {
    let forced = model.tokenizer().encode(text, SpecialTokens::AsText, false)?;
    let sampler = SamplerOptions::greedy();
    Ok(GenerationOptions { max_tokens: forced.len(), forced, sampler, ..GenerationOptions::default() })
}

/// A text of about `tokens` tokens.
fn text_of(model: &Model, tokens: usize) -> Result<String, Box<dyn Error>> {
    let per_copy = model.tokenizer().count(SOURCE, SpecialTokens::AsText, false)?;
    Ok((0..tokens.div_ceil(per_copy)).map(|i| format!("{i}. {SOURCE}\n")).collect())
}

/// From the call of `stop` to the end of the stream, in the middle of a prompt and in the middle of a reply.
fn stops(model: &Arc<Model>, options: &SessionOptions) -> Result<(), Box<dyn Error>> {
    let session = Session::new(model, options.clone())?;
    let (prompt, reply) = (text_of(model, 600)?, forced(model, CREATIVE)?);
    for (what, input, after_first) in [("a prompt", prompt, false), ("a reply", "Tell me a story.".to_owned(), true)] {
        let mut times = Vec::new();
        for i in 0..STOPS {
            session.trim(Trim::Cache)?;
            let mut stream = session.stream(input.as_str(), &reply)?;
            if after_first {
                while !matches!(stream.next(), Some(Ok(Event::Text(_))) | None) {}
            }
            std::thread::sleep(Duration::from_millis(50 + 7 * i as u64));
            let start = Instant::now();
            stream.stop();
            stream.by_ref().for_each(drop);
            times.push(ms(start.elapsed()));
        }
        let worst = times.iter().copied().fold(0.0, f64::max);
        println!("stop in the middle of {what}: median {:.1} ms, worst of {STOPS} {worst:.1} ms", median(times));
    }
    Ok(())
}

/// From the call of `close` in the middle of a reply to its return, beside the time of one token of that reply.
fn close(model: &Arc<Model>, options: &SessionOptions) -> Result<(), Box<dyn Error>> {
    let session = Session::new(model, options.clone())?;
    let mut stream = session.stream("Tell me a story.", &forced(model, CREATIVE)?)?;
    let mut pieces = Vec::new();
    while pieces.len() < STOPS && matches!(stream.next(), Some(Ok(_))) {
        pieces.push(Instant::now());
    }
    let token = median(pieces.windows(2).map(|pair| ms(pair[1] - pair[0])).collect());
    let start = Instant::now();
    model.close();
    println!("close in the middle of a reply: {:.1} ms, where a token takes {token:.1} ms", ms(start.elapsed()));
    Ok(())
}

fn files_and_forks(model: &Arc<Model>, options: &SessionOptions) -> Result<(), Box<dyn Error>> {
    let session = Session::new(model, options.clone())?;
    let one = GenerationOptions { max_tokens: 1, sampler: SamplerOptions::greedy(), ..GenerationOptions::default() };
    let start = Instant::now();
    let read = session.respond(text_of(model, LONG)?, &one)?;
    let reading = ms(start.elapsed());
    let path = std::env::temp_dir().join(format!("sprat-measure-{}", std::process::id()));
    let start = Instant::now();
    session.save(&path)?;
    let saving = ms(start.elapsed());
    let bytes = std::fs::metadata(&path)?.len();
    let mut restoring = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let restored = Session::restore(model, &path, options.clone())?;
        restoring.push(ms(start.elapsed()));
        assert_eq!(restored.tokens_used(), session.tokens_used());
    }
    std::fs::remove_file(&path)?;
    let restoring = median(restoring);
    println!(
        "{} tokens: read in {reading:.0} ms; saved in {saving:.0} ms ({:.1} MB); restored in {restoring:.1} ms, {:.0}x sooner",
        read.prompt_tokens,
        bytes as f64 / 1e6,
        reading / restoring
    );
    let before = model.anonymous_bytes();
    let start = Instant::now();
    let fork = session.fork()?;
    let forking = start.elapsed();
    let at_once = model.anonymous_bytes() - before;
    fork.respond("Go on.", &one)?;
    let (kv, scratch) = (fork.memory().kv, fork.memory().scratch);
    let copied = model.anonymous_bytes() - before - scratch;
    println!(
        "a fork takes {:.0} us and {at_once} bytes; after its first turn {:.2} MB of its cache's {:.1} MB are its own",
        forking.as_secs_f64() * 1e6,
        copied as f64 / 1e6,
        kv as f64 / 1e6
    );
    Ok(())
}

/// Seconds for a reply with and without guessing, alternating.
fn guesses(model: &Arc<Model>, options: &SessionOptions) -> Result<(), Box<dyn Error>> {
    let ask = format!("Correct this text: {SOURCE}");
    for (what, prompt, reply) in
        [("copies", ask.as_str(), corrected()), ("is new", "Tell me a story.", CREATIVE.to_owned())]
    {
        let reply = forced(model, &reply)?;
        let mut speeds = [Vec::new(), Vec::new()];
        let mut guessed = 0;
        for _ in 0..ROUNDS {
            for (guess, speeds) in [true, false].into_iter().zip(&mut speeds) {
                let session = Session::new(model, options.clone())?;
                let reply = session.respond(Input::from(prompt), &GenerationOptions { guess, ..reply.clone() })?;
                speeds.push(reply.tokens_per_s);
                guessed = guessed.max(reply.guessed_tokens);
            }
        }
        let [with, without] = speeds.map(median);
        println!(
            "a reply that {what}: {with:.2} tokens/s with guesses ({guessed} of {} right), {without:.2} without: {:+.1} %",
            reply.max_tokens,
            100.0 * (with / without - 1.0)
        );
    }
    Ok(())
}
