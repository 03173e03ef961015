//! Fuzzing that is guided by coverage, on the stable toolchain: every target of tests/fuzz for a while.

use std::fs;
use std::path::Path;

use crate::error::{Error, Result};
use crate::parts::Context;
use crate::process::Program;

/// What each target gets: all seven in five minutes.
const SECONDS: u32 = 43;

/// What LLVM is told so that libFuzzer sees the branches that an input takes, as cargo-fuzz tells it. The sanitizers that
/// cargo-fuzz adds need a nightly toolchain; without them any stable one serves.
const COVERAGE: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Builds the targets with coverage and runs one after the other, from their good inputs and what earlier runs found
/// worth keeping. A finding lies in tests/fuzz/artifacts, and does not keep the targets behind it from running.
pub fn run(context: &Context) -> Result<()> {
    let version = Program::new(context, "rustc").args(["-vV"]).output()?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
    // With a target named, build scripts and macros go without coverage.
    Program::cargo(context)
        .args(["build", "-p", "sprat-fuzz", "--bins", "--locked", "--target", host])
        .env("RUSTFLAGS", COVERAGE)
        .run(context)?;
    let package = context.root.join("tests/fuzz");
    let mut lines = Vec::new();
    let mut failed = Ok(());
    for name in targets(&package)? {
        let [corpus, artifacts] = ["corpus", "artifacts"].map(|folder| package.join(folder).join(&name));
        for folder in [&corpus, &artifacts] {
            fs::create_dir_all(folder).map_err(|source| Error::File { path: folder.clone(), source })?;
        }
        let log = context.target.join(format!("fuzz-{name}.log"));
        let result = Program::new(context, context.target.join(host).join("debug").join(&name))
            .args([format!("-max_total_time={SECONDS}"), format!("-artifact_prefix={}/", artifacts.display())])
            // A second of the target's own counts; this is for what never ends.
            .args(["-timeout=60", "-rss_limit_mb=2048", "-max_len=65536", "-print_final_stats=1"])
            .args([&corpus])
            .errors_to(&log)?
            .run(context);
        let text = fs::read_to_string(&log).map_err(|source| Error::File { path: log, source })?;
        if result.is_err() {
            let start = text.lines().count().saturating_sub(60);
            text.lines().skip(start).for_each(|line| println!("{line}"));
        }
        lines.push(summary(&name, &text, result.is_ok()));
        failed = failed.and(result);
    }
    println!("\n{:10} {:>10} {:>9} {:>9} {:>9}  findings", "target", "inputs", "places", "features", "seconds");
    lines.iter().for_each(|line| println!("{line}"));
    failed
}

/// The targets' names: those of their source files.
fn targets(package: &Path) -> Result<Vec<String>> {
    let folder = package.join("fuzz_targets");
    let entries = fs::read_dir(&folder).map_err(|source| Error::File { path: folder, source })?;
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".rs")?.to_owned()))
        .collect();
    names.sort();
    Ok(names)
}

/// One line about a target from what libFuzzer wrote: inputs tried, places in the code that were reached.
fn summary(name: &str, log: &str, passed: bool) -> String {
    // `#1024 NEW cov: 812 ft: 2311 corp: 40/12Kb exec/s: 512 …`
    let status = log.lines().rev().find(|line| line.starts_with('#') && line.contains(" cov: ")).unwrap_or_default();
    let behind = |mark: &str| {
        let mut words = status.split_whitespace();
        words.find(|word| *word == mark).and_then(|_| words.next()).unwrap_or("?").to_owned()
    };
    let inputs = status.trim_start_matches('#').split_whitespace().next().unwrap_or("?").to_owned();
    let done = log.lines().find_map(|line| line.strip_prefix("Done ")?.split_once(" runs in "));
    let (inputs, seconds) = match done {
        Some((runs, rest)) => (runs.to_owned(), rest.split(' ').next().unwrap_or("?").to_owned()),
        None => (inputs, "?".to_owned()),
    };
    let findings = if passed { "none" } else { "FOUND: see above" };
    format!("{name:10} {inputs:>10} {:>9} {:>9} {seconds:>9}  {findings}", behind("cov:"), behind("ft:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_says_what_libfuzzer_wrote() {
        let log = "INFO: seed corpus: files: 3\n#4\tINITED cov: 10 ft: 11 corp: 3/1b exec/s: 0 rss: 40Mb\n\
            #9000\tDONE   cov: 812 ft: 2311 corp: 40/12Kb lim: 4096 exec/s: 512 rss: 61Mb\nDone 9000 runs in 44 second(s)\n";
        let line = summary("gguf", log, true);
        assert_eq!(line.split_whitespace().collect::<Vec<_>>(), ["gguf", "9000", "812", "2311", "44", "none"]);
        let cut = summary("gguf", &log[..100], false);
        assert!(cut.contains("10") && cut.contains("FOUND"), "{cut}");
        assert!(summary("gguf", "", false).contains('?'));
    }

    #[test]
    fn every_target_has_a_file_of_its_name() {
        let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz");
        let manifest = fs::read_to_string(package.join("Cargo.toml")).expect("the manifest");
        let names = targets(&package).expect("the folder is there");
        assert_eq!(names.len(), 7);
        for name in names {
            assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
        }
    }
}
