//! `sprat chat`: a conversation in the terminal.

use std::io::{BufRead, IsTerminal, Write};

use sprat::{Error, Session, SessionOptions, Stop, StopReason};

use crate::args::Args;
use crate::failure::Failure;
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
    let options =
        SessionOptions { instructions: args.system.clone(), context: args.context.clone(), ..Default::default() };
    let model = args.open()?;
    let mut session = Session::new(&model, options)?;
    let stop = Stop::default();
    cancel_on_ctrl_c(&stop);
    let interactive = std::io::stdin().is_terminal();
    if interactive {
        println!("{}: /help lists what else can be said", model.info().name);
    }
    let mut input = std::io::stdin().lock();
    let mut line = String::new();
    loop {
        if interactive {
            print!("> ");
            flush()?;
        }
        line.clear();
        let read = input.read_line(&mut line);
        if read.map_err(|source| Failure::Io { what: "standard input".to_owned(), source })? == 0 {
            return Ok(());
        }
        match line.trim() {
            "" => {}
            "/quit" => return Ok(()),
            "/help" => println!("{HELP}"),
            "/undo" => println!("{}", if session.undo() { "undone" } else { "there is no turn to undo" }),
            "/tokens" => println!("{} of {} tokens", session.used(), session.limit()),
            "/memory" => println!("{}", session.memory()),
            "/regenerate" => match session.undo_to_prompt() {
                Some(prompt) => turn(&mut session, &prompt, args, &stop)?,
                None => println!("there is no turn to answer again"),
            },
            prompt => turn(&mut session, prompt, args, &stop)?,
        }
    }
}

fn turn(session: &mut Session, prompt: &str, args: &Args, stop: &Stop) -> Result<(), Failure> {
    let reply = session.respond(prompt, &args.generation, stop, &mut |piece| {
        print!("{piece}");
        let _shown_later = std::io::stdout().flush();
    });
    match reply {
        Ok(reply) => {
            println!();
            if reply.stop == StopReason::MaxTokens {
                println!("(the reply was cut off at {} tokens: --max-tokens allows more)", reply.generated_tokens);
            }
            Ok(())
        }
        Err(Error::Stopped) => {
            println!("\n(cancelled: the conversation is as before this turn)");
            Ok(())
        }
        Err(error @ Error::ContextFull { .. }) => {
            println!("\n({error}; /undo makes room)");
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

fn flush() -> Result<(), Failure> {
    std::io::stdout().flush().map_err(|source| Failure::Io { what: "standard output".to_owned(), source })
}
