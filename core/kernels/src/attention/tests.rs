//! Every set against scalar by bits, the promises about order and cuts, and naive softmax attention in f64.

use half::f16;

use super::*;
use crate::float::tests::{Random, bits};
use crate::format::Format;
use crate::scratch::MAX_SCRATCH_BYTES;

/// A small problem: `pages` of keys and values, `r` query rows.
struct Case {
    r: usize,
    dk: usize,
    dv: usize,
    format: KvFormat,
    q: Vec<f32>,
    k: Vec<u16>,
    v: Vec<u16>,
    /// Visible positions of each row over all pages.
    visible: Vec<(usize, usize)>,
    soft_cap: Option<f32>,
    sinks: Option<Vec<f32>>,
}

/// `m`, `l`, `acc` that own their memory.
#[derive(Clone, Debug)]
struct Sums {
    m: Vec<f32>,
    l: Vec<f32>,
    acc: Vec<f32>,
}

impl Sums {
    fn new(r: usize, dv: usize) -> Self {
        let mut sums = Self { m: vec![1.0; r], l: vec![1.0; r], acc: vec![1.0; r * dv] };
        sums.view().reset();
        sums
    }

    fn view(&mut self) -> State<'_> {
        State { m: &mut self.m, l: &mut self.l, acc: &mut self.acc }
    }

    fn bits(&self) -> [Vec<u32>; 3] {
        [bits(&self.m), bits(&self.l), bits(&self.acc)]
    }
}

impl Case {
    fn new(random: &mut Random, r: usize, dk: usize, dv: usize, n: usize) -> Self {
        Self::stored(random, KvFormat::F16, (r, dk, dv, n))
    }

    fn stored(random: &mut Random, format: KvFormat, (r, dk, dv, n): Shape) -> Self {
        let mut rows = |dim: usize| {
            let mut rows = vec![0; n * format.row_len(dim)];
            for out in rows.chunks_exact_mut(format.row_len(dim)) {
                Isa::available()[0].store_kv(format, &random.floats(dim, 1.5), out);
            }
            rows
        };
        let (k, v) = (rows(dk), rows(dv));
        let visible = (0..r)
            .map(|i| match i % 5 {
                0 => (0, n),
                1 => (0, 0),
                _ => {
                    let (a, b) = (random.next() as usize % n, random.next() as usize % n);
                    (a.min(b), a.max(b) + 1)
                }
            })
            .collect();
        let q = random.floats(r * dk, 1.5);
        let soft_cap = r.is_multiple_of(2).then_some(5.0);
        let sinks = r.is_multiple_of(3).then(|| random.floats(r, 2.0));
        Self { r, dk, dv, format, q, k, v, visible, soft_cap, sinks }
    }

    /// Like `new`, every row seeing everything up to its own token, `group` rows a token.
    fn causal(random: &mut Random, group: usize, t: usize, dim: usize, n: usize) -> Self {
        let mut case = Self::new(random, group * t, dim, dim, n);
        for (i, visible) in case.visible.iter_mut().enumerate() {
            *visible = (0, n - t + i / group + 1);
        }
        case
    }

    fn n(&self) -> usize {
        self.k.len() / self.format.row_len(self.dk)
    }

    /// Stored rows as floats, by other code than the one under test.
    fn floats(&self, rows: &[u16]) -> Vec<f32> {
        let bytes: Vec<u8> = rows.iter().flat_map(|x| x.to_le_bytes()).collect();
        let format = match self.format {
            KvFormat::F16 => Format::F16,
            KvFormat::Q8_0 => Format::Q8_0,
            KvFormat::Q4_0 => Format::Q4_0,
        };
        let mut out = vec![0.0; bytes.len() / format.block_bytes() * format.block_len()];
        Isa::available()[0].dequantize(format, &bytes, &mut out);
        out
    }

    /// Merges page `page` of rows `from..to` into `sums` (of those rows).
    fn page(&self, isa: &Isa, page: usize, (from, to): (usize, usize), sums: &mut Sums, scratch: &mut Scratch) {
        let start = page * PAGE_LEN;
        let end = self.n().min(start + PAGE_LEN);
        let clip = |x: usize| (x.clamp(start, end) - start) as u32;
        let ranges: Vec<(u32, u32)> = self.visible[from..to].iter().map(|&(a, b)| (clip(a), clip(b))).collect();
        let (k, v) = (self.format.row_len(self.dk), self.format.row_len(self.dv));
        let attend = Attend {
            q: &self.q[from * self.dk..to * self.dk],
            ranges: &ranges,
            format: self.format,
            k: &self.k[start * k..end * k],
            v: &self.v[start * v..end * v],
            next: &self.k[end * k..],
            dk: self.dk,
            dv: self.dv,
            scale: 1.0 / (self.dk as f32).sqrt(),
            soft_cap: self.soft_cap,
        };
        isa.attend(&attend, &mut sums.view(), scratch);
    }

    fn pages(&self) -> usize {
        self.n().div_ceil(PAGE_LEN)
    }

    /// All pages, all rows at once.
    fn run(&self, isa: &Isa) -> Sums {
        let mut sums = Sums::new(self.r, self.dv);
        let mut scratch = Scratch::new();
        scratch.f32s_mut()[..FILLED].fill(f32::NAN); // whatever was there must not matter
        for page in 0..self.pages() {
            self.page(isa, page, (0, self.r), &mut sums, &mut scratch);
        }
        sums
    }

    fn finish(&self, isa: &Isa, sums: &mut Sums) -> Vec<f32> {
        let mut out = vec![f32::NAN; self.r * self.dv];
        isa.finish(&sums.view(), self.sinks.as_deref(), &mut out);
        out
    }

    /// The plain formula in f64.
    fn naive(&self) -> Vec<f64> {
        let (k, v) = (self.floats(&self.k), self.floats(&self.v));
        let mut out = vec![0.0; self.r * self.dv];
        for (r, &(from, to)) in self.visible.iter().enumerate() {
            let q = &self.q[r * self.dk..][..self.dk];
            let score = |i: usize| {
                let k = &k[i * self.dk..][..self.dk];
                let dot: f64 = q.iter().zip(k).map(|(&q, &k)| f64::from(q) * f64::from(k)).sum();
                let s = dot / (self.dk as f64).sqrt();
                self.soft_cap.map_or(s, |cap| f64::from(cap) * (s / f64::from(cap)).tanh())
            };
            let mut sum = self.sinks.as_ref().filter(|_| from < to).map_or(0.0, |s| f64::from(s[r]).exp());
            for i in from..to {
                let p = score(i).exp();
                sum += p;
                for (out, &v) in out[r * self.dv..][..self.dv].iter_mut().zip(&v[i * self.dv..]) {
                    *out += p * f64::from(v);
                }
            }
            if from < to {
                out[r * self.dv..][..self.dv].iter_mut().for_each(|x| *x /= sum);
            }
        }
        out
    }
}

/// Rows, dk, dv, positions.
type Shape = (usize, usize, usize, usize);

/// Tiles and their remainders, padded heads, one page and several, more rows than a chunk.
const SHAPES: &[Shape] = if cfg!(miri) { &FEW } else { &ALL };

/// For Miri, which interprets: every tile (of one row, two, three and four; keys and values where they lie, and widened; columns by
/// the four and the rest), every format, two pages.
const FEW: [Shape; 4] = [(1, 32, 96, 17), (2, 40, 24, 3), (7, 8, 72, 5), (2, 16, 16, 65)];

const ALL: [Shape; 16] = [
    (1, 64, 64, 64),
    (2, 64, 64, 1),
    (3, 128, 128, 63),
    (4, 64, 64, 130),
    (4, 128, 64, 7),
    (4, 256, 256, 64),
    (5, 64, 64, 65),
    (6, 96, 96, 40),
    (7, 128, 128, 200),
    (8, 8, 8, 17),
    (2, 40, 72, 64),
    (3, 24, 16, 100),
    (9, 120, 40, 33),
    (16, 512, 512, 64),
    (11, 80, 80, 129),
    (131, 64, 64, 70),
];

fn cases() -> impl Iterator<Item = Case> {
    let mut random = Random(21);
    let mut all: Vec<Case> = SHAPES.iter().map(|&(r, dk, dv, n)| Case::new(&mut random, r, dk, dv, n)).collect();
    for format in [KvFormat::Q8_0, KvFormat::Q4_0] {
        let fits = |&&(_, dk, dv, _): &&Shape| dk.is_multiple_of(32) && dv.is_multiple_of(32);
        all.extend(SHAPES.iter().filter(fits).map(|&shape| Case::stored(&mut random, format, shape)));
    }
    let groups: &[usize] = if cfg!(miri) { &[] } else { &[1, 2, 3, 4, 7] };
    all.extend(groups.iter().map(|&group| Case::causal(&mut random, group, 9, 64, 140)));
    all.into_iter()
}

fn name(case: &Case, isa: &Isa) -> String {
    format!("{} {:?}: r {} dk {} dv {} n {}", isa.name(), case.format, case.r, case.dk, case.dv, case.n())
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no set but the scalar one")]
fn every_set_gives_the_bits_of_scalar() {
    for case in cases() {
        let mut expected = case.run(Isa::available()[0]);
        let expected_out = case.finish(Isa::available()[0], &mut expected);
        for isa in Isa::available() {
            let mut sums = case.run(isa);
            assert_eq!(sums.bits(), expected.bits(), "{}", name(&case, isa));
            assert_eq!(bits(&case.finish(isa, &mut sums)), bits(&expected_out), "{}", name(&case, isa));
        }
    }
}

/// How much of the scratch is filled before use: all of it, but for Miri.
const FILLED: usize = if cfg!(miri) { 1 << 12 } else { MAX_SCRATCH_BYTES / 4 };

/// Of a page that one test looks at closely.
const DIM: usize = if cfg!(miri) { 16 } else { 64 };
const N: usize = if cfg!(miri) { 22 } else { 64 };

#[test]
#[cfg_attr(miri, ignore = "other values, no other pointer")]
fn infinities_and_nan_give_the_same_everywhere() {
    let mut random = Random(22);
    let mut case = Case::new(&mut random, 4, DIM, DIM, N);
    case.visible.fill((0, N));
    for (i, special) in [(3, f16::NAN), (DIM * 7 + 5, f16::INFINITY), (DIM * 13, f16::NEG_INFINITY), (0, f16::MAX)] {
        for in_keys in [true, false] {
            let page = if in_keys { &mut case.k } else { &mut case.v };
            let old = std::mem::replace(&mut page[i], special.to_bits());
            let expected = case.run(Isa::available()[0]);
            for isa in Isa::available() {
                assert_eq!(case.run(isa).bits(), expected.bits(), "{} {special}", isa.name());
            }
            let page = if in_keys { &mut case.k } else { &mut case.v };
            page[i] = old;
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "other values, no other pointer")]
fn what_a_row_does_not_see_cannot_touch_it() {
    let mut random = Random(23);
    let clean = Case::new(&mut random, 8, DIM, DIM, N);
    for isa in Isa::available() {
        let mut case = Case::new(&mut Random(23), 8, DIM, DIM, N);
        case.visible.fill((10, 20));
        let mut narrow = Case { visible: case.visible.clone(), ..Case::new(&mut Random(23), 8, DIM, DIM, N) };
        assert_eq!(narrow.k, clean.k);
        for i in (0..10).chain(20..N) {
            narrow.k[i * DIM..(i + 1) * DIM].fill(f16::NAN.to_bits());
            narrow.v[i * DIM..(i + 1) * DIM].fill(f16::INFINITY.to_bits());
        }
        assert_eq!(narrow.run(isa).bits(), case.run(isa).bits(), "{}", isa.name());
        // Also where other rows of the same tile do see it.
        narrow.visible[2] = (0, N);
        let (found, expected) = (narrow.run(isa), case.run(isa));
        for row in [0, 1, 3, 4] {
            let acc = row * DIM..(row + 1) * DIM;
            assert_eq!(bits(&found.acc[acc.clone()]), bits(&expected.acc[acc]), "{}", isa.name());
            assert_eq!(found.l[row].to_bits(), expected.l[row].to_bits());
        }
    }
}

#[test]
fn a_row_that_sees_nothing_keeps_its_state_bit_for_bit() {
    let mut random = Random(24);
    let mut case = Case::new(&mut random, 6, DIM, DIM, N);
    for isa in Isa::available() {
        for hidden in [vec![0, 1, 2, 3, 4, 5], vec![1, 4]] {
            let mut sums =
                Sums { m: random.floats(6, 1.0), l: random.floats(6, 1.0), acc: random.floats(6 * DIM, 1.0) };
            sums.acc[DIM] = -0.0;
            let before = sums.clone();
            case.visible.fill((0, N));
            hidden.iter().for_each(|&row| case.visible[row] = (0, 0));
            case.page(isa, 0, (0, 6), &mut sums, &mut Scratch::new());
            for row in 0..6 {
                let same = sums.m[row].to_bits() == before.m[row].to_bits()
                    && sums.l[row].to_bits() == before.l[row].to_bits()
                    && bits(&sums.acc[row * DIM..][..DIM]) == bits(&before.acc[row * DIM..][..DIM]);
                assert_eq!(same, hidden.contains(&row), "{} row {row}", isa.name());
            }
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "the calls of other tests")]
fn any_split_of_rows_into_calls_gives_the_same_bits() {
    for case in cases() {
        for isa in Isa::available() {
            let whole = case.run(isa);
            for step in [1, 2, 3, 5, 8] {
                let mut scratch = Scratch::new();
                for from in (0..case.r).step_by(step) {
                    let to = case.r.min(from + step);
                    let mut sums = Sums::new(to - from, case.dv);
                    for page in 0..case.pages() {
                        case.page(isa, page, (from, to), &mut sums, &mut scratch);
                    }
                    let expected = Sums {
                        m: whole.m[from..to].to_vec(),
                        l: whole.l[from..to].to_vec(),
                        acc: whole.acc[from * case.dv..to * case.dv].to_vec(),
                    };
                    assert_eq!(sums.bits(), expected.bits(), "{} by {step}", name(&case, isa));
                }
            }
        }
    }
}

#[test]
fn merging_states_of_single_pages_gives_the_bits_of_running_through_them() {
    for case in cases().filter(|case| !cfg!(miri) || case.pages() > 1) {
        for isa in Isa::available() {
            let mut merged = Sums::new(case.r, case.dv);
            let mut scratch = Scratch::new();
            for page in 0..case.pages() {
                let mut single = Sums::new(case.r, case.dv);
                case.page(isa, page, (0, case.r), &mut single, &mut scratch);
                isa.merge(&mut merged.view(), &single.view());
            }
            assert_eq!(merged.bits(), case.run(isa).bits(), "{}", name(&case, isa));
        }
    }
}

#[test]
fn attention_agrees_with_the_plain_formula() {
    for case in cases() {
        for isa in Isa::available() {
            let mut sums = case.run(isa);
            let out = case.finish(isa, &mut sums);
            for (i, (found, exact)) in out.iter().zip(case.naive()).enumerate() {
                // |values| <= 1.5; a score of size <= 30 is off by up to 1e-5, and so is its weight.
                assert!((f64::from(*found) - exact).abs() < 2e-5, "{} [{i}]: {found}, exact {exact}", name(&case, isa));
            }
        }
    }
}

/// The canonical arithmetic of ARCHITECTURE.md, written out for one row and one page.
fn canonical(q: &[f32], k: &[f32], v: &[f32], (from, to): (usize, usize), scale: f32) -> (f32, f32, Vec<f32>) {
    let (dk, dv) = (q.len(), v.len() * q.len() / k.len());
    let fold = |mut lanes: [f32; 16]| {
        for half in [8, 4, 2, 1] {
            for i in 0..half {
                lanes[i] += lanes[i + half];
            }
        }
        lanes[0]
    };
    let score = |position: usize| {
        let mut lanes = [0.0f32; 16];
        for i in 0..dk {
            lanes[i % 16] = q[i].mul_add(k[position * dk + i], lanes[i % 16]);
        }
        fold(lanes) * scale
    };
    let m = (from..to).map(score).fold(f32::NEG_INFINITY, f32::max);
    let (mut l, mut acc) = ([0.0f32; 16], vec![0.0f32; dv]);
    for position in from..to {
        let p = crate::float::elementary::exp(score(position) - m);
        l[position % 16] += p;
        for (acc, v) in acc.iter_mut().zip(&v[position * dv..]) {
            *acc = p.mul_add(*v, *acc);
        }
    }
    (m, fold(l), acc)
}

#[test]
#[cfg_attr(miri, ignore = "the calls of other tests")]
fn one_page_gives_the_bits_of_the_canonical_arithmetic() {
    for case in cases().filter(|case| case.pages() == 1 && case.soft_cap.is_none()) {
        let [k, v] = [&case.k, &case.v].map(|rows| case.floats(rows));
        for isa in Isa::available() {
            let found = case.run(isa);
            for (row, &visible) in case.visible.iter().enumerate().filter(|(_, (from, to))| from < to) {
                let q = &case.q[row * case.dk..][..case.dk];
                let (m, l, acc) = canonical(q, &k, &v, visible, 1.0 / (case.dk as f32).sqrt());
                assert_eq!(bits(&[found.m[row], found.l[row]]), bits(&[m, l]), "{} row {row}", name(&case, isa));
                assert_eq!(bits(&found.acc[row * case.dv..][..case.dv]), bits(&acc), "{} row {row}", name(&case, isa));
            }
        }
    }
}
