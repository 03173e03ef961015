//! A reply while it is made.

use std::future::poll_fn;
use std::sync::Arc;

use crate::error::FfiError;
use crate::event::Event;

/// A reply that is on its way. Dropping it stops the work.
#[derive(uniffi::Object)]
pub struct ReplyStream(pub(crate) sprat::ReplyStream);

impl ReplyStream {
    pub(crate) fn new(stream: sprat::ReplyStream) -> Arc<Self> {
        Arc::new(Self(stream))
    }
}

#[uniffi::export]
impl ReplyStream {
    /// What has come since the last call, at least one event; empty at the end, also after a stop. One caller at a time.
    /// Cancelling the call loses nothing.
    pub async fn next_batch(&self) -> Result<Vec<Event>, FfiError> {
        match poll_fn(|context| self.0.poll_batch(context)).await {
            Err(sprat::Error::Stopped) => Ok(Vec::new()),
            batch => Ok(batch?.into_iter().map(Event::from).collect()),
        }
    }

    /// Stops the work, from any thread.
    pub fn stop(&self) -> Result<(), FfiError> {
        self.0.stop();
        Ok(())
    }
}
