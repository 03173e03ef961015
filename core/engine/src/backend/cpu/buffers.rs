//! The memory of a forward pass: activations shared by all workers, and each worker's own scratch.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use sprat_kernels::{ActivationKind, Activations, Isa, MAX_SCRATCH_BYTES, Scratch, State};

use super::experts::{LocalMixture, Mixture};
use super::kv::PAGE;
use super::scan::Scanned;
use super::shared::{Shared, filled};
use crate::config::{Config, RecurrentConfig};
use crate::error::Error;
use crate::weights::{FeedForward, HeadNorm, Layer, Linear, Matrix, Weights};

/// Most tokens of one pass. Larger batches gain little (a panel of weights is unpacked once per batch: 3 % at 256), and
/// their activations would cost more memory than promised.
pub const MAX_BATCH: usize = 256;

/// Query tokens that share the loads of a page in one work item of a batch.
pub const QUERY_BLOCK: usize = 16;

/// Rows of a projection that one work item of a batch computes.
pub const BATCH_ROWS: usize = 64;

/// Which kinds of activations some matrices ask for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kinds {
    f32: bool,
    q8_32: bool,
    q8_256: bool,
}

impl Kinds {
    /// The kinds that `linears` are multiplied with.
    pub fn of<'a>(linears: impl IntoIterator<Item = &'a Linear>) -> Self {
        let mut kinds = Self::default();
        for linear in linears {
            kinds.add(&linear.matrix);
        }
        kinds
    }

    fn add(&mut self, matrix: &Matrix) {
        match matrix.format.activation() {
            ActivationKind::F32 => self.f32 = true,
            ActivationKind::Q8_32 => self.q8_32 = true,
            ActivationKind::Q8_256 => self.q8_256 = true,
        }
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self { f32: self.f32 || other.f32, q8_32: self.q8_32 || other.q8_32, q8_256: self.q8_256 || other.q8_256 }
    }
}

/// Vectors of up to `rows` tokens in each kind of activation that a stage reads. Layers may use it with lengths `k` of
/// their own, up to the one it is made for.
pub struct ActivationSet {
    kinds: Kinds,
    f: Option<Shared<f32>>,
    q8_32: Option<Quantized>,
    q8_256: Option<Quantized>,
}

struct Quantized {
    q: Shared<i8>,  // [rows, k]
    d: Shared<f32>, // [rows, k / block]
    s: Shared<i16>, // [rows, k / group]
    m: Shared<u16>, // [rows, k / 256], or empty
}

/// Values per scale and values per sum of a kind.
fn granules(kind: ActivationKind) -> (usize, usize) {
    (kind.block_len(), kind.sum_len())
}

impl Quantized {
    fn new(kind: ActivationKind, rows: usize, k: usize) -> Result<Self, Error> {
        let (block, group) = granules(kind);
        Ok(Self {
            q: Shared::new(rows * k)?,
            d: Shared::new(rows * k / block)?,
            s: Shared::new(rows * k / group)?,
            m: Shared::new(kind.magnitudes(rows * k))?,
        })
    }

    fn bytes(&self) -> usize {
        self.q.bytes() + self.d.bytes() + self.s.bytes() + self.m.bytes()
    }
}

impl ActivationSet {
    pub(super) fn new(kinds: Kinds, rows: usize, k: usize) -> Result<Self, Error> {
        Ok(Self {
            kinds,
            f: kinds.f32.then(|| Shared::new(rows * k)).transpose()?,
            q8_32: kinds.q8_32.then(|| Quantized::new(ActivationKind::Q8_32, rows, k)).transpose()?,
            q8_256: kinds.q8_256.then(|| Quantized::new(ActivationKind::Q8_256, rows, k)).transpose()?,
        })
    }

    pub(super) fn bytes(&self) -> usize {
        let quantized = [&self.q8_32, &self.q8_256].into_iter().flatten().map(Quantized::bytes).sum::<usize>();
        quantized + self.f.as_ref().map_or(0, Shared::bytes)
    }

    /// Stores `x` as one row, in every kind of the set.
    ///
    /// # Safety
    /// No other worker touches this row meanwhile.
    pub unsafe fn store_row(&self, isa: &Isa, row: usize, x: &[f32]) {
        // SAFETY: passed on to the caller.
        unsafe { self.store(isa, self.kinds, x.len(), row, 0, x) }
    }

    /// Stores `x` as the values from column `from` of one row of length `k`, in those kinds that the next stage reads.
    /// `from` and the length are multiples of the largest block among them.
    ///
    /// # Safety
    /// No other worker touches these columns of this row meanwhile.
    pub unsafe fn store(&self, isa: &Isa, kinds: Kinds, k: usize, row: usize, from: usize, x: &[f32]) {
        let columns = |per: usize| (row * k + from) / per..(row * k + from + x.len()) / per;
        if let Some(f) = self.f.as_ref().filter(|_| kinds.f32) {
            // SAFETY: passed on to the caller.
            unsafe { f.get_mut(columns(1)) }.copy_from_slice(x);
        }
        for (set, kind) in self.quantized(kinds) {
            let (block, group) = granules(kind);
            let magnitudes = kind.magnitudes(row * k + from)..kind.magnitudes(row * k + from + x.len());
            // SAFETY: passed on to the caller.
            unsafe {
                let (q, d) = (set.q.get_mut(columns(1)), set.d.get_mut(columns(block)));
                isa.quantize(kind, x, q, d, set.s.get_mut(columns(group)), set.m.get_mut(magnitudes));
            }
        }
    }

    /// Copies row `from` of `other` to row `to`, in those kinds that the next stage reads. Rows are `k` long.
    ///
    /// # Safety
    /// No other worker touches row `to` of this set or writes row `from` of the other meanwhile.
    pub unsafe fn copy_row(&self, kinds: Kinds, k: usize, to: usize, other: &Self, from: usize) {
        let columns = |row: usize, per: usize| row * k / per..(row + 1) * k / per;
        if let Some((f, other)) = self.f.as_ref().zip(other.f.as_ref()).filter(|_| kinds.f32) {
            // SAFETY: passed on to the caller.
            unsafe { f.get_mut(columns(to, 1)).copy_from_slice(other.get(columns(from, 1))) };
        }
        for ((set, kind), (other, _)) in self.quantized(kinds).zip(other.quantized(kinds)) {
            let (block, group) = granules(kind);
            let magnitudes = |row: usize| kind.magnitudes(row * k)..kind.magnitudes((row + 1) * k);
            // SAFETY: passed on to the caller.
            unsafe {
                set.q.get_mut(columns(to, 1)).copy_from_slice(other.q.get(columns(from, 1)));
                set.d.get_mut(columns(to, block)).copy_from_slice(other.d.get(columns(from, block)));
                set.s.get_mut(columns(to, group)).copy_from_slice(other.s.get(columns(from, group)));
                set.m.get_mut(magnitudes(to)).copy_from_slice(other.m.get(magnitudes(from)));
            }
        }
    }

    /// The quantized ones of `kinds`, all of which the set has.
    fn quantized(&self, kinds: Kinds) -> impl Iterator<Item = (&Quantized, ActivationKind)> {
        let q8_32 = self.q8_32.as_ref().filter(|_| kinds.q8_32).map(|set| (set, ActivationKind::Q8_32));
        let q8_256 = self.q8_256.as_ref().filter(|_| kinds.q8_256).map(|set| (set, ActivationKind::Q8_256));
        q8_32.into_iter().chain(q8_256)
    }

    /// Some rows as the kind that `matrix` is multiplied with.
    ///
    /// # Safety
    /// No worker writes these rows meanwhile.
    pub unsafe fn view(&self, matrix: &Matrix, rows: Range<usize>) -> Activations<'_> {
        let kind = matrix.format.activation();
        let (block, group) = granules(kind);
        let (t, k) = (rows.len(), matrix.cols());
        let part = |per: usize| rows.start * k / per..rows.end * k / per;
        match kind {
            ActivationKind::F32 => {
                let f = self.f.as_ref().expect("the set was made for this matrix");
                // SAFETY: passed on to the caller.
                Activations::f32(t, k, unsafe { f.get(part(1)) })
            }
            ActivationKind::Q8_32 | ActivationKind::Q8_256 => {
                let set = if kind == ActivationKind::Q8_32 { &self.q8_32 } else { &self.q8_256 };
                let set = set.as_ref().expect("the set was made for this matrix");
                let magnitudes = kind.magnitudes(rows.start * k)..kind.magnitudes(rows.end * k);
                // SAFETY: passed on to the caller.
                unsafe {
                    let (q, d, s) = (set.q.get(part(1)), set.d.get(part(block)), set.s.get(part(group)));
                    Activations::quantized(kind, t, k, q, d, s, set.m.get(magnitudes))
                }
            }
        }
    }
}

/// The partial results of attention for one token, one per page and query head, until the pages are merged.
pub struct Partials {
    /// Pages that are done, for each kv head; zero again when the stage is.
    pub done: Vec<AtomicUsize>,
    m: Shared<f32>,   // [page, n_heads]
    l: Shared<f32>,   // [page, n_heads]
    acc: Shared<f32>, // [page, n_heads, value_dim]
    pages: usize,
}

impl Partials {
    fn new(pages: usize, n_heads: usize, value_dim: usize) -> Result<Self, Error> {
        let scores = || Shared::new(pages * n_heads);
        let acc = Shared::new(pages * n_heads * value_dim)?;
        let done = (0..n_heads).map(|_| AtomicUsize::new(0)).collect();
        Ok(Self { done, m: scores()?, l: scores()?, acc, pages })
    }

    /// The states of `heads` query heads from `slot` = page * n_heads + head on.
    ///
    /// # Safety
    /// No other worker touches them meanwhile.
    pub unsafe fn state(&self, slot: usize, heads: usize, value_dim: usize) -> State<'_> {
        // SAFETY: passed on to the caller.
        unsafe {
            State {
                m: self.m.get_mut(slot..slot + heads),
                l: self.l.get_mut(slot..slot + heads),
                acc: self.acc.get_mut(slot * value_dim..(slot + heads) * value_dim),
            }
        }
    }
}

/// Everything that a pass of up to `rows` tokens writes.
pub struct Buffers {
    /// Tokens there is room for.
    pub rows: usize,
    /// Residual stream of a batch, `[rows, dim]`.
    pub x: Shared<f32>,
    /// Streams side by side, of a batch, `[rows, streams, dim]`; none where there is but one.
    pub streams: Shared<f32>,
    /// What the last stage adds to it, `[rows, dim]`.
    pub y: Shared<f32>,
    /// What is made beside `y`, for other streams or beside experts, `[sides, rows, dim]`.
    pub sides: Shared<f32>,
    /// Queries, `[n_kv_heads, rows, group, head_dim]`: the queries that share a page lie together.
    pub q: Shared<f32>,
    /// Queries and keys that are normed over all heads at once, `[rows, n_heads + n_kv_heads, head_dim]`.
    pub unnormed: Shared<f32>,
    /// Output of attention or what stands for it, `[rows, mixed_width]`.
    pub attended: Shared<f32>,
    /// What gates it, where something does, as `attended`.
    pub gates: Shared<f32>,
    /// Of layers that scan.
    scanned: Scanned,
    /// Normed input of a stage, of a batch.
    pub input: ActivationSet,
    /// Input of `attention_out`, of a batch.
    pub attention_input: ActivationSet,
    /// The few values of the path beside attention.
    pub low_rank: ActivationSet,
    /// Gates of which only large ones pass, `[rows, feed_forward]`.
    pub sparse_gates: Shared<f32>,
    /// From which on they do, `[rows]`, of a batch.
    pub cutoffs: Shared<f32>,
    /// Activated product of gate and up.
    pub hidden: ActivationSet,
    /// Of layers with experts.
    pub mixture: Option<Mixture>,
    /// Inputs that layers have of their own, `[rows, layers, per_layer_input]`.
    pub per_layer: Shared<f32>,
    /// One layer's, gated.
    pub per_layer_gated: ActivationSet,
    /// Cos and sin of each token and rotary embedding, `[rope][rows, pairs]`.
    pub angles: Vec<(Shared<f32>, Shared<f32>)>,
    /// Partial attention of a single token.
    pub partials: Partials,
    /// One per worker.
    pub locals: Vec<Mutex<Local>>,
    n_heads: usize,
    value_dim: usize,
}

/// One worker's own memory.
pub struct Local {
    /// Residual stream of a single token, `[dim]`.
    pub x: Vec<f32>,
    /// Streams side by side of a single token, `[streams, dim]`.
    pub streams: Vec<f32>,
    /// From which on gates pass, `[rows]`.
    pub cutoffs: Vec<f32>,
    /// A normed vector, `[widest]`.
    pub normed: Vec<f32>,
    /// Normed input of a stage, of a single token.
    pub input: ActivationSet,
    /// Input of `attention_out`, of a single token.
    pub attention_input: ActivationSet,
    /// Outputs of a piece of a projection, `[rows, columns]`.
    pub out: Vec<f32>,
    /// Outputs of the second of two projections that are computed together.
    pub up: Vec<f32>,
    /// Activated product of 256 columns, `[rows, 256]`.
    pub hidden: Vec<f32>,
    /// Queries of one item of attention, and the state of their softmax.
    pub m: Vec<f32>,
    /// Sums of weights, as `m`.
    pub l: Vec<f32>,
    /// Weighted values, `[queries, value_dim]`.
    pub acc: Vec<f32>,
    /// Visible positions of each query in a page.
    pub ranges: Vec<(u32, u32)>,
    /// Of layers with experts.
    pub mixture: Option<LocalMixture>,
    /// Of the kernels.
    pub scratch: Scratch,
}

impl Buffers {
    /// Room for passes of `rows` tokens by `workers` workers.
    pub fn new(config: &Config, weights: &Weights, rows: usize, workers: usize) -> Result<Self, Error> {
        let max = |f: fn(&crate::config::LayerConfig) -> usize| config.layers.iter().map(f).max().unwrap_or(0);
        let n_heads = max(|l| l.n_heads);
        let head_dim = max(|l| l.head_dim);
        let value_dim = max(|l| l.value_dim);
        let group = max(|l| l.group());
        let attended = max(|l| l.mixed_width());
        let dim = config.dim;

        let layers = &weights.layers;
        let input = Kinds::of(layers.iter().flat_map(|l| l.mixer.inputs()));
        let feed_forward = || layers.iter().filter_map(|l| l.feed_forward.as_ref());
        let experts = || layers.iter().filter_map(|l| l.experts.as_ref());
        let input = input.and(Kinds::of(feed_forward().map(|l| &l.up)));
        let input = input.and(Kinds::of(feed_forward().filter_map(|l| l.gate.as_ref())));
        let input =
            input.and(Kinds::of(experts().flat_map(|l| [&l.router, &l.gate, &l.up].into_iter().chain(&l.shared_gate))));
        let per_layer = || layers.iter().filter_map(|l| l.per_layer.as_ref());
        let input = input.and(Kinds::of(per_layer().map(|l| &l.gate)));
        let input = input.and(Kinds::of(weights.per_layer.iter().map(|inputs| &inputs.projection)));
        let low_rank = || layers.iter().filter_map(|l| l.low_rank.as_ref());
        let input = input.and(Kinds::of(low_rank().map(|path| &path.left)));
        let input = input.and(Kinds::of(weights.stream_ends.begin.iter().chain(&weights.stream_ends.end)));
        let input = input.and(Kinds::of([&weights.output]));
        let attention_input = Kinds::of(layers.iter().map(|l| l.mixer.out()));
        let hidden = Kinds::of(feed_forward().map(|l| &l.down));
        let f = feed_forward().map(FeedForward::width).max().unwrap_or(0);
        let whole = |l: &Layer| {
            let norms = l.attention().into_iter().flat_map(|l| l.q_norm.iter().chain(&l.k_norm));
            norms.into_iter().any(|norm| matches!(norm, HeadNorm::Whole(_)))
        };
        let unnormed = if layers.iter().any(whole) { max(|l| (l.n_heads + l.n_kv_heads) * l.head_dim) } else { 0 };
        // A batch of one lives in the workers' own memory.
        let batch = if rows > 1 { rows } else { 0 };
        let recurrent: Vec<&RecurrentConfig> = config.layers.iter().filter_map(|l| l.recurrent.as_ref()).collect();
        let scanned = recurrent.iter().map(|l| l.heads.max(l.head_dim).max(l.state_size)).max().unwrap_or(0);
        let widest = BATCH_ROWS.max(head_dim).max(value_dim).max(scanned).max(config.per_layer_input);
        let rank = low_rank().map(|path| path.left.matrix.rows).max().unwrap_or(0);
        let widest = widest.max(rank);
        let sparse = feed_forward().filter(|l| l.sparsity.is_some()).map(FeedForward::width).max().unwrap_or(0);
        let streams = if config.streams > 1 { config.streams * dim } else { 0 };
        let sides = (config.streams - 1).max(usize::from(experts().any(|l| l.apart.is_some())));
        let gated = layers.iter().any(|l| l.attention().is_none_or(|attention| attention.gated));
        let queries = (QUERY_BLOCK * group).max(n_heads);
        let local = || -> Result<Local, Error> {
            Ok(Local {
                x: filled(dim, 0.0)?,
                streams: filled(streams, 0.0)?,
                cutoffs: filled(if sparse > 0 { rows } else { 0 }, 0.0)?,
                normed: filled(dim.max(attended).max(max(|l| l.n_heads * l.head_dim)).max(widest), 0.0)?,
                input: ActivationSet::new(input, 1, dim)?,
                attention_input: ActivationSet::new(attention_input, 1, attended)?,
                // A single token's chunk is as many rows as 64 KB hold, and at least one head or one block of 256.
                out: filled((rows * widest).max(SINGLE_ROWS), 0.0)?,
                up: filled((rows * BATCH_ROWS).max(SINGLE_ROWS), 0.0)?,
                hidden: filled(rows * 256, 0.0)?,
                m: filled(queries, 0.0)?,
                l: filled(queries, 0.0)?,
                acc: filled(queries * value_dim, 0.0)?,
                ranges: filled(queries, (0, 0))?,
                mixture: config
                    .experts
                    .as_ref()
                    .map(|experts| LocalMixture::new(experts, layers, batch, dim))
                    .transpose()?,
                scratch: Scratch::try_new().ok_or(Error::OutOfMemory { what: "buffers", bytes: MAX_SCRATCH_BYTES })?,
            })
        };
        Ok(Self {
            rows,
            x: Shared::new(batch * dim)?,
            streams: Shared::new(batch * streams)?,
            y: Shared::new(rows * dim)?,
            sides: Shared::new(sides * rows * dim)?,
            q: Shared::new(rows * n_heads * head_dim)?,
            unnormed: Shared::new(rows * unnormed)?,
            attended: Shared::new(rows * attended)?,
            gates: Shared::new(if gated { rows * attended } else { 0 })?,
            scanned: Scanned::new(&recurrent, rows)?,
            input: ActivationSet::new(input, batch, dim)?,
            attention_input: ActivationSet::new(attention_input, batch, attended)?,
            low_rank: ActivationSet::new(Kinds::of(low_rank().map(|path| &path.right)), rows, rank)?,
            sparse_gates: Shared::new(rows * sparse)?,
            cutoffs: Shared::new(if sparse > 0 { batch } else { 0 })?,
            hidden: ActivationSet::new(hidden, rows, f)?,
            mixture: config.experts.as_ref().map(|experts| Mixture::new(experts, layers, rows)).transpose()?,
            per_layer: Shared::new(rows * layers.len() * config.per_layer_input)?,
            per_layer_gated: ActivationSet::new(Kinds::of(per_layer().map(|l| &l.out)), rows, config.per_layer_input)?,
            angles: config
                .ropes
                .iter()
                .map(|r| Ok((Shared::new(rows * (r.dims / 2))?, Shared::new(rows * (r.dims / 2))?)))
                .collect::<Result<_, Error>>()?,
            partials: Partials::new(0, n_heads, value_dim)?,
            locals: (0..workers).map(|_| local().map(Mutex::new)).collect::<Result<_, Error>>()?,
            n_heads,
            value_dim,
        })
    }

    /// Makes ready for a pass in a context of `positions`. The partial attention grows by doubling, so rarely; tells
    /// whether it did.
    pub fn prepare(&mut self, positions: usize) -> Result<bool, Error> {
        // A pass that was stopped may have left counts behind.
        self.partials.done.iter_mut().for_each(|done| *done.get_mut() = 0);
        let pages = positions.div_ceil(PAGE);
        let grows = pages > self.partials.pages;
        if grows {
            self.partials = Partials::new(pages.next_power_of_two(), self.n_heads, self.value_dim)?;
        }
        Ok(grows)
    }

    /// Of layers that scan.
    pub(super) fn scanned(&self) -> &Scanned {
        &self.scanned
    }

    /// Bytes of all of it, the workers' kernels scratch apart.
    pub fn bytes(&self) -> usize {
        let layers = [&self.unnormed, &self.attended, &self.gates, &self.per_layer, &self.sparse_gates, &self.cutoffs];
        let shared = [&self.x, &self.streams, &self.y, &self.sides, &self.q]
            .iter()
            .chain(&layers)
            .map(|b| b.bytes())
            .sum::<usize>();
        let sets = [&self.input, &self.attention_input, &self.low_rank, &self.hidden, &self.per_layer_gated]
            .iter()
            .map(|s| s.bytes())
            .sum::<usize>();
        let partials = self.partials.m.bytes() + self.partials.l.bytes() + self.partials.acc.bytes();
        let locals: usize = self.locals.iter().map(|l| l.lock().map_or(0, |l| l.bytes())).sum();
        shared + sets + partials + locals + self.scanned.bytes() + self.mixture.as_ref().map_or(0, Mixture::bytes)
    }
}

/// Most rows of a projection that one work item of a single token computes.
pub const SINGLE_ROWS: usize = 1024;

impl Local {
    fn bytes(&self) -> usize {
        let stream = [&self.x, &self.streams, &self.cutoffs, &self.normed];
        let floats = stream.into_iter().chain([&self.out, &self.up, &self.hidden, &self.m, &self.l, &self.acc]);
        let floats: usize = floats.map(|v| 4 * v.len()).sum();
        let mixture = self.mixture.as_ref().map_or(0, LocalMixture::bytes);
        floats + self.input.bytes() + self.attention_input.bytes() + mixture + 8 * self.ranges.len()
    }
}
