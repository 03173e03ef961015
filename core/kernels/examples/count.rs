//! One matmul of a fixed shape, repeated: what an instruction counter runs to see what a kernel costs.
//!
//! `count FORMAT ROWS K TOKENS REPEATS`, the set by `SPRAT_ISA`. Instructions of one call are the difference between two runs
//! that differ in REPEATS by one; instructions per block are that over ROWS * K / block (and TOKENS).

use sprat_kernels::{ActivationKind, Activations, Format, Isa, Scratch};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [format, rows, k, tokens, repeats] = args.as_slice() else {
        eprintln!("usage: count FORMAT ROWS K TOKENS REPEATS");
        std::process::exit(2);
    };
    let format = Format::ALL.into_iter().find(|f| format!("{f:?}") == *format).expect("a format's name");
    let number = |text: &String| -> usize { text.parse().expect("a number") };
    let (rows, k, tokens, repeats) = (number(rows), number(k), number(tokens), number(repeats));

    let isa = Isa::detect();
    let kind = format.activation();
    // Zero bytes are valid in every format, and the work does not depend on values.
    let w = vec![0; rows * format.row_bytes(k)];
    let f = vec![0.0; tokens * k];
    let (q, d, s) =
        (vec![0; tokens * k], vec![0.0; tokens * k / kind.block_len()], vec![0; tokens * k / kind.sum_len()]);
    let m = vec![0; kind.magnitudes(tokens * k)];
    let x = match kind {
        ActivationKind::F32 => Activations::f32(tokens, k, &f),
        kind => Activations::quantized(kind, tokens, k, &q, &d, &s, &m),
    };
    let (mut out, mut scratch) = (vec![0.0; tokens * rows], Scratch::new());
    for _ in 0..repeats {
        isa.matmul(format, &w, &x, &mut out, &mut scratch);
    }
    eprintln!("{} {format:?}", isa.name());
}
