//! Between the q, k, v rows and the output of attention: bias, norm, rotation, the cache, and attention over its pages.

use half::f16;
use sprat_metal::{Buffer, Format, Matrix, Model, Pass, slices};

use crate::emulator::{Emulator, ORDERS};
use crate::models::{EPS, Heads, dispatches, model};
use crate::weights::{File, Random, assert_near, dot, rms_norm};

const UNIT: usize = 16384;

struct Case {
    heads: [u32; 2],
    dims: [u32; 3], // head, value, rotated
    adjacent: bool,
    bias: bool,
    norm: bool,
    first: u32,
    tokens: u32,
    wanted: u32,
}

/// All that is in a case's buffers.
struct Set {
    model: Model,
    pass: Pass,
    file: Vec<u8>,
    biases: [Vec<f32>; 3],
    norms: [Vec<f32>; 2],
    qkv: Vec<Vec<f32>>, // [t][qkv_len]
    angles: Vec<f32>,   // [t, pairs, 2]
    table: Vec<u32>,    // [2 layers, max_pages]
    pages: Vec<u8>,
}

impl Set {
    fn new(case: &Case, random: &mut Random) -> Self {
        let ([n_heads, n_kv_heads], [head_dim, value_dim, rotated]) = (case.heads, case.dims);
        let mut file = File::default();
        let lens = [n_heads * head_dim, n_kv_heads * head_dim, n_kv_heads * value_dim];
        let biases = lens.map(|len| random.floats(len as usize));
        let norms = [0; 2].map(|_| random.floats(head_dim as usize));
        let bias_places = [0, 1, 2].map(|i| file.vector(&biases[i]));
        let norm_places = [0, 1].map(|i| file.vector(&norms[i]));
        let heads = Heads {
            n_heads,
            n_kv_heads,
            head_dim,
            value_dim,
            rotated,
            adjacent: case.adjacent,
            biases: case.bias.then_some(bias_places),
            norms: case.norm.then_some(norm_places),
        };
        let model = model(heads, Matrix { format: Format::F32, rows: 16, cols: 16, offset: 0 });
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
                    for i in 0..len as usize {
                        let value = f16::from_f32(random.float()).to_le_bytes();
                        pages[at + 2 * i..at + 2 * i + 2].copy_from_slice(&value);
                    }
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
            [x.cos() as f32, x.sin() as f32]
        };
        let angles = (0..case.tokens * rotated / 2).flat_map(angle).collect();
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
    fn rotated(&self, t: usize, head: u32, case: &Case) -> Vec<f32> {
        let size = self.model.head_dim as usize;
        let is_key = head >= self.model.n_heads;
        let of_kind = if is_key { head - self.model.n_heads } else { head } as usize;
        let mut x = self.qkv[t][head as usize * size..][..size].to_vec();
        if case.bias {
            let bias = &self.biases[usize::from(is_key)][of_kind * size..];
            x.iter_mut().zip(bias).for_each(|(x, b)| *x += b);
        }
        if case.norm {
            x = rms_norm(&x, &self.norms[usize::from(is_key)], EPS);
        }
        let pairs = self.model.rotated as usize / 2;
        for i in 0..pairs {
            let (a, b) = if case.adjacent { (2 * i, 2 * i + 1) } else { (i, i + pairs) };
            let [cos, sin] = [0, 1].map(|j| self.angles[(t * pairs + i) * 2 + j]);
            (x[a], x[b]) = (x[a] * cos - x[b] * sin, x[a] * sin + x[b] * cos);
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
    place + 2 * ((kv * 64 + position % 64) * model.head_dim) as usize
}

/// Where a value lies.
fn value_at(model: &Model, table: &[u32], layer: usize, kv: u32, position: u32) -> usize {
    let place = table[layer * model.max_pages as usize + position as usize / 64] as usize * UNIT;
    let keys = model.n_kv_heads * 64 * model.head_dim;
    place + 2 * (keys + (kv * 64 + position % 64) * model.value_dim) as usize
}

fn halves(bytes: &[u8], at: usize, len: u32) -> Vec<f32> {
    let pairs = bytes[at..at + 2 * len as usize].as_chunks::<2>().0;
    pairs.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect()
}

/// Softmax-weighted values of one query over the pages.
fn attended(set: &Set, pages: &[u8], layer: usize, query: &[f32], head: u32, position: u32) -> Vec<f32> {
    let model = &set.model;
    let kv = head / (model.n_heads / model.n_kv_heads);
    let key = |p| halves(pages, key_at(model, &set.table, layer, kv, p), model.head_dim);
    let scores: Vec<f64> = (0..=position).map(|p| dot(query, &key(p)) * f64::from(model.attention_scale)).collect();
    let most = scores.iter().copied().fold(f64::MIN, f64::max);
    let weights: Vec<f64> = scores.iter().map(|s| (s - most).exp()).collect();
    let sum: f64 = weights.iter().sum();
    let mut out = vec![0.0; model.value_dim as usize];
    for (p, weight) in weights.iter().enumerate() {
        let value = halves(pages, value_at(model, &set.table, layer, kv, p as u32), model.value_dim);
        out.iter_mut().zip(value).for_each(|(out, v)| *out += weight / sum * f64::from(v));
    }
    out.iter().map(|x| *x as f32).collect()
}

fn check(case: &Case, layer: usize, emulator: &mut Emulator, random: &mut Random) {
    let set = Set::new(case, random);
    let (model, pass) = (&set.model, &set.pass);
    let what = format!("heads {:?} dims {:?} first {} tokens {}", case.heads, case.dims, case.first, case.tokens);
    set.define(emulator);
    for dispatch in dispatches(model, pass, layer, "cache") {
        emulator.play(&dispatch);
    }
    let qkv = emulator.f32s(Buffer::Qkv).expect("no finding");
    let pages = emulator.read(Buffer::Pages).expect("no finding");
    for t in 0..case.tokens as usize {
        let row = &qkv[t * model.qkv_len() as usize..];
        let position = case.first + t as u32;
        for head in 0..model.n_heads {
            let found = &row[(head * model.head_dim) as usize..][..model.head_dim as usize];
            assert_near(&format!("{what}: query"), found, &set.rotated(t, head, case));
        }
        for kv in 0..model.n_kv_heads {
            // Rounding to f16 is half of 2^-10 of a value.
            let found = halves(&pages, key_at(model, &set.table, layer, kv, position), model.head_dim);
            assert_near(&format!("{what}: key"), &found, &set.rotated(t, model.n_heads + kv, case));
            let found = halves(&pages, value_at(model, &set.table, layer, kv, position), model.value_dim);
            assert_near(&format!("{what}: value"), &found, &set.value(t, kv, case));
        }
    }
    let changed = set.pages.iter().zip(&pages).filter(|(a, b)| a != b).count();
    let written = case.tokens * model.n_kv_heads * (model.head_dim + model.value_dim) * 2;
    assert!(changed <= written as usize, "{what}: bytes of others were written");

    let list = dispatches(model, pass, layer, "attention");
    let tokens = if layer == 1 { case.wanted } else { case.tokens };
    let first = case.first + case.tokens - tokens;
    assert_eq!(list.len(), 1 + usize::from(slices(first, tokens) > 1), "{what}: slices are joined");
    list.iter().for_each(|dispatch| emulator.play(dispatch));
    let found = emulator.f32s(Buffer::Attended).expect("no finding");
    let mut expected = Vec::new();
    for t in (case.tokens - tokens) as usize..case.tokens as usize {
        for head in 0..model.n_heads {
            let query = &qkv[t * model.qkv_len() as usize + (head * model.head_dim) as usize..];
            let position = case.first + t as u32;
            expected.extend(attended(&set, &pages, layer, &query[..model.head_dim as usize], head, position));
        }
    }
    assert_near(&format!("{what}: attention"), &found[..expected.len()], &expected);
}

#[test]
fn heads_are_rotated_kept_and_attended() {
    let case = |heads, dims, adjacent, bias, norm, first, tokens, wanted| Case {
        heads,
        dims,
        adjacent,
        bias,
        norm,
        first,
        tokens,
        wanted,
    };
    let cases = [
        case([4, 2], [64, 64, 64], true, false, false, 0, 1, 1),
        case([4, 2], [128, 128, 128], false, true, false, 70, 1, 1),
        case([4, 4], [64, 64, 32], false, false, true, 63, 3, 2),
        case([3, 1], [80, 80, 80], true, true, true, 130, 11, 3),
        case([6, 2], [40, 24, 24], true, false, false, 5, 9, 9),
        // More heads in a group than a threadgroup takes; slices that are joined.
        case([16, 1], [32, 64, 32], false, false, false, 700, 1, 1),
        case([2, 2], [256, 256, 64], true, false, true, 510, 4, 1),
        // A prompt that wants one token: its last layer is sliced, the others are not.
        case([4, 2], [64, 64, 64], false, true, false, 520, 10, 1),
    ];
    let mut random = Random(5);
    for (i, case) in cases.iter().enumerate() {
        let mut emulator = Emulator::new(ORDERS[i % 3]);
        for layer in 0..2 {
            check(case, layer, &mut emulator, &mut random);
        }
    }
}
