//! The command as a person meets it: exit codes, one-line errors, a reader that goes away.

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
