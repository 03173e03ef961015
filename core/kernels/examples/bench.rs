//! Speed of the matmul kernels, one thread: `cargo run --release -p sprat-kernels --example bench [ISA|all] [FORMAT]`.
//!
//! GB/s of weights for one token (the matrix is larger than any cache), billions of operations per second (two a
//! product) for batches, each the best of several repetitions; beside them a plain loop that reads the same bytes.

use std::hint::black_box;
use std::time::Instant;

use sprat_kernels::{ActivationKind, Activations, Format, Isa, Scratch};

/// Bytes of weights for the one-token figure: read from memory, not from caches.
const COLD_BYTES: usize = 512 << 20;

/// Bytes timed at once.
const SLICE_BYTES: usize = 2 << 20;

/// Weights a worker is given at a time.
const CHUNK_BYTES: usize = 64 << 10;

fn main() {
    let mut args = std::env::args().skip(1);
    let (isa, format) = (args.next(), args.next());
    // Sound blocks of any format: small scales and no subnormal floats, wherever they may lie.
    let weights: Vec<u8> = (0..COLD_BYTES).map(|i| (i.wrapping_mul(0x9E37_79B9) >> 13) as u8 & 0x0F | 0x20).collect();
    println!("set      format      k   read    t=1 |    t=1    t=2    t=4    t=8   t=16  t=256");
    println!("                         GB/s   GB/s |                   Gop/s, weights cached");
    for set in Isa::available().iter().skip(1) {
        if isa.as_deref().is_some_and(|isa| isa != "all" && isa != set.name()) {
            continue;
        }
        for f in Format::ALL {
            if format.as_deref().is_some_and(|name| name != format!("{f:?}")) {
                continue;
            }
            for k in [2048, 8192] {
                let name = format!("{f:?}");
                let (read, decode) = (read_gb_per_s(&weights), decode_gb_per_s(set, f, k, &weights));
                print!("{:<8} {name:<7} {k:>5} {read:>6.1} {decode:>6.1} |", set.name());
                for t in [1, 2, 4, 8, 16, 256] {
                    print!(" {:>6.0}", batch_gops(set, f, k, t, &weights));
                }
                println!();
            }
        }
    }
}

/// The best of `reps` times, in seconds.
fn best(reps: usize, mut run: impl FnMut()) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..reps {
        let start = Instant::now();
        run();
        best = best.min(start.elapsed().as_secs_f64());
    }
    best
}

/// Bytes per second over chunks of a few hundred microseconds each: the median chunk, in GB/s. Other programs then cost
/// the chunks they interrupt, not the figure.
fn median_gb_per_s<'a>(chunks: impl Iterator<Item = &'a [u8]>, mut run: impl FnMut(&[u8])) -> f64 {
    let mut seconds_per_byte: Vec<f64> = chunks
        .map(|chunk| {
            let start = Instant::now();
            run(chunk);
            start.elapsed().as_secs_f64() / chunk.len() as f64
        })
        .collect();
    seconds_per_byte.sort_by(f64::total_cmp);
    1e-9 / seconds_per_byte[seconds_per_byte.len() / 2]
}

fn read_gb_per_s(bytes: &[u8]) -> f64 {
    median_gb_per_s(bytes.chunks(SLICE_BYTES), |bytes| {
        // Eight sums of eight, so that additions never wait for each other.
        let mut sums = [0u64; 64];
        for line in bytes.chunks_exact(512) {
            for (sum, word) in sums.iter_mut().zip(line.chunks_exact(8)) {
                *sum = sum.wrapping_add(u64::from_le_bytes(word.try_into().expect("8 bytes")));
            }
        }
        black_box(sums);
    })
}

/// Activations of one format, owned.
struct Owned(ActivationKind, usize, usize, Vec<f32>, Vec<i8>, Vec<f32>, Vec<i16>, Vec<u16>);

impl Owned {
    fn new(isa: &Isa, kind: ActivationKind, t: usize, k: usize) -> Self {
        // Sums of four, as activations are: most of them small.
        let f: Vec<f32> =
            (0..t * k).map(|i| [37, 53, 71, 89].map(|m| (i * m % 101) as f32 - 50.0).iter().sum()).collect();
        let (mut q, mut d, mut s, mut m) = (vec![], vec![], vec![], vec![]);
        if kind != ActivationKind::F32 {
            q.resize(t * k, 0);
            d.resize(t * k / kind.block_len(), 0.0);
            s.resize(t * k / kind.sum_len(), 0);
            m.resize(kind.magnitudes(t * k), 0);
            isa.quantize(kind, &f, &mut q, &mut d, &mut s, &mut m);
        }
        Self(kind, t, k, f, q, d, s, m)
    }

    fn view(&self) -> Activations<'_> {
        let Self(kind, t, k, f, q, d, s, m) = self;
        match kind {
            ActivationKind::F32 => Activations::f32(*t, *k, f),
            kind => Activations::quantized(*kind, *t, *k, q, d, s, m),
        }
    }
}

/// One token over a matrix read from memory, chunk by chunk.
fn decode_gb_per_s(isa: &Isa, format: Format, k: usize, weights: &[u8]) -> f64 {
    let row_bytes = format.row_bytes(k);
    let chunk = (CHUNK_BYTES / row_bytes).next_multiple_of(32);
    let slice = SLICE_BYTES / (chunk * row_bytes) * chunk;
    let x = Owned::new(isa, format.activation(), 1, k);
    let mut out = vec![0.0; slice];
    let mut scratch = Scratch::new();
    median_gb_per_s(weights.chunks_exact(slice * row_bytes), |w| {
        for (w, out) in w.chunks(chunk * row_bytes).zip(out.chunks_mut(chunk)) {
            isa.matmul(format, w, &x.view(), out, &mut scratch);
        }
    })
}

/// A batch over 256 rows at a time, which stay in the second-level cache.
fn batch_gops(isa: &Isa, format: Format, k: usize, t: usize, weights: &[u8]) -> f64 {
    let n = 256;
    let w = &weights[..n * format.row_bytes(k)];
    let x = Owned::new(isa, format.activation(), t, k);
    let mut out = vec![0.0; n * t];
    let mut scratch = Scratch::new();
    let ops = 2.0 * (n * k * t) as f64;
    let reps = (2e9 / ops) as usize + 5;
    let seconds = best(reps.min(200), || isa.matmul(format, w, &x.view(), &mut out, &mut scratch));
    ops / seconds / 1e9
}
