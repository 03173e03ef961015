//! `sprat run`: one prompt through the chat template, the reply alone on standard output.

use std::io::Write;

use sprat::{Session, Stop};

use crate::args::Args;
use crate::failure::Failure;

/// Prints the reply to the prompt as it comes.
pub fn run(args: &Args) -> Result<(), Failure> {
    let Some(prompt) = &args.prompt else { return Err(Failure::Usage("run needs a PROMPT".to_owned())) };
    let mut session = Session::new(&args.open()?, args.session_options())?;
    let stop = Stop::default();
    cancel_on_ctrl_c(&stop);
    let mut out = std::io::stdout().lock();
    let mut failed = None;
    let reply = session.respond(prompt, &args.generation, &stop, &mut |piece| {
        if let Err(error) = out.write_all(piece.as_bytes()).and_then(|()| out.flush()) {
            failed = Some(error);
            // Nobody reads on: no reason to compute on.
            stop.stop();
        }
    });
    if let Some(source) = failed {
        return Err(Failure::Io { what: "standard output".to_owned(), source });
    }
    match reply {
        Ok(_) => writeln!(out).map_err(|source| Failure::Io { what: "standard output".to_owned(), source }),
        Err(sprat::Error::Stopped) => Err(Failure::Cancelled),
        Err(error) => Err(error.into()),
    }
}

/// Makes Ctrl-C stop the turn that runs; without one running it ends the program.
pub fn cancel_on_ctrl_c(stop: &Stop) {
    let stop = stop.clone();
    let set = ctrlc::set_handler(move || {
        if stop.is_stopped() || !stop.is_running() {
            std::process::exit(130);
        }
        stop.stop();
    });
    if set.is_err() {
        eprintln!("sprat: Ctrl-C cannot be caught here; it will end the program");
    }
}
