//! Every target over its seeds and over blind changes to them: no panic of any thread, whoever catches it, and no input
//! that takes long. `cargo test -p sprat-fuzz --test blind -- TARGET RUNS [FIRST]` runs one target for longer, from another
//! first number.

use std::panic;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sprat_fuzz::{LONGEST, TARGETS, Target};
use sprat_tests::small::Random;

/// Set by a panic of any thread.
static PANICKED: AtomicBool = AtomicBool::new(false);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        PANICKED.store(true, Ordering::SeqCst);
        usual(info);
    }));
    let number = |i: usize| arguments.get(i).and_then(|word| word.parse().ok());
    match arguments.first() {
        None => TARGETS.iter().for_each(|target| run(target, target.everyday_runs, 1)),
        Some(name) => {
            // Cargo hands names of tests to every binary.
            let Some(target) = Target::named(name) else { return };
            run(target, number(1).unwrap_or(target.everyday_runs), number(2).unwrap_or(1) as u64);
        }
    }
}

fn run(target: &Target, runs: usize, first: u64) {
    let seeds = (target.seeds)();
    // The first input also waits for what all of them share.
    one(target, &seeds[0], "the first seed");
    let start = Instant::now();
    let mut slowest = Duration::ZERO;
    for (i, seed) in seeds.iter().enumerate() {
        slowest = slowest.max(one(target, seed, &format!("seed {i}")));
    }
    for round in 0..runs as u64 {
        let mut random = Random((first << 32) + round);
        let input = changed(&mut random, &seeds);
        slowest = slowest.max(one(target, &input, &format!("run {round} from {first}")));
    }
    println!(
        "{}: {} seeds and {runs} changes in {:.1} s, the slowest {:.0} ms",
        target.name,
        seeds.len(),
        start.elapsed().as_secs_f64(),
        1e3 * slowest.as_secs_f64()
    );
}

fn one(target: &Target, input: &[u8], which: &str) -> Duration {
    let start = Instant::now();
    let result = panic::catch_unwind(|| target.time(input));
    let took = *result.as_ref().unwrap_or(&start.elapsed());
    if result.is_err() || PANICKED.load(Ordering::SeqCst) || took > LONGEST {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-finding", target.name));
        std::fs::write(&path, input).expect("a temporary folder");
        println!("{}: {which}: failed after {took:?}; the input is in {}", target.name, path.display());
        std::process::exit(1);
    }
    took
}

/// A seed with some changes.
fn changed(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut input = seeds[random.below(seeds.len())].clone();
    for _ in 0..1 + random.below(4) {
        change(random, &mut input, seeds);
    }
    input
}

fn change(random: &mut Random, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
    let at = random.below(input.len() + 1);
    let len = 1 + random.below(16);
    let end = (at + len).min(input.len());
    match random.below(7) {
        0 => input[at..end].iter_mut().for_each(|byte| *byte ^= 1 << random.below(8)),
        1 => input[at..end].iter_mut().for_each(|byte| *byte = random.bits() as u8),
        2 => _ = input.drain(at..end),
        3 => {
            let part = input[at..end].to_vec();
            let to = random.below(input.len() + 1);
            _ = input.splice(to..to, part);
        }
        4 => {
            let other = &seeds[random.below(seeds.len())];
            let from = random.below(other.len() + 1);
            let part = other[from..(from + 4 * len).min(other.len())].to_vec();
            _ = input.splice(at..end, part);
        }
        5 => {
            // A number that lies: powers of two, one less, and their like.
            let lie = (1u64 << random.below(64)).wrapping_sub(random.below(2) as u64).to_le_bytes();
            let width = [1, 2, 4, 8][random.below(4)];
            let end = (at + width).min(input.len());
            let part = &lie[..end - at];
            input[at..end].copy_from_slice(part);
        }
        _ => input.truncate(at),
    }
}
