//! Gated delta nets and selective state spaces: a region of projections and their convolution, then one of heads, each of
//! which takes all tokens through its state in order.

use std::ops::Range;

use sprat_kernels::{Activation, DeltaToken, SpaceToken};

use super::buffers::Local;
use super::pass::{CHUNK_BYTES, Pass, Worker};
use super::project::{Input, Target};
use super::shared::Shared;
use crate::config::{RecurrentConfig, RecurrentKind};
use crate::error::Error;
use crate::weights::Scan;

/// Rows of a head's state that take all tokens before the next rows do: 8 KB of 128 columns, so they stay in the first
/// cache.
const STATE_ROWS: usize = 16;

/// What scans leave for their second region.
pub struct Scanned {
    /// Convolved channels, `[rows, channels]`.
    mixed: Shared<f32>,
    /// How much of the state stays, `[rows, heads]`.
    decay: Shared<f32>,
    /// How much is written, `[rows, heads]`.
    step: Shared<f32>,
}

/// A piece of work of the first region.
#[derive(Clone)]
enum Item {
    /// Channels that are convolved; `unit` is the length they get, where they get one.
    Convolved { columns: Range<usize>, unit: Option<f32> },
    /// Columns of the gate.
    Gate(Range<usize>),
    /// Decay, and in a state space the step.
    Step,
    /// How much a delta net writes.
    Beta,
}

impl Scanned {
    pub fn new(layers: &[&RecurrentConfig], rows: usize) -> Result<Self, Error> {
        let max = |f: fn(&RecurrentConfig) -> usize| layers.iter().map(|layer| f(layer)).max().unwrap_or(0);
        let heads = rows * max(|layer| layer.heads);
        let channels = max(|layer| if layer.heads > 0 { layer.channels } else { 0 });
        Ok(Self { mixed: Shared::new(rows * channels)?, decay: Shared::new(heads)?, step: Shared::new(heads)? })
    }

    pub fn bytes(&self) -> usize {
        self.mixed.bytes() + self.decay.bytes() + self.step.bytes()
    }
}

impl Item {
    /// How many there are.
    fn count(dims: &RecurrentConfig) -> usize {
        2 * dims.groups + 2 * dims.heads + 1 + usize::from(dims.kind == RecurrentKind::DeltaNet)
    }

    fn of(dims: &RecurrentConfig, item: usize) -> Self {
        let RecurrentConfig { groups, heads, state_size: size, head_dim, .. } = *dims;
        let [read, written, values] = dims.parts();
        let columns = |start: usize, n: usize, size: usize| start + n * size..start + (n + 1) * size;
        let is_delta = dims.kind == RecurrentKind::DeltaNet;
        // A delta net's queries are scaled like those of attention, by 1 / sqrt(size).
        let unit = |scale: f32| Some(scale).filter(|_| is_delta);
        let root = (size as f32).sqrt();
        if item < groups {
            return Self::Convolved { columns: columns(read, item, size), unit: unit(1.0 / root) };
        }
        let item = item - groups;
        if item < groups {
            return Self::Convolved { columns: columns(written, item, size), unit: unit(1.0) };
        }
        let item = item - groups;
        match item.checked_sub(heads) {
            None => Self::Convolved { columns: columns(values, item, head_dim), unit: None },
            Some(item) if item < heads => Self::Gate(columns(0, item, head_dim)),
            Some(item) if item == heads => Self::Step,
            Some(_) => Self::Beta,
        }
    }
}

impl Worker<'_> {
    /// First region: everything that the heads read.
    pub(super) fn scan_in(&mut self, layer: &Scan, dims: &RecurrentConfig) -> Result<(), Error> {
        let bytes = layer.convolved.matrix.row_bytes() * dims.head_dim.max(dims.state_size);
        let size = if self.single() { (CHUNK_BYTES / bytes).max(1) } else { 1 };
        while let Some(chunk) = self.team.chunk(Item::count(dims), size) {
            for item in chunk {
                self.scan_item(layer, dims, Item::of(dims, item));
            }
        }
        self.team.barrier()
    }

    fn scan_item(&mut self, layer: &Scan, dims: &RecurrentConfig, item: Item) {
        let Pass { isa, file, buffers, config, .. } = *self.pass;
        let (linear, columns) = match &item {
            Item::Convolved { columns, .. } => (&layer.convolved, columns.clone()),
            Item::Gate(columns) => (&layer.gate, columns.clone()),
            Item::Step => (&layer.step, 0..dims.heads),
            Item::Beta => (layer.beta.as_ref().expect("a delta net has it"), 0..dims.heads),
        };
        self.project(linear, columns.clone(), Input::Stream, Target::Out);
        let n = columns.len();
        let Scanned { mixed, decay, step } = buffers.scanned();
        let Local { out, normed, .. } = &mut *self.local;
        let out = &mut out[..self.rows.len() * n];
        let place = |row: usize, width: usize| row * width + columns.start..row * width + columns.end;
        if let Item::Convolved { unit, .. } = item {
            let first = self.rows.start;
            let taps = (&layer.taps, layer.taps_bias.as_ref());
            self.pass.convolve(dims, taps, columns.clone(), out, &mut normed[..n], |token, values| {
                isa.activate(Activation::Silu, values);
                // SAFETY: these channels are this worker's item.
                let to = unsafe { mixed.get_mut(place(first + token, dims.channels)) };
                match unit {
                    // x / sqrt(sum(x²) + eps) by way of the mean.
                    Some(unit) => {
                        isa.rms_norm(values, None, config.norm_eps / n as f32, to);
                        isa.scale(to, unit / (n as f32).sqrt());
                    }
                    None => to.copy_from_slice(values),
                }
            });
            return;
        }
        for (row, values) in self.rows.clone().zip(out.chunks_exact_mut(n)) {
            // SAFETY: these columns are this worker's item.
            unsafe {
                match item {
                    Item::Convolved { .. } => {}
                    Item::Gate(_) => buffers.gates.get_mut(place(row, dims.width())).copy_from_slice(values),
                    Item::Beta => {
                        isa.activate(Activation::Sigmoid, values);
                        step.get_mut(place(row, n)).copy_from_slice(values);
                    }
                    Item::Step => {
                        isa.add(values, layer.step_bias.get(file));
                        isa.activate(Activation::Softplus, values);
                        if layer.beta.is_none() {
                            step.get_mut(place(row, n)).copy_from_slice(values);
                        }
                        isa.multiply(values, layer.decay.get(file));
                        isa.activate(Activation::Exp, values);
                        decay.get_mut(place(row, n)).copy_from_slice(values);
                    }
                }
            }
        }
    }

    /// Second region: the heads.
    pub(super) fn scan(&mut self, layer: &Scan, dims: &RecurrentConfig) -> Result<(), Error> {
        while let Some(chunk) = self.team.chunk(dims.heads, 1) {
            for head in chunk {
                for start in (0..dims.head_dim).step_by(STATE_ROWS) {
                    self.scan_rows(layer, dims, head, start..(start + STATE_ROWS).min(dims.head_dim));
                }
                self.gate_head(layer, dims, head);
            }
        }
        self.team.barrier()
    }

    /// Takes all tokens through some rows of a head's state.
    fn scan_rows(&mut self, layer: &Scan, dims: &RecurrentConfig, head: usize, rows: Range<usize>) {
        let Pass { isa, file, buffers, cache, .. } = *self.pass;
        let RecurrentConfig { state_size: size, head_dim, channels, heads, .. } = *dims;
        let Scanned { mixed, decay, step } = buffers.scanned();
        let start = dims.matrices_at() + head * head_dim * size;
        let place = start + rows.start * size..start + rows.end * size;
        // SAFETY: this worker has the head in its chunk; nobody writes the state before a pass while it runs.
        let state = unsafe {
            let state = cache.states().next().get_mut(place.clone());
            state.copy_from_slice(cache.states().now().get(place));
            state
        };
        let [read, written, values] = dims.parts();
        let group = dims.group_of(head) * size;
        let own = head * head_dim + rows.start..head * head_dim + rows.end;
        let skip = layer.skip.as_ref().map(|skip| skip.get(file)[head]);
        for token in self.rows.clone() {
            let of = |start: usize, len: usize| token * channels + start..token * channels + start + len;
            // SAFETY: the region before wrote these; the outputs are this head's.
            unsafe {
                let q = mixed.get(of(read + group, size));
                let k = mixed.get(of(written + group, size));
                let v = mixed.get(of(values + own.start, own.len()));
                let at = token * heads + head;
                let (decay, step) = (decay.get(at..at + 1)[0], step.get(at..at + 1)[0]);
                let row = token * dims.width();
                let out = buffers.attended.get_mut(row + own.start..row + own.end);
                match skip {
                    None => isa.delta_rule(state, &DeltaToken { q, k, v, decay, beta: step }, out),
                    Some(skip) => isa.state_space(state, &SpaceToken { x: v, b: k, c: q, step, decay, skip }, out),
                }
            }
        }
    }

    /// Gates one head's output; a delta net norms it before, a state space later, over whole groups.
    fn gate_head(&mut self, layer: &Scan, dims: &RecurrentConfig, head: usize) {
        let Pass { isa, file, buffers, config, .. } = *self.pass;
        let normed = &mut self.local.normed[..dims.head_dim];
        for token in self.rows.clone() {
            let start = token * dims.width() + head * dims.head_dim;
            let own = start..start + dims.head_dim;
            // SAFETY: the region before wrote the gate; this worker has the head in its chunk.
            let (out, gate) = unsafe { (buffers.attended.get_mut(own.clone()), buffers.gates.get_mut(own)) };
            if dims.kind == RecurrentKind::DeltaNet {
                isa.rms_norm(out, Some(layer.norm.get(file)), config.norm_eps, normed);
            } else {
                normed.copy_from_slice(out);
            }
            isa.gated(Activation::Silu, gate, normed);
            out.copy_from_slice(gate);
        }
    }
}

impl Pass<'_> {
    /// A state space's gated output, normed by groups.
    pub(super) fn norm_groups(&self, layer: &Scan, dims: &RecurrentConfig, x: &[f32], out: &mut [f32]) {
        let size = dims.width() / dims.groups;
        let weights = layer.norm.get(self.file).chunks_exact(size);
        for ((x, weight), out) in x.chunks_exact(size).zip(weights).zip(out.chunks_exact_mut(size)) {
            self.isa.rms_norm(x, Some(weight), self.config.norm_eps, out);
        }
    }
}
