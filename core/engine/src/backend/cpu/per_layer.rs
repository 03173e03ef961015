//! Inputs that each layer has of its own for each token: made before the first layer, gated by the stream behind each.

use super::buffers::{Kinds, Local};
use super::pass::{Pass, Worker};
use super::project::{Input, Target};
use super::stream::{Absorb, Others, Pending};
use crate::error::Error;

impl Worker<'_> {
    /// Makes the inputs of all layers: the token's own rows and a normed projection of what begins the stream, each of
    /// which is worth half.
    pub fn per_layer_inputs(&mut self) -> Result<(), Error> {
        let Pass { isa, config, weights, file, tokens, buffers, .. } = *self.pass;
        let Some(inputs) = &weights.per_layer else { return Ok(()) };
        self.absorb(&Absorb::plain(None))?;
        let (size, layers) = (config.per_layer_input, config.layers.len());
        let bytes = inputs.embedding.format.row_bytes(size);
        let half = std::f32::consts::FRAC_1_SQRT_2;
        while let Some(chunk) = self.team.chunk(layers, 1) {
            for layer in chunk {
                let columns = layer * size..(layer + 1) * size;
                self.project(&inputs.projection, columns, Input::Stream, Target::Out);
                let Local { out, normed, .. } = &mut *self.local;
                for (row, projected) in self.rows.clone().zip(out.chunks_exact_mut(size)) {
                    let start = (row * layers + layer) * size;
                    // SAFETY: this layer is in this worker's chunk.
                    let to = unsafe { buffers.per_layer.get_mut(start..start + size) };
                    let token = tokens[row] as usize;
                    let own = &inputs.embedding.rows(file, token..token + 1)[layer * bytes..(layer + 1) * bytes];
                    isa.dequantize(inputs.embedding.format, own, to);
                    isa.scale(to, (size as f32).sqrt() * half);
                    isa.scale(projected, 1.0 / (config.dim as f32).sqrt());
                    self.pass.norm(&inputs.norm, projected, &mut normed[..size]);
                    isa.add_scaled(to, &normed[..size], half);
                }
            }
        }
        self.team.barrier()
    }

    /// Brings a layer's own input, gated by the stream, into the stream.
    pub fn per_layer(&mut self, index: usize) -> Result<(), Error> {
        let Pass { isa, config, weights, buffers, .. } = *self.pass;
        let layer = &weights.layers[index];
        let Some(per_layer) = &layer.per_layer else { return Ok(()) };
        let pending = Some(Pending::of_feed_forward(layer, false));
        let others = layer.streams.as_ref().map(Others::Correct);
        self.absorb(&Absorb { others, ..Absorb::plain(pending) })?;
        let (size, layers) = (config.per_layer_input, config.layers.len());
        let kinds = Kinds::of([&per_layer.out]);
        while let Some(columns) = self.team.chunk(size, self.activated_piece(&per_layer.out)) {
            self.project(&per_layer.gate, columns.clone(), Input::Stream, Target::Out);
            for (row, gate) in self.rows.clone().zip(self.local.out.chunks_exact_mut(columns.len())) {
                let start = (row * layers + index) * size;
                // SAFETY: the inputs were written before the first layer; these columns are in this worker's chunk.
                unsafe {
                    let input = buffers.per_layer.get(start + columns.start..start + columns.end);
                    isa.gated(config.spec.activation, gate, input);
                    buffers.per_layer_gated.store(isa, kinds, size, row, columns.start, gate);
                }
            }
        }
        self.team.barrier()?;
        self.project_to_y(&per_layer.out, Input::PerLayer)
    }
}
