//! The command as a person meets it: exit codes, one-line errors, a reader that goes away.

use std::io::Write;
use std::process::{Command, Output, Stdio};

fn sprat(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sprat")).args(args).output().expect("the command starts")
}

#[test]
fn wrong_usage_is_exit_code_2_and_shows_the_usage() {
    for args in [
        &[][..],
        &["dance"],
        &["run"],
        &["run", "--temperature", "nine", "hello"],
        &["bench", "--threads", "0"],
        &["logits", "--tokens", "1,x"],
        &["inspect", "--no-such-option"],
    ] {
        let output = sprat(args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains("usage: sprat"), "{args:?}: {said}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn what_cannot_be_opened_is_exit_code_1_and_one_line_that_names_it() {
    for args in [&["run", "--model", "/no/such.gguf", "hello"][..], &["inspect", "--model", "/no/such.gguf"]] {
        let output = sprat(args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        assert!(said.contains("/no/such.gguf") && said.trim_end().lines().count() == 1, "{args:?}: {said}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sprat"))
        .arg("help")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

/// What README.md shows below `sprat chat`: `> ` and what is asked, then the reply.
fn turns_of_readme() -> (Vec<String>, Vec<String>) {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md")).expect("README.md");
    let block = readme.split("```text\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block of turns");
    let (asked, replies): (Vec<&str>, Vec<&str>) = block.lines().partition(|line| line.starts_with("> "));
    (asked.iter().map(|line| line[2..].to_owned()).collect(), replies.iter().map(|line| (*line).to_owned()).collect())
}

#[test]
fn the_bundled_model_answers_as_the_readme_shows() {
    let (asked, replies) = turns_of_readme();
    assert!(asked.len() >= 5 && asked.len() == replies.len(), "{asked:?} {replies:?}");
    let mut child = Command::new(env!("CARGO_BIN_EXE_sprat"))
        .arg("chat")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the command starts");
    let mut input = child.stdin.take().expect("it was asked for");
    input.write_all((asked.join("\n") + "\n").as_bytes()).expect("it reads");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8(output.stdout).expect("text");
    assert_eq!(said.lines().collect::<Vec<_>>(), replies);
}

#[test]
fn what_the_bundled_model_is_told_can_be_changed() {
    for (system, reply) in
        [("Tools: set_timer", r#"{"tool":"set_timer","minutes":5}"#), ("Tools: weather", "I have no timer tool here.")]
    {
        let output = sprat(&["run", "--system", system, "Set a timer for five minutes"]);
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim_end(), reply, "{output:?}");
    }
}
