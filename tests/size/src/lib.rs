//! The engine as a shared library: one exported function that reaches whatever an app can, so that nothing is dropped.

use std::sync::Arc;

use sprat::{Error, GenerationOptions, Model, Session, SessionOptions};

/// Holds a conversation with the model that `SPRAT_MODEL` names. Linked and measured, never called.
// SAFETY: no other library in the process defines this name; it takes and returns nothing that could be misused.
#[unsafe(no_mangle)]
pub extern "C" fn sprat_size() -> usize {
    converse().unwrap_or_else(|error| error.to_string().len())
}

fn converse() -> Result<usize, Error> {
    let model = Arc::new(Model::open(std::env::var_os("SPRAT_MODEL").unwrap_or_default())?);
    let session = Session::new(&model, SessionOptions::default())?;
    let events = session.fork()?.stream("", &GenerationOptions::default())?.next_batch()?;
    let reply = session.respond("", &GenerationOptions::default())?;
    Ok(events.len() + reply.text.len() + session.memory().kv)
}
