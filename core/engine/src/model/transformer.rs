//! The transformer, written once over the stages.

use crate::backend::cpu::Worker;
use crate::error::Error;

/// One worker's way through a forward pass. Every worker runs this and meets the others at the end of each stage.
pub fn run(worker: &mut Worker<'_>) -> Result<(), Error> {
    worker.embed()?;
    worker.per_layer_inputs()?;
    worker.begin_streams()?;
    let layers = worker.layers();
    for layer in 0..layers {
        worker.ask_ahead(layer);
        worker.attention_in(layer)?;
        if layer + 1 == layers {
            // Cache and states are complete; the rest of the last layer serves the logits alone.
            if worker.nothing_wanted() {
                return Ok(());
            }
            worker.keep_wanted();
        }
        worker.attention(layer)?;
        worker.attention_out(layer)?;
        worker.feed_forward_in(layer)?;
        worker.feed_forward_out(layer)?;
        worker.per_layer(layer)?;
    }
    worker.logits()
}
