//! Stage 3: output rows of attention.

use super::buffers::Kinds;
use super::pass::{Pass, Worker};
use super::project::Input;
use crate::config::LayerConfig;
use crate::error::Error;

impl Worker<'_> {
    /// Stage 3: output rows of attention.
    pub fn attention_out(&mut self, index: usize) -> Result<(), Error> {
        let out = &self.pass.weights.layers[index].attention.out;
        self.collect(&self.pass.config.layers[index], Kinds::of([out]))?;
        self.project_to_y(out, Input::Attention)
    }

    /// The output of attention as input of stage 3.
    fn collect(&mut self, dims: &LayerConfig, kinds: Kinds) -> Result<(), Error> {
        let Pass { isa, buffers, .. } = *self.pass;
        let width = dims.n_heads * dims.value_dim;
        if self.single() {
            let row = self.rows.start;
            // SAFETY: the stage before wrote `attended`; the set is this worker's own.
            unsafe {
                let attended = buffers.attended.get(row * width..(row + 1) * width);
                self.local.attention_input.store(isa, kinds, width, 0, 0, attended);
            }
            return Ok(());
        }
        let first = self.rows.start;
        while let Some(chunk) = self.team.chunk(self.rows.len(), 4) {
            for i in chunk.start + first..chunk.end + first {
                // SAFETY: the stage before wrote `attended`; token `i` is in this worker's chunk.
                unsafe {
                    let attended = buffers.attended.get(i * width..(i + 1) * width);
                    buffers.attention_input.store(isa, kinds, width, i, 0, attended);
                }
            }
        }
        self.team.barrier()
    }
}
