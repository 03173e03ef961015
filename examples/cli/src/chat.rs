//! `sprat chat`: a conversation in the terminal.

use std::io::{BufRead, IsTerminal};

use sprat::{Error, Session, Stop, StopReason};

use crate::args::Args;
use crate::failure::{Failure, print};
use crate::run::cancel_on_ctrl_c;

const HELP: &str = "\
/undo        forget the last turn
/regenerate  answer the last message again
/tokens      tokens in the context
/memory      memory in use
/quit        leave (as does the end of input)
Ctrl-C       cancel the reply that is being written";

/// Reads a line, answers it, until the input ends.
pub fn chat(args: &Args) -> Result<(), Failure> {
    let model = args.open()?;
    let mut session = Session::new(&model, args.session_options())?;
    let stop = Stop::default();
    cancel_on_ctrl_c(&stop);
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
        match line.trim() {
            "" => {}
            "/quit" => return Ok(()),
            "/help" => print(&format!("{HELP}\n"))?,
            "/undo" => print(if session.undo() { "undone\n" } else { "there is no turn to undo\n" })?,
            "/tokens" => print(&format!("{} of {} tokens\n", session.used(), session.limit()))?,
            "/memory" => print(&format!("{}\n", session.memory()))?,
            "/regenerate" => match session.undo_to_prompt() {
                Some(prompt) => turn(&mut session, &prompt, args, &stop)?,
                None => print("there is no turn to answer again\n")?,
            },
            prompt => turn(&mut session, prompt, args, &stop)?,
        }
    }
}

fn turn(session: &mut Session, prompt: &str, args: &Args, stop: &Stop) -> Result<(), Failure> {
    let mut failed = None;
    let reply = session.respond(prompt, &args.generation, stop, &mut |piece| {
        if let Err(error) = print(piece) {
            failed = Some(error);
            stop.stop();
        }
    });
    if let Some(failure) = failed {
        return Err(failure);
    }
    match reply {
        Ok(reply) if reply.stop == StopReason::MaxTokens => {
            let n = reply.generated_tokens;
            print(&format!("\n(the reply was cut off at {n} tokens: --max-tokens allows more)\n"))
        }
        Ok(_) => print("\n"),
        Err(Error::Stopped) => print("\n(cancelled: the conversation is as before this turn)\n"),
        Err(error @ Error::ContextFull { .. }) => print(&format!("\n({error}; /undo makes room)\n")),
        Err(error) => Err(error.into()),
    }
}
