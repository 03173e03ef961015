//! Stages 4 and 5 of layers with a mixture of experts: tokens are grouped by expert, so that a batch unpacks each expert's
//! rows once and a single token reads the rows of its own experts alone.

use std::ops::Range;

use sprat_kernels::{Activation, Isa};

use super::buffers::{ActivationSet, BATCH_ROWS, Buffers, Kinds, Local, SINGLE_ROWS};
use super::pass::{CHUNK_BYTES, Pass, Worker};
use super::project::{Input, Target};
use super::shared::{Shared, filled};
use super::stream::Absorb;
use crate::config::{ExpertsConfig, Routing};
use crate::error::Error;
use crate::weights::{Apart, Experts, FeedForward, Layer, Linear};

/// What the workers of a pass share in layers with experts. A place is one token at one of its experts; places are
/// numbered by expert, then by token.
pub struct Mixture {
    /// What the router says, `[rows, count]`.
    scores: Shared<f32>,
    /// Experts of each token of a batch, by rising number, `[rows, used]`.
    chosen: Shared<u16>,
    /// Their weights, `[rows, used]`.
    weights: Shared<f32>,
    /// Weight of the expert that every token goes through, `[rows]`.
    shared_weights: Shared<f32>,
    /// Activated product of gate and up, `[rows * used, feed_forward]`.
    hidden: ActivationSet,
}

/// One worker's view of a mixture.
pub struct LocalMixture {
    /// Which tokens go to which expert.
    plan: Plan,
    /// Input of one expert's tokens, `[rows, dim]`.
    gathered: ActivationSet,
    /// One token's weights before the choice, `[count]`.
    scores: Vec<f32>,
    /// What the choice is made by, `[count]`.
    ranks: Vec<f32>,
}

/// Where the tokens of a pass go. Every worker makes the same one.
struct Plan {
    chosen: Vec<u16>,        // [used], of one token
    weights: Vec<f32>,       // [used]
    starts: Vec<usize>,      // [count + 1]: expert e has places starts[e]..starts[e + 1]
    active: Vec<usize>,      // experts with places, rising
    places: Vec<(u32, f32)>, // [rows * used]: token and weight
}

impl Mixture {
    pub fn new(config: &ExpertsConfig, layers: &[Layer], rows: usize) -> Result<Self, Error> {
        let experts = layers.iter().filter_map(|layer| layer.experts.as_ref());
        let hidden = Kinds::of(experts.map(|experts| &experts.down));
        let ExpertsConfig { count, used, feed_forward, .. } = *config;
        Ok(Self {
            scores: Shared::new(rows * count)?,
            chosen: Shared::new(rows * used)?,
            weights: Shared::new(rows * used)?,
            shared_weights: Shared::new(rows)?,
            hidden: ActivationSet::new(hidden, rows * used, feed_forward)?,
        })
    }

    pub fn bytes(&self) -> usize {
        let floats = [&self.scores, &self.weights, &self.shared_weights].map(|shared| shared.bytes());
        floats.iter().sum::<usize>() + self.chosen.bytes() + self.hidden.bytes()
    }
}

impl LocalMixture {
    /// For batches of `rows` tokens; 0 where there are none, and a token's input is the stream itself.
    pub fn new(config: &ExpertsConfig, layers: &[Layer], rows: usize, dim: usize) -> Result<Self, Error> {
        let experts = layers.iter().filter_map(|layer| layer.experts.as_ref());
        let inputs = Kinds::of(experts.flat_map(|experts| [&experts.gate, &experts.up]));
        let ExpertsConfig { count, used, .. } = *config;
        let plan = Plan {
            chosen: filled(used, 0)?,
            weights: filled(used, 0.0)?,
            starts: filled(count + 1, 0)?,
            active: Vec::with_capacity(count),
            places: filled(rows.max(1) * used, (0, 0.0))?,
        };
        Ok(Self {
            plan,
            gathered: ActivationSet::new(inputs, rows, dim)?,
            scores: filled(count, 0.0)?,
            ranks: filled(count, 0.0)?,
        })
    }

    pub fn bytes(&self) -> usize {
        let Plan { starts, places, .. } = &self.plan;
        self.gathered.bytes() + 8 * self.ranks.len() + 8 * (starts.len() + places.len())
    }
}

impl<'a> Pass<'a> {
    /// Dimensions of the experts, in a model that has some.
    fn experts(&self) -> &'a ExpertsConfig {
        self.config.experts.as_ref().expect("the layer's tensors were found by it")
    }
}

impl Buffers {
    fn mixture(&self) -> &Mixture {
        self.mixture.as_ref().expect("made for a model with experts")
    }
}

impl Local {
    fn mixture(&self) -> &LocalMixture {
        self.mixture.as_ref().expect("made for a model with experts")
    }

    fn mixture_mut(&mut self) -> &mut LocalMixture {
        self.mixture.as_mut().expect("made for a model with experts")
    }
}

impl Worker<'_> {
    /// Stage 4: the router; gate and up rows of each expert for its tokens, and of the expert that all go through.
    pub(super) fn experts_in(&mut self, layer: &Layer, experts: &Experts) -> Result<(), Error> {
        let beside = layer.feed_forward.as_ref();
        // What reads the stream through a norm of its own has a region of its own.
        let shared = match (&experts.apart, beside) {
            (Some(apart), Some(beside)) => {
                self.feed_forward_rows(beside)?;
                self.absorb(&Absorb { norm: Some(&apart.router_norm), ..Absorb::plain(None) })?;
                self.route(experts)?;
                self.absorb(&Absorb { norm: Some(&apart.norm), ..Absorb::plain(None) })?;
                None
            }
            _ => {
                self.route(experts)?;
                beside
            }
        };
        let config = self.pass.experts();
        let pieces = |down: &Linear, width: usize| width.div_ceil(self.activated_piece(down));
        let of_expert = pieces(&experts.down, config.feed_forward);
        let of_all = shared.map_or(0, |shared| pieces(&shared.down, shared.width()));
        let own = self.local.mixture().plan.active.len() * of_expert;
        let mut gathered = None;
        while let Some(chunk) = self.team.chunk(own + of_all, 1) {
            for item in chunk {
                match item.checked_sub(own) {
                    None => {
                        let expert = self.local.mixture().plan.active[item / of_expert];
                        let size = self.activated_piece(&experts.down);
                        let start = item % of_expert * size;
                        if gathered.replace(expert) != Some(expert) && !self.single() {
                            self.gather(experts, expert);
                        }
                        self.expert_columns(experts, expert, start..(start + size).min(config.feed_forward));
                    }
                    Some(item) => {
                        let shared = shared.expect("it has pieces");
                        let size = self.activated_piece(&shared.down);
                        self.activated(shared, item * size..((item + 1) * size).min(shared.width()));
                    }
                }
            }
        }
        self.team.barrier()
    }

    /// Scores the experts and plans which tokens go where.
    fn route(&mut self, experts: &Experts) -> Result<(), Error> {
        let Pass { isa, buffers, file, .. } = *self.pass;
        let config = self.pass.experts();
        let (count, used) = (config.count, config.used);
        let mixture = buffers.mixture();
        let size = self.piece(&experts.router.matrix);
        let pieces = count.div_ceil(size);
        // One more item where an expert that all go through has a weight.
        while let Some(chunk) = self.team.chunk(pieces + usize::from(experts.shared_gate.is_some()), 1) {
            for item in chunk {
                let (linear, columns, to, width) = match &experts.shared_gate {
                    Some(gate) if item == pieces => (gate, 0..1, &mixture.shared_weights, 1),
                    _ => (&experts.router, item * size..((item + 1) * size).min(count), &mixture.scores, count),
                };
                self.project(linear, columns.clone(), Input::Stream, Target::Out);
                for (row, out) in self.rows.clone().zip(self.local.out.chunks_exact_mut(columns.len())) {
                    if item == pieces {
                        isa.activate(Activation::Sigmoid, out);
                    }
                    // SAFETY: these columns are this worker's item.
                    unsafe { to.get_mut(row * width + columns.start..row * width + columns.end) }.copy_from_slice(out);
                }
            }
        }
        self.team.barrier()?;
        let bias = experts.choice_bias.as_ref().map(|bias| bias.get(file));
        let scales = experts.apart.as_ref().and_then(|apart| apart.scales.as_ref()).map(|scales| scales.get(file));
        let root = (self.pass.config.dim as f32).sqrt();
        let LocalMixture { plan, ranks, scores, .. } = self.local.mixture_mut();
        let mut choose_for = |row: usize, chosen: &mut [u16], weights: &mut [f32]| {
            // SAFETY: the region before wrote the scores, and nobody writes them in this one.
            scores.copy_from_slice(unsafe { mixture.scores.get(row * count..(row + 1) * count) });
            if experts.apart.is_some() {
                isa.scale(scores, 1.0 / root);
            }
            choose(isa, config, bias, scores, ranks, chosen, weights);
            if let Some(scales) = scales {
                chosen.iter().zip(weights).for_each(|(&expert, weight)| *weight *= scales[usize::from(expert)]);
            }
        };
        if self.rows.len() == 1 {
            let mut chosen = std::mem::take(&mut plan.chosen);
            let mut weights = std::mem::take(&mut plan.weights);
            choose_for(self.rows.start, &mut chosen, &mut weights);
            plan.group(self.rows.clone(), |_| (&chosen[..], &weights[..]));
            (plan.chosen, plan.weights) = (chosen, weights);
            return Ok(());
        }
        let first = self.rows.start;
        while let Some(chunk) = self.team.chunk(self.rows.len(), 4) {
            for row in chunk.start + first..chunk.end + first {
                let part = row * used..(row + 1) * used;
                // SAFETY: token `row` is in this worker's chunk.
                let (chosen, weights) =
                    unsafe { (mixture.chosen.get_mut(part.clone()), mixture.weights.get_mut(part)) };
                choose_for(row, chosen, weights);
            }
        }
        self.team.barrier()?;
        self.local.mixture_mut().plan.group(self.rows.clone(), |row| {
            let part = row * used..(row + 1) * used;
            // SAFETY: the region before wrote the choices, and nobody writes them until the next layer's.
            unsafe { (mixture.chosen.get(part.clone()), mixture.weights.get(part)) }
        });
        Ok(())
    }

    /// Copies the inputs of an expert's tokens side by side.
    fn gather(&mut self, experts: &Experts, expert: usize) {
        let kinds = Kinds::of([&experts.gate, &experts.up]);
        let dim = self.pass.config.dim;
        let LocalMixture { plan, gathered, .. } = self.local.mixture_mut();
        for (i, &(token, _)) in plan.places[plan.places(expert)].iter().enumerate() {
            // SAFETY: an earlier region wrote the input; the copies are this worker's own.
            unsafe { gathered.copy_row(kinds, dim, i, &self.pass.buffers.input, token as usize) };
        }
    }

    /// Some columns of the activated product of one expert's gate and up, for its tokens.
    fn expert_columns(&mut self, experts: &Experts, expert: usize, columns: Range<usize>) {
        let Pass { isa, buffers, .. } = *self.pass;
        let (f, single, width) = (self.pass.experts().feed_forward, self.single(), columns.len());
        let step = if single { width } else { BATCH_ROWS };
        let Local { input, mixture, out, up, hidden, scratch, .. } = &mut *self.local;
        let LocalMixture { plan, gathered, .. } = mixture.as_ref().expect("made for a model with experts");
        let places = plan.places(expert);
        let (set, rows) = if single { (&*input, 0..1) } else { (gathered, 0..places.len()) };
        for start in columns.clone().step_by(step) {
            let part = start..(start + step).min(columns.end);
            let n = part.len();
            let part = expert * experts.stride + part.start..expert * experts.stride + part.end;
            for (linear, target) in [(&experts.gate, &mut *out), (&experts.up, &mut *up)] {
                // SAFETY: the set is this worker's own.
                let x = unsafe { set.view(&linear.matrix, rows.clone()) };
                self.pass.multiply(linear, part.clone(), &x, target, scratch);
            }
            for (i, (gate, up)) in out.chunks_exact_mut(n).zip(up.chunks_exact(n)).take(rows.len()).enumerate() {
                self.pass.gated(gate, up);
                let at = i * width + start - columns.start;
                hidden[at..at + n].copy_from_slice(gate);
            }
        }
        let kinds = Kinds::of([&experts.down]);
        for (place, hidden) in places.zip(hidden.chunks_exact(width)) {
            // SAFETY: these columns of this expert are this worker's item.
            unsafe { buffers.mixture().hidden.store(isa, kinds, f, place, columns.start, hidden) };
        }
    }

    /// Stage 5: down rows of the expert that all go through, then of the others by rising number, weighted and added.
    pub(super) fn experts_out(&mut self, shared: Option<&FeedForward>, experts: &Experts) -> Result<(), Error> {
        let Pass { isa, buffers, config, .. } = *self.pass;
        let (dim, mixture, apart) = (config.dim, buffers.mixture(), experts.apart.as_ref());
        let size = if self.single() {
            let bytes = experts.down.matrix.row_bytes() * self.pass.experts().used;
            (CHUNK_BYTES / bytes).next_multiple_of(16).clamp(16, SINGLE_ROWS)
        } else {
            BATCH_ROWS
        };
        while let Some(columns) = self.team.chunk(dim, size) {
            let n = columns.len();
            // SAFETY: these columns are in this worker's chunk.
            let y = |row: usize| unsafe { buffers.y.get_mut(row * dim + columns.start..row * dim + columns.end) };
            if shared.is_none() || apart.is_some() {
                self.rows.clone().for_each(|row| y(row).fill(0.0));
            }
            if let Some(shared) = shared {
                self.project(&shared.down, columns.clone(), Input::Hidden, Target::Out);
                for (row, out) in self.rows.clone().zip(self.local.out.chunks_exact(n)) {
                    if apart.is_some() {
                        let at = self.pass.side_range(0, row).start;
                        // SAFETY: these columns are in this worker's chunk.
                        unsafe { buffers.sides.get_mut(at + columns.start..at + columns.end) }.copy_from_slice(out);
                        continue;
                    }
                    y(row).copy_from_slice(out);
                    if experts.shared_gate.is_some() {
                        // SAFETY: the stage before wrote the weights.
                        isa.scale(y(row), unsafe { mixture.shared_weights.get(row..row + 1) }[0]);
                    }
                }
            }
            let Local { mixture: local, out, scratch, .. } = &mut *self.local;
            let plan = &local.as_ref().expect("made for a model with experts").plan;
            for &expert in &plan.active {
                let places = plan.places(expert);
                // SAFETY: the stage before wrote these places.
                let x = unsafe { mixture.hidden.view(&experts.down.matrix, places.clone()) };
                self.pass.multiply(
                    &experts.down,
                    expert * dim + columns.start..expert * dim + columns.end,
                    &x,
                    out,
                    scratch,
                );
                for (&(token, weight), out) in plan.places[places].iter().zip(out.chunks_exact(n)) {
                    isa.add_scaled(y(token as usize), out, weight);
                }
            }
        }
        self.team.barrier()?;
        apart.map_or(Ok(()), |apart| self.norm_apart(apart))
    }

    /// Norms what the experts and what the part beside them put out, each by itself, and adds both.
    fn norm_apart(&mut self, apart: &Apart) -> Result<(), Error> {
        let (pass, dim, first) = (self.pass, self.pass.config.dim, self.rows.start);
        while let Some(chunk) = self.team.chunk(self.rows.len(), 4) {
            for row in chunk.start + first..chunk.end + first {
                // SAFETY: token `row` is in this worker's chunk.
                let y = unsafe { pass.buffers.y.get_mut(row * dim..(row + 1) * dim) };
                let spare = &mut self.local.normed[..dim];
                pass.norm(&apart.post_norm, y, spare);
                y.copy_from_slice(spare);
                pass.norm(&apart.beside_post_norm, pass.side(0, row), spare);
                pass.isa.add(y, spare);
            }
        }
        self.team.barrier()
    }
}

impl Plan {
    /// Groups the choices of all tokens in `rows` by expert; `of` tells a token's experts and their weights.
    fn group<'a>(&mut self, rows: Range<usize>, of: impl Fn(usize) -> (&'a [u16], &'a [f32])) {
        let Self { starts, active, places, .. } = self;
        starts.fill(0);
        for row in rows.clone() {
            of(row).0.iter().for_each(|&expert| starts[usize::from(expert) + 1] += 1);
        }
        active.clear();
        active.extend((0..starts.len() - 1).filter(|&expert| starts[expert + 1] > 0));
        for expert in 1..starts.len() {
            starts[expert] += starts[expert - 1];
        }
        // `starts` moves to the ends of the groups while they fill, and one group back again.
        for row in rows {
            let (experts, weights) = of(row);
            for (&expert, &weight) in experts.iter().zip(weights) {
                let next = &mut starts[usize::from(expert)];
                places[*next] = (row as u32, weight);
                *next += 1;
            }
        }
        starts.rotate_right(1);
        starts[0] = 0;
    }

    fn places(&self, expert: usize) -> Range<usize> {
        self.starts[expert]..self.starts[expert + 1]
    }
}

/// Chooses a token's experts by what the router said and leaves them, by rising number, with their weights.
fn choose(
    isa: &Isa,
    config: &ExpertsConfig,
    bias: Option<&[f32]>,
    scores: &mut [f32],
    ranks: &mut [f32],
    chosen: &mut [u16],
    weights: &mut [f32],
) {
    match config.routing {
        Routing::Softmax => isa.softmax(scores),
        Routing::Sigmoid => isa.activate(Activation::Sigmoid, scores),
        Routing::SoftmaxOfChosen => {}
    }
    ranks.copy_from_slice(scores);
    if let Some(bias) = bias {
        isa.add(ranks, bias);
    }
    for n in 0..chosen.len() {
        let free = |expert: &usize| !chosen[..n].contains(&(*expert as u16));
        // Of equals, NaN among them, the first.
        let best =
            (0..ranks.len()).filter(free).reduce(|best, next| if ranks[next] > ranks[best] { next } else { best });
        let best = best.expect("there are more experts than a token uses");
        chosen[n] = best as u16;
        weights[n] = scores[best];
    }
    if config.routing == Routing::SoftmaxOfChosen {
        isa.softmax(weights);
    }
    if config.normalized {
        let sum: f32 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight /= sum);
    }
    if config.scale != 1.0 {
        isa.scale(weights, config.scale);
    }
    // By rising number: that is also the order in which the experts' outputs are added.
    for end in 1..chosen.len() {
        let mut i = end;
        while i > 0 && chosen[i - 1] > chosen[i] {
            chosen.swap(i - 1, i);
            weights.swap(i - 1, i);
            i -= 1;
        }
    }
}
