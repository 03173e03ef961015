//! Speed of the float kernels and of attention, every set: `cargo run --release -p sprat-kernels --example bench_float`.
//!
//! The least of many short repetitions, which is robust to a busy machine. Attention figures are for data in cache:
//! bytes of keys and values a second, and operations a second.

use std::time::Instant;

use sprat_kernels::{Activation, Attend, Isa, KvFormat, PAGE_LEN, Pairing, Scratch, State};

fn main() {
    let mut scratch = Scratch::new();
    for isa in Isa::available() {
        floats(isa, 2048);
        for (r, dim) in [(1, 64), (4, 64), (8, 64), (4, 128), (8, 128), (64, 64), (128, 64), (64, 128), (128, 128)] {
            attention(isa, r, dim, &mut scratch);
        }
    }
}

/// Seconds of the fastest run within about 50 ms.
fn least(mut f: impl FnMut()) -> f64 {
    let (begin, mut best) = (Instant::now(), f64::INFINITY);
    while begin.elapsed().as_secs_f64() < 0.05 {
        let start = Instant::now();
        f();
        best = best.min(start.elapsed().as_secs_f64());
    }
    best
}

/// `n` numbers between -1 and 1.
fn numbers(n: usize) -> Vec<f32> {
    (0..n).map(|i| (i * 7919 % 101) as f32 / 50.0 - 1.0).collect()
}

fn floats(isa: &Isa, n: usize) {
    let (x, y) = (numbers(n), numbers(n));
    let mut out = x.clone();
    let report = |name: &str, seconds: f64| {
        println!(
            "{:12} {name:14} n {n}: {:8.0} ns, {:6.2} values a ns",
            isa.name(),
            seconds * 1e9,
            n as f64 / seconds / 1e9
        );
    };
    report("rms_norm", least(|| isa.rms_norm(&x, Some(&y), 1e-5, &mut out)));
    report("layer_norm", least(|| isa.layer_norm(&x, Some(&y), Some(&y), 1e-5, &mut out)));
    for f in [Activation::Exp, Activation::Silu, Activation::GeluTanh] {
        let seconds = least(|| {
            out.copy_from_slice(&x);
            isa.gated(f, &mut out, &y);
        });
        report(&format!("gated {f:?}"), seconds);
    }
    let seconds = least(|| {
        out.copy_from_slice(&x);
        isa.softmax(&mut out);
    });
    report("softmax", seconds);
    for pairing in [Pairing::Adjacent, Pairing::Halves] {
        let seconds = least(|| {
            out.copy_from_slice(&x); // or it would shrink to subnormals
            isa.rope(&mut out, &x[..n / 2], &y[..n / 2], pairing);
        });
        report(&format!("rope {pairing:?}"), seconds);
    }
    let mut half = vec![0; n];
    report("store_f16", least(|| isa.store_f16(&x, &mut half)));
}

fn attention(isa: &Isa, r: usize, dim: usize, scratch: &mut Scratch) {
    let q = numbers(r * dim);
    let mut page = vec![0; PAGE_LEN * dim];
    isa.store_f16(&numbers(PAGE_LEN * dim), &mut page);
    let ranges = vec![(0, PAGE_LEN as u32); r];
    let attend = Attend {
        q: &q,
        ranges: &ranges,
        format: KvFormat::F16,
        k: &page,
        v: &page,
        next: &page,
        dk: dim,
        dv: dim,
        scale: 0.1,
        soft_cap: None,
    };
    let (mut m, mut l, mut acc) = (vec![0.0; r], vec![0.0; r], vec![0.0; r * dim]);
    let mut state = State { m: &mut m, l: &mut l, acc: &mut acc };
    state.reset();
    let seconds = least(|| isa.attend(&attend, &mut state, scratch));
    let (bytes, operations) = ((PAGE_LEN * dim * 4) as f64, (4 * r * PAGE_LEN * dim) as f64);
    println!(
        "{:12} attend r {r:3} dim {dim:3}: {:6.2} GB/s of keys and values, {:6.1} GFLOPS",
        isa.name(),
        bytes / seconds / 1e9,
        operations / seconds / 1e9
    );
}
