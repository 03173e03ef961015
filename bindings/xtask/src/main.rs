//! `cargo xtask`: one entry for every test and check of the workspace.

mod aarch64;
mod android;
mod bindings;
mod checks;
mod conformance;
mod elf;
mod error;
mod fuzz;
mod ios;
mod kotlin;
mod metal;
mod needs;
mod package;
mod parts;
mod process;
mod sanitizers;
mod size;
mod swift;

use std::process::ExitCode;

use parts::{PACKAGES, PARTS, Part, SETUP, When};

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Request {
    Run { full: bool, only: Vec<String> },
    Package(&'static str),
    Help,
}

fn main() -> ExitCode {
    let request = match parse(std::env::args().skip(1)) {
        Ok(request) => request,
        Err(message) => {
            eprintln!("xtask: {message}\n\n{}", help());
            return ExitCode::from(2);
        }
    };
    match request {
        Request::Help => {
            println!("{}", help());
            ExitCode::SUCCESS
        }
        Request::Run { full, only } => {
            let all: Vec<&Part> = PARTS.iter().filter(|part| full || part.when == When::Always).collect();
            let named: Vec<&Part> = PARTS.iter().filter(|part| only.iter().any(|name| name == part.name)).collect();
            let passed = match only.as_slice() {
                [] => parts::run(&all, &all),
                [setup] if setup == SETUP => parts::run(&all, &[]),
                _ => parts::run(&named, &named),
            };
            exit(passed)
        }
        Request::Package(name) => {
            let part: Vec<&Part> = PACKAGES.iter().filter(|part| part.name == name).collect();
            exit(parts::run(&part, &part))
        }
    }
}

fn exit(passed: bool) -> ExitCode {
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Reads `test|full [--only NAME]…` or a package's name; the error is one line for the user.
fn parse(mut args: impl Iterator<Item = String>) -> Result<Request, String> {
    let full = match args.next().as_deref() {
        Some("test") => false,
        Some("full") => true,
        None | Some("help" | "--help" | "-h") => return Ok(Request::Help),
        Some(other) => match PACKAGES.iter().find(|package| package.name == other) {
            Some(package) => match args.next() {
                None => return Ok(Request::Package(package.name)),
                Some(option) => return Err(format!("unknown option `{option}`")),
            },
            None => return Err(format!("unknown command `{other}`")),
        },
    };
    let mut only = Vec::new();
    while let Some(arg) = args.next() {
        let name = match arg.strip_prefix("--only=") {
            Some(name) => name.to_owned(),
            None if arg == "--only" => args.next().ok_or("--only needs the name of a part")?,
            None if arg == "--help" || arg == "-h" => return Ok(Request::Help),
            None => return Err(format!("unknown option `{arg}`")),
        };
        if name != SETUP && !PARTS.iter().any(|part| part.name == name) {
            return Err(format!("no part is called `{name}`"));
        }
        only.push(name);
    }
    Ok(Request::Run { full, only })
}

fn help() -> String {
    let mut text = String::from(
        "cargo xtask test [--only NAME]…   everyday checks, or the named parts alone\n\
         cargo xtask full [--only NAME]…   everyday checks and the long ones\n",
    );
    for package in PACKAGES {
        let command = format!("cargo xtask {}", package.name);
        text += &format!("{command:33} {}\n", package.what);
    }
    text += "\nparts:\n";
    text += &format!("  {SETUP:12} installs what is missing; part of every run\n");
    for part in PARTS {
        let note = if part.when == When::Full { " (full only)" } else { "" };
        text += &format!("  {:12} {}{note}\n", part.name, part.what);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_words(line: &str) -> Result<Request, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn both_spellings_of_only_name_a_part() {
        let wanted = Request::Run { full: false, only: vec!["fmt".into(), "doc".into()] };
        assert_eq!(parse_words("test --only fmt --only=doc"), Ok(wanted));
        assert_eq!(parse_words("full"), Ok(Request::Run { full: true, only: Vec::new() }));
        assert_eq!(parse_words("android"), Ok(Request::Package("android")));
    }

    #[test]
    fn wrong_usage_is_an_error_that_names_the_word() {
        for (line, word) in [
            ("tset", "tset"),
            ("android --fast", "--fast"),
            ("test --only", "--only"),
            ("test --only nosuch", "nosuch"),
            ("test --quick", "--quick"),
        ] {
            let message = parse_words(line).expect_err(line);
            assert!(message.contains(word), "{line}: {message}");
        }
    }

    #[test]
    fn part_names_are_distinct() {
        for (i, part) in PARTS.iter().enumerate() {
            assert!(PARTS[..i].iter().all(|other| other.name != part.name), "{}", part.name);
        }
    }
}
