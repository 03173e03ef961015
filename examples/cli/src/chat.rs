//! `sprat chat`: a conversation in the terminal.

use std::io::{BufRead, IsTerminal};
use std::sync::{Arc, Mutex, PoisonError};

use sprat::error::SavedFault;
use sprat::{Error, Event, Input, Model, SavedSession, Session, StopReason};

use crate::args::Args;
use crate::failure::{Failure, print};
use crate::run::cancel_on_ctrl_c;

const HELP: &str = "\
/undo        forget the last turn
/regenerate  answer the last message again
/save FILE   write the conversation to a file
/load FILE   go on with one that was saved
/tokens      tokens in the context
/memory      memory in use
/quit        leave (as does the end of input)
Ctrl-C       cancel the reply that is being written";

/// Reads a line, answers it, until the input ends.
pub fn chat(args: &Args) -> Result<(), Failure> {
    let model = args.open()?;
    let mut session = args.open_session(&model)?;
    let current = Arc::new(Mutex::new(session.clone()));
    cancel_on_ctrl_c(current.clone());
    let interactive = std::io::stdin().is_terminal();
    if interactive {
        print(&format!("{}: /help lists what else can be said\n", model.info().name))?;
    }
    let mut input = std::io::stdin().lock();
    let mut line = String::new();
    loop {
        if interactive {
            print("> ")?;
        }
        line.clear();
        let read = input.read_line(&mut line);
        if read.map_err(|source| Failure::Io { what: "standard input".to_owned(), source })? == 0 {
            return Ok(());
        }
        let (command, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        match (command, rest.trim()) {
            ("", _) => {}
            ("/quit", "") => return Ok(()),
            ("/help", "") => print(&format!("{HELP}\n"))?,
            ("/undo", "") => print(if session.undo()?.is_some() { "undone\n" } else { "there is no turn to undo\n" })?,
            ("/tokens", "") => print(&format!("{} of {} tokens\n", session.tokens_used(), session.context_limit()))?,
            ("/memory", "") => print(&format!("{}\n", session.memory()))?,
            ("/regenerate", "") => turn(&session, Input::Regenerate, args)?,
            ("/save" | "/load", "") => print("to or from which FILE?\n")?,
            ("/save", file) => match session.save(file) {
                Ok(()) => print("saved\n")?,
                Err(error) => print(&format!("({error})\n"))?,
            },
            ("/load", file) => match load(&model, file, args) {
                Ok(loaded) => {
                    session = loaded;
                    *current.lock().unwrap_or_else(PoisonError::into_inner) = session.clone();
                    print(&format!("{} messages\n", session.transcript().len()))?;
                }
                Err(error) => print(&format!("({error})\n"))?,
            },
            _ => turn(&session, line.trim().into(), args)?,
        }
    }
}

/// Takes up a saved conversation; one of another model or version by reading its transcript anew.
fn load(model: &Arc<Model>, file: &str, args: &Args) -> Result<Session, Error> {
    match Session::restore(model, file, args.session_options()) {
        Err(Error::Saved { fault: SavedFault::OtherModel | SavedFault::Damaged { part: "cache" }, .. }) => {
            let session = Session::new(model, args.session_options())?;
            session.set_transcript(SavedSession::open(file)?.transcript().to_vec())?;
            Ok(session)
        }
        session => session,
    }
}

fn turn(session: &Session, input: Input, args: &Args) -> Result<(), Failure> {
    let events = match session.stream(input, &args.generation) {
        Err(error @ Error::Transcript { .. }) => return print(&format!("({error})\n")),
        events => events?,
    };
    for event in events {
        match event {
            Ok(Event::Text(piece) | Event::Thinking(piece)) => print(&piece)?,
            Ok(Event::Done(reply)) if reply.stop == StopReason::MaxTokens => {
                let n = reply.generated_tokens;
                print(&format!("\n(the reply was cut off at {n} tokens: --max-tokens allows more)\n"))?;
            }
            Ok(Event::Done(_)) => print("\n")?,
            // Without tools there are no calls.
            Ok(Event::ToolCall(_) | Event::ToolCallFailed { .. }) => {}
            Err(Error::Stopped) => print("\n(cancelled: the conversation is as before this turn)\n")?,
            Err(error @ Error::ContextFull { .. }) => print(&format!("\n({error}; /undo makes room)\n"))?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
