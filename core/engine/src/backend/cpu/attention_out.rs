//! Stage 3: output rows of attention, or of what stands for it.

use sprat_kernels::Activation;

use super::buffers::Kinds;
use super::pass::{Pass, Worker};
use super::project::{Input, To};
use crate::error::Error;
use crate::weights::Mixer;

impl Worker<'_> {
    /// Stage 3: output rows of attention.
    pub fn attention_out(&mut self, index: usize) -> Result<(), Error> {
        self.collect(index)?;
        let layer = &self.pass.weights.layers[index];
        let out = (layer.mixer.out(), Input::Attention, To::Y);
        match &layer.low_rank {
            None => self.project_to(&[out]),
            Some(path) => self.project_to(&[out, (&path.right, Input::LowRank, To::Side(0))]),
        }
    }

    /// The output of attention as input of stage 3.
    fn collect(&mut self, index: usize) -> Result<(), Error> {
        let Pass { isa, config, weights, buffers, .. } = *self.pass;
        let width = config.layers[index].mixed_width();
        let kinds = Kinds::of([weights.layers[index].mixer.out()]);
        let (pass, normed) = (self.pass, &mut self.local.normed[..width]);
        if self.rows.len() == 1 {
            let attended = pass.attended(index, self.rows.start, width, normed);
            // SAFETY: the set is this worker's own.
            unsafe { self.local.attention_input.store(isa, kinds, width, 0, 0, attended) };
            return Ok(());
        }
        let first = self.rows.start;
        while let Some(chunk) = self.team.chunk(self.rows.len(), 4) {
            for i in chunk.start + first..chunk.end + first {
                let attended = pass.attended(index, i, width, normed);
                // SAFETY: token `i` is in this worker's chunk.
                unsafe { buffers.attention_input.store(isa, kinds, width, i, 0, attended) };
            }
        }
        self.team.barrier()
    }
}

impl<'a> Pass<'a> {
    /// One token's output of attention `[width]`, with what only a whole token can get; `spare` is as long.
    fn attended<'b>(&self, index: usize, row: usize, width: usize, spare: &'b mut [f32]) -> &'b [f32]
    where
        'a: 'b,
    {
        let part = row * width..(row + 1) * width;
        // SAFETY: the stage before wrote `attended`, and nobody writes it in this one.
        let attended = unsafe { self.buffers.attended.get(part.clone()) };
        let layer = &self.weights.layers[index];
        match (&layer.mixer, &self.config.layers[index].recurrent) {
            (Mixer::Attention(layer), _) if layer.gated => {
                // SAFETY: an earlier stage wrote the gates.
                spare.copy_from_slice(unsafe { self.buffers.gates.get(part) });
                self.isa.activate(Activation::Sigmoid, spare);
                self.isa.multiply(spare, attended);
                spare
            }
            (Mixer::Scan(layer), Some(dims)) if layer.beta.is_none() => {
                self.norm_groups(layer, dims, attended, spare);
                spare
            }
            _ => attended,
        }
    }
}
