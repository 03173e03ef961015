//! `sprat run`: one prompt through the chat template, the reply alone on standard output.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use sprat::{Event, Session};

use crate::args::Args;
use crate::failure::Failure;

/// Prints the reply to the prompt as it comes.
pub fn run(args: &Args) -> Result<(), Failure> {
    let Some(prompt) = &args.prompt else { return Err(Failure::Usage("run needs a PROMPT".to_owned())) };
    let session = args.open_session(&args.open()?)?;
    cancel_on_ctrl_c(Arc::new(Mutex::new(session.clone())));
    let mut out = std::io::stdout().lock();
    let failed = |source| Failure::Io { what: "standard output".to_owned(), source };
    for event in session.stream(prompt.as_str(), &args.generation)? {
        match event {
            // Where nobody reads on, the stream is dropped: no reason to compute on.
            Ok(Event::Text(piece)) => out.write_all(piece.as_bytes()).and_then(|()| out.flush()).map_err(failed)?,
            Ok(_) => {}
            Err(sprat::Error::Stopped) => return Err(Failure::Cancelled),
            Err(error) => return Err(error.into()),
        }
    }
    writeln!(out).map_err(failed)
}

/// Makes Ctrl-C stop the turn that runs; without one running, or pressed again before it has stopped, it ends the program.
pub fn cancel_on_ctrl_c(current: Arc<Mutex<Session>>) {
    let set = ctrlc::set_handler(move || {
        let session = current.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if session.is_stopping() || !session.is_responding() {
            std::process::exit(130);
        }
        session.stop();
    });
    if set.is_err() {
        eprintln!("sprat: Ctrl-C cannot be caught here; it will end the program");
    }
}
