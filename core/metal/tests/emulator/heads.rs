//! Between the q, k, v rows and the output of attention: bias, norm, rotation, the cache, and attention over its pages.

use sprat_kernels::{Isa, KvFormat};
use sprat_metal::{Buffer, Cache, Format, MATMAT_TOKENS, Matrix, Model, Pass, QkNorm, Temperature, slices};

use crate::emulator::{Emulator, Finding, ORDERS, Order};
use crate::models::{EPS, Heads, PLAIN, model, of_heads};
use crate::weights::{File, Random, assert_near, dot, rms_norm};

const UNIT: usize = 16384;

/// Heads, and the pass that they are in.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub heads: Heads,
    pub bias: bool,
    pub norm: Option<QkNorm>,
    pub first: u32,
    pub tokens: u32,
    pub wanted: u32,
}

/// All that is in a case's buffers.
struct Set {
    model: Model,
    pass: Pass,
    file: Vec<u8>,
    biases: [Vec<f32>; 3],
    norms: [Vec<f32>; 2],
    qkv: Vec<Vec<f32>>, // [t][qkv_len]
    angles: Vec<f32>,   // [2 ropes, t, pairs, 2]
    table: Vec<u32>,    // [2 layers, max_pages]
    pages: Vec<u8>,
}

impl Set {
    fn new(case: &Case, random: &mut Random) -> Self {
        let Heads { n_heads, n_kv_heads, head_dim, value_dim, rotated, .. } = case.heads;
        let mut file = File::default();
        let lens = [n_heads * head_dim, n_kv_heads * head_dim, n_kv_heads * value_dim];
        let biases = lens.map(|len| random.floats(len as usize));
        let norms = [0, 1].map(|i| random.floats(lens[i] as usize));
        let bias_places = [0, 1, 2].map(|i| file.vector(&biases[i]));
        let norm_places = [0, 1].map(|i| file.vector(&norms[i]));
        let heads = Heads {
            biases: case.bias.then_some(bias_places),
            norms: case.norm.map(|kind| (norm_places, kind)),
            ..case.heads
        };
        let model = model(heads, Matrix { format: Format::F32, rows: 16, cols: 16, offset: 0 });
        assert_eq!(model.check(), Ok(()));
        let pass = Pass { tokens: case.tokens, first: case.first, wanted: case.wanted, top_k: None };
        // Pages of both layers lie in the pool in a mixed order, with others between them that belong to nobody.
        let units = (model.page_bytes() as usize).div_ceil(UNIT);
        let n_pages = (case.first + case.tokens).div_ceil(64) as usize;
        let mut places: Vec<u32> = (0..4 * n_pages as u32).map(|i| i * units as u32).collect();
        for i in (1..places.len()).rev() {
            places.swap(i, random.bits() as usize % (i + 1));
        }
        let mut table = vec![u32::MAX; 2 * model.max_pages as usize];
        for layer in 0..2 {
            for page in 0..n_pages {
                table[layer * model.max_pages as usize + page] = places[2 * page + layer];
            }
        }
        let mut pages = vec![0xff; 4 * n_pages * units * UNIT];
        for position in 0..case.first {
            for layer in 0..2 {
                let mut write = |at: usize, len: u32| {
                    let row = stored(model.cache, &random.floats(len as usize));
                    pages[at..at + row.len()].copy_from_slice(&row);
                };
                for kv in 0..n_kv_heads {
                    write(key_at(&model, &table, layer, kv, position), head_dim);
                    write(value_at(&model, &table, layer, kv, position), value_dim);
                }
            }
        }
        let qkv = (0..case.tokens).map(|_| random.floats(model.qkv_len() as usize)).collect();
        let angle = |i: u32| {
            let x = f64::from(i) * 0.37;
            // Some embeddings stretch what they rotate.
            [1.1 * x.cos() as f32, 1.1 * x.sin() as f32]
        };
        let angles = (0..case.tokens * rotated).flat_map(angle).collect();
        Self { model, pass, file: file.bytes, biases, norms, qkv, angles, table, pages }
    }

    fn define(&self, emulator: &mut Emulator) {
        emulator.define(Buffer::Weights, &self.file);
        emulator.define_f32(Buffer::Qkv, &self.qkv.concat());
        emulator.define_f32(Buffer::Angles, &self.angles);
        emulator.define_u32(Buffer::PageTable, &self.table);
        emulator.define(Buffer::Pages, &self.pages);
        for buffer in [Buffer::Partials, Buffer::Attended] {
            let bytes = self.model.buffer_bytes(buffer, &self.pass).expect("a buffer of a pass");
            emulator.define(buffer, &vec![0xff; bytes as usize]);
        }
    }

    /// Token `t`'s head, counted over q and k, with bias, norm and rotation.
    fn prepared(&self, layer: usize, t: usize, head: u32, case: &Case) -> Vec<f32> {
        let size = self.model.head_dim as usize;
        let is_key = head >= self.model.n_heads;
        let (first, n) = if is_key { (self.model.n_heads, self.model.n_kv_heads) } else { (0, self.model.n_heads) };
        let of_kind = (head - first) as usize * size;
        let mut all = self.qkv[t][first as usize * size..][..n as usize * size].to_vec();
        if case.bias {
            all.iter_mut().zip(&self.biases[usize::from(is_key)]).for_each(|(x, b)| *x += b);
        }
        let weights = &self.norms[usize::from(is_key)];
        let normed = |x: &[f32]| match case.norm {
            None => x.to_vec(),
            Some(QkNorm::Shared) => rms_norm(x, &weights[..size], EPS),
            Some(QkNorm::Each) => rms_norm(x, &weights[of_kind..of_kind + size], EPS),
            Some(QkNorm::Whole) => rms_norm(&all, weights, EPS)[of_kind..of_kind + size].to_vec(),
        };
        let mut x = all[of_kind..of_kind + size].to_vec();
        if !case.heads.norm_late {
            x = normed(&x);
        }
        let pairs = self.model.rotated as usize / 2;
        for i in 0..pairs {
            let (a, b) = if case.heads.adjacent { (2 * i, 2 * i + 1) } else { (i, i + pairs) };
            let row = layer * self.qkv.len() + t; // each layer has a rotary embedding of its own
            let [cos, sin] = [0, 1].map(|j| self.angles[(row * pairs + i) * 2 + j]);
            (x[a], x[b]) = (x[a] * cos - x[b] * sin, x[a] * sin + x[b] * cos);
        }
        if case.heads.norm_late {
            x = normed(&x);
        }
        if let Some(Temperature { scale, period }) = case.heads.temperature.filter(|_| !is_key) {
            let step = (case.first + t as u32) / period;
            x.iter_mut().for_each(|x| *x *= 1.0 + scale * (step as f32 + 1.0).ln());
        }
        x
    }

    /// Token `t`'s value head with its bias.
    fn value(&self, t: usize, kv: u32, case: &Case) -> Vec<f32> {
        let size = self.model.value_dim as usize;
        let start = ((self.model.n_heads + self.model.n_kv_heads) * self.model.head_dim) as usize + kv as usize * size;
        let bias = |i: usize| if case.bias { self.biases[2][kv as usize * size + i] } else { 0.0 };
        (0..size).map(|i| self.qkv[t][start + i] + bias(i)).collect()
    }
}

/// Where a key lies in the pool, bytes.
fn key_at(model: &Model, table: &[u32], layer: usize, kv: u32, position: u32) -> usize {
    let place = table[layer * model.max_pages as usize + position as usize / 64] as usize * UNIT;
    place + ((kv * 64 + position % 64) * model.cache.row_bytes(model.head_dim)) as usize
}

/// Where a value lies.
fn value_at(model: &Model, table: &[u32], layer: usize, kv: u32, position: u32) -> usize {
    let place = table[layer * model.max_pages as usize + position as usize / 64] as usize * UNIT;
    let keys = model.n_kv_heads * 64 * model.cache.row_bytes(model.head_dim);
    place + (keys + (kv * 64 + position % 64) * model.cache.row_bytes(model.value_dim)) as usize
}

/// The CPU's name of a cache's format.
fn of_cpu(cache: Cache) -> KvFormat {
    match cache {
        Cache::F16 => KvFormat::F16,
        Cache::Q8_0 => KvFormat::Q8_0,
    }
}

/// A row as the CPU stores it.
fn stored(cache: Cache, x: &[f32]) -> Vec<u8> {
    let mut row = vec![0; of_cpu(cache).row_len(x.len())];
    Isa::available()[0].store_kv(of_cpu(cache), x, &mut row);
    row.iter().flat_map(|half| half.to_le_bytes()).collect()
}

/// What the CPU reads at a place.
fn loaded(cache: Cache, bytes: &[u8], at: usize, len: u32) -> Vec<f32> {
    let row = &bytes[at..at + cache.row_bytes(len) as usize];
    let row: Vec<u16> = row.as_chunks().0.iter().map(|half| u16::from_le_bytes(*half)).collect();
    let mut x = vec![0.0; len as usize];
    Isa::available()[0].load_kv(of_cpu(cache), &row, &mut x);
    x
}

/// Softmax-weighted values of one query over the pages.
fn attended(set: &Set, pages: &[u8], layer: usize, query: &[f32], head: u32, position: u32) -> Vec<f32> {
    let model = &set.model;
    let kv = head / (model.n_heads / model.n_kv_heads);
    let first = model.layers[layer].window.map_or(0, |window| (position + 1).saturating_sub(window));
    let score = |p| {
        let key = loaded(model.cache, pages, key_at(model, &set.table, layer, kv, p), model.head_dim);
        let score = dot(query, &key) * f64::from(model.attention_scale);
        model.attention_cap.map_or(score, |cap| f64::from(cap) * (score / f64::from(cap)).tanh())
    };
    let scores: Vec<f64> = (first..=position).map(score).collect();
    let most = scores.iter().copied().fold(f64::MIN, f64::max);
    let weights: Vec<f64> = scores.iter().map(|s| (s - most).exp()).collect();
    let sum: f64 = weights.iter().sum();
    let mut out = vec![0.0; model.value_dim as usize];
    for (p, weight) in (first..).zip(&weights) {
        let value = loaded(model.cache, pages, value_at(model, &set.table, layer, kv, p), model.value_dim);
        out.iter_mut().zip(value).for_each(|(out, v)| *out += weight / sum * f64::from(v));
    }
    out.iter().map(|x| *x as f32).collect()
}

/// Plays what a layer does with heads: what attention found and what it should find.
pub fn play(case: &Case, layer: usize, emulator: &mut Emulator, random: &mut Random) -> Result<[Vec<f32>; 2], Finding> {
    let set = Set::new(case, random);
    let (model, pass) = (&set.model, &set.pass);
    set.define(emulator);
    let list = of_heads(model, pass, layer);
    list.iter().for_each(|dispatch| emulator.play(dispatch));
    let found = emulator.f32s(Buffer::Attended)?;
    let pages = emulator.read(Buffer::Pages)?;

    let few = case.tokens < MATMAT_TOKENS;
    let tokens = if layer == 1 && !few { case.wanted } else { case.tokens };
    let several = slices(pass, case.heads.window) > 1;
    assert_eq!(list.len(), 1 + usize::from(several) + usize::from(!few), "{case:?}: cache, attention, joining");

    for t in 0..case.tokens as usize {
        let position = case.first + t as u32;
        for kv in 0..model.n_kv_heads {
            let rows = [
                (key_at(model, &set.table, layer, kv, position), set.prepared(layer, t, model.n_heads + kv, case)),
                (value_at(model, &set.table, layer, kv, position), set.value(t, kv, case)),
            ];
            for (at, row) in rows {
                let kept = loaded(model.cache, &stored(model.cache, &row), 0, row.len() as u32);
                assert_near(&format!("{case:?}: kept"), &loaded(model.cache, &pages, at, row.len() as u32), &kept);
            }
        }
    }
    let changed = set.pages.iter().zip(&pages).filter(|(a, b)| a != b).count();
    let written = u64::from(case.tokens) * model.page_bytes() / 64;
    assert!(changed <= written as usize, "{case:?}: bytes of others were written");

    let mut expected = Vec::new();
    for t in (case.tokens - tokens) as usize..case.tokens as usize {
        for head in 0..model.n_heads {
            let query = set.prepared(layer, t, head, case);
            expected.extend(attended(&set, &pages, layer, &query, head, case.first + t as u32));
        }
    }
    Ok([found[..expected.len()].to_vec(), expected])
}

/// Heads, key heads; sizes of key and value heads, values that rotate.
pub const fn case(heads: [u32; 2], dims: [u32; 3], first: u32, tokens: u32, wanted: u32) -> Case {
    let ([n_heads, n_kv_heads], [head_dim, value_dim, rotated]) = (heads, dims);
    let heads = Heads { n_heads, n_kv_heads, head_dim, value_dim, rotated, ..PLAIN };
    Case { heads, bias: false, norm: None, first, tokens, wanted }
}

impl Case {
    const fn halves(mut self) -> Self {
        self.heads.adjacent = false;
        self
    }

    const fn bias(self) -> Self {
        Self { bias: true, ..self }
    }

    const fn norm(self, kind: QkNorm) -> Self {
        Self { norm: Some(kind), ..self }
    }

    const fn late(mut self) -> Self {
        self.heads.norm_late = true;
        self
    }

    pub const fn bytes(mut self) -> Self {
        self.heads.cache = Cache::Q8_0;
        self
    }

    pub const fn window(mut self, width: u32) -> Self {
        self.heads.window = Some(width);
        self
    }

    const fn temperature(mut self, scale: f32, period: u32) -> Self {
        self.heads.temperature = Some(Temperature { scale, period });
        self
    }

    const fn cap(mut self, cap: f32) -> Self {
        self.heads.cap = Some(cap);
        self
    }
}

fn check(cases: &[Case]) {
    let mut random = Random(5);
    for (i, case) in cases.iter().enumerate() {
        let mut emulator = Emulator::new(ORDERS[i % 3]);
        for layer in 0..2 {
            let played = play(case, layer, &mut emulator, &mut random);
            let [found, expected] = played.expect("no finding");
            assert_near(&format!("{case:?}: attention"), &found, &expected);
        }
    }
}

#[test]
fn one_token_and_a_few_are_kept_and_attend() {
    check(&[
        case([4, 2], [64, 64, 64], 0, 1, 1).bias(),
        case([4, 2], [128, 128, 128], 70, 1, 1).halves().norm(QkNorm::Shared).bytes(),
        case([4, 4], [64, 64, 32], 63, 3, 2).halves().norm(QkNorm::Each).temperature(0.5, 16),
        case([6, 2], [96, 32, 32], 5, 7, 7).bias().bytes().cap(0.7),
        case([2, 1], [40, 24, 0], 20, 1, 1).bias().norm(QkNorm::Whole).window(21),
        // More heads in a group than a threadgroup takes; slices that are joined.
        case([16, 1], [32, 64, 32], 700, 1, 1).bytes(),
        case([2, 2], [256, 256, 64], 510, 4, 1).bias().norm(QkNorm::Shared).late().halves(),
        // Several threadgroups see tokens' own keys, over the ends of a slice and of a page.
        case([20, 1], [32, 64, 32], 509, 6, 3).bytes().bias(),
        case([4, 2], [64, 64, 64], 60, 8, 1).window(5),
        // A window that ends before this slice, one over two slices of three, one position.
        case([4, 2], [64, 64, 64], 600, 1, 1).window(20).cap(3.0),
        case([4, 2], [64, 64, 64], 1030, 2, 2).window(600).bytes(),
        case([4, 2], [64, 64, 64], 64, 2, 1).window(1),
    ]);
}

#[test]
fn prompts_are_kept_and_attend() {
    check(&[
        case([3, 1], [80, 80, 80], 130, 11, 11).bias().norm(QkNorm::Shared),
        // A prompt that wants one token: in its last layer that one alone attends.
        case([4, 2], [64, 64, 64], 520, 10, 1).halves(),
        case([8, 2], [64, 64, 64], 37, 50, 40).window(20).cap(0.9).bytes(),
        case([2, 1], [256, 256, 128], 3, 20, 9).norm(QkNorm::Shared).late().temperature(0.3, 8),
        case([5, 1], [128, 128, 128], 0, 33, 33).halves().norm(QkNorm::Whole).bytes(),
        case([2, 2], [24, 40, 24], 62, 9, 9).bias(),
        case([2, 2], [160, 32, 0], 0, 64, 64).norm(QkNorm::Each).bytes().window(64),
        case([4, 2], [64, 64, 64], 95, 12, 12).window(1),
        // More heads in a group than rows in a tile.
        case([40, 1], [32, 32, 32], 31, 9, 9),
    ]);
}

#[test]
fn every_order_of_threads_attends_with_the_same_bits() {
    for case in [case([4, 2], [64, 64, 64], 40, 30, 30).window(25), case([4, 2], [64, 64, 64], 700, 1, 1).bytes()] {
        let run = |order: Order| {
            let played = play(&case, 0, &mut Emulator::new(order), &mut Random(8));
            let [found, _] = played.expect("no finding");
            found
        };
        let forward = run(Order::Forward);
        assert_eq!(forward, run(Order::Backward));
        assert_eq!(forward, run(Order::Shuffled));
    }
}
