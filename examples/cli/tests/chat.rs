//! `sprat chat` as a person uses it: its commands, and Ctrl-C in the middle of a reply.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A conversation with the bundled model over pipes.
struct Chat {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Chat {
    fn new(options: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sprat"));
        let command = command.arg("chat").args(options).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the command starts");
        let (input, output) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        Self { child, input, output: BufReader::new(output) }
    }

    fn say(&mut self, line: &str) {
        self.input.write_all(format!("{line}\n").as_bytes()).expect("it reads");
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("text");
        line.trim_end().to_owned()
    }

    fn ask(&mut self, line: &str) -> String {
        self.say(line);
        self.line()
    }

    fn quit(mut self) {
        self.say("/quit");
        assert!(self.child.wait().expect("it ends").success());
    }
}

const FIVE: &str = r#"{"tool":"set_timer","minutes":5}"#;
const TEN: &str = r#"{"tool":"set_timer","minutes":10}"#;

#[test]
fn each_command_does_what_it_says() {
    let file = std::env::temp_dir().join(format!("sprat-chat-{}", std::process::id()));
    let name = file.display().to_string();
    let mut chat = Chat::new(&[]);
    assert_eq!(chat.ask("/undo"), "there is no turn to undo");
    assert_eq!(chat.ask("/regenerate"), "(the transcript does not allow this: there is no message to answer)");
    assert_eq!(chat.ask("set a timer for five minutes"), FIVE);
    assert_eq!(chat.ask("/regenerate"), FIVE);
    let tokens = chat.ask("/tokens");
    let (used, limit) = tokens.trim_end_matches(" tokens").split_once(" of ").expect("two numbers");
    let [used, limit] = [used, limit].map(|n| n.parse::<usize>().expect("a number"));
    assert!(used > 10 && used < limit, "{tokens}");
    let memory = chat.ask("/memory");
    assert!(memory.contains("MB KV cache") && !memory.contains(" 0.0 MB KV"), "{memory}");
    assert_eq!(chat.ask("/save"), "to or from which FILE?");
    assert_eq!(chat.ask(&format!("/save {name}")), "saved");
    assert_eq!(chat.ask("set a timer for ten minutes"), TEN);
    assert_eq!(chat.ask("/undo"), "undone");
    assert_eq!(chat.ask("/regenerate"), FIVE, "the last turn is the first again");
    assert!(chat.ask("/load /no/such/session").contains("/no/such/session"));
    chat.quit();
    // Another program goes on with it.
    let mut chat = Chat::new(&[]);
    assert_eq!(chat.ask(&format!("/load {name}")), "3 messages");
    assert_eq!(chat.ask("/tokens"), tokens);
    assert_eq!(chat.ask("set a timer for ten minutes"), TEN);
    chat.quit();
    std::fs::remove_file(file).expect("just written");
}

/// Draws among all tokens, so that the reply goes on until the context is full: hundreds of tokens.
const RAMBLING: &str = "--temperature 100 --top-k 0 --top-p 1 --min-p 0 --max-tokens 2000 --seed 1";

#[test]
fn ctrl_c_in_the_middle_of_a_reply_leaves_the_conversation_as_it_was() {
    // A machine may be so busy that the reply ends before the signal comes, which then ends the program.
    let was_cancelled = || {
        let mut chat = Chat::new(&RAMBLING.split(' ').collect::<Vec<_>>());
        chat.say("tell me a story");
        let mut first = [0];
        chat.output.read_exact(&mut first).expect("a reply begins");
        let kill = Command::new("kill").args(["-INT", &chat.child.id().to_string()]).status();
        assert!(kill.expect("there is kill").success());
        loop {
            match chat.line() {
                line if line.starts_with("(cancelled") => break,
                line if line.is_empty() && chat.child.try_wait().expect("a child").is_some() => return false,
                _ => {}
            }
        }
        assert!(chat.ask("/tokens").starts_with("0 of "));
        assert_eq!(chat.ask("/undo"), "there is no turn to undo");
        // And it goes on.
        chat.say("tell me a story");
        chat.output.read_exact(&mut first).expect("a reply begins");
        chat.child.kill().expect("it runs");
        chat.child.wait().expect("it was killed");
        true
    };
    assert!((0..10).any(|_| was_cancelled()), "ten times too late");
}

#[test]
fn ctrl_c_with_no_reply_ends_the_program() {
    let mut chat = Chat::new(&[]);
    assert_eq!(chat.ask("/undo"), "there is no turn to undo");
    let kill = Command::new("kill").args(["-INT", &chat.child.id().to_string()]).status();
    assert!(kill.expect("there is kill").success());
    assert_eq!(chat.child.wait().expect("it ends").code(), Some(130));
}
