//! Matrix products, every format: one token, a few, many; with a norm in front, added to a residual, three matrices, gate and up.

use sprat_metal::{Activation, Buffer, Finish, Format, Matrix, Norm, Product, add_normed};

use crate::emulator::{Emulator, Finding, ORDERS, Order};
use crate::weights::{File, Random, assert_near, dot, gelu, rms_norm, silu};

const EPS: f32 = 1e-5;

/// Inner sizes: one block, an odd number, more than the 32 lanes take at once.
fn widths(format: Format) -> [u32; 3] {
    match format.block().0 {
        16 => [16, 48, 528],
        32 => [32, 96, 544],
        _ => [256, 512, 768],
    }
}

pub struct Case {
    rows: Vec<u32>,
    tokens: u32,
    norm: bool,
    adds: bool,
    gate_up: bool,
    bias: bool,
    scale: f32,
    cap: Option<f32>,
    activation: Activation,
    /// Of the last matrix, where it differs.
    last: Option<Format>,
}

pub fn case(rows: &[u32], tokens: u32, norm: bool, adds: bool, gate_up: bool) -> Case {
    let (bias, scale, cap, activation, last) = (false, 1.0, None, Activation::Silu, None);
    Case { rows: rows.to_vec(), tokens, norm, adds, gate_up, bias, scale, cap, activation, last }
}

/// A product of one matrix that is not left as it is.
fn finished(rows: u32, tokens: u32, adds: bool, bias: bool, scale: f32, cap: Option<f32>) -> Case {
    Case { bias, scale, cap, ..case(&[rows], tokens, true, adds, false) }
}

/// Plays one product: what it gave and what it should give. The output buffer is NaN where nothing may be added to.
pub fn play(
    emulator: &mut Emulator,
    format: Format,
    k: u32,
    case: &Case,
    random: &mut Random,
) -> Result<[Vec<f32>; 2], Finding> {
    let mut file = File::default();
    // The file ends with the rows, and what steps over their end with it.
    let norm_weights = random.floats(k as usize);
    let weights = file.vector(&norm_weights);
    let biases = random.floats(case.rows[0] as usize);
    let bias = Some(file.vector(&biases)).filter(|_| case.bias);
    let format_of = |i: usize| case.last.filter(|_| i + 1 == case.rows.len()).unwrap_or(format);
    let (matrices, values): (Vec<Matrix>, Vec<Vec<Vec<f32>>>) =
        case.rows.iter().enumerate().map(|(i, &rows)| file.matrix(format_of(i), rows, k, random)).unzip();
    let x: Vec<Vec<f32>> = (0..case.tokens).map(|_| random.floats(k as usize)).collect();
    let n: usize = if case.gate_up { case.rows[0] } else { case.rows.iter().sum() } as usize;
    let residual =
        if case.adds { random.floats(n * case.tokens as usize) } else { vec![f32::NAN; n * case.tokens as usize] };

    let mut expected = Vec::new();
    for (t, x) in x.iter().enumerate() {
        let x = if case.norm { rms_norm(x, &norm_weights, EPS) } else { x.clone() };
        if case.gate_up {
            let f = if case.activation == Activation::Silu { silu } else { gelu };
            let hidden = |(g, u): (&Vec<f32>, &Vec<f32>)| (f(dot(g, &x)) * dot(u, &x)) as f32;
            expected.extend(values[0].iter().zip(&values[1]).map(hidden));
        } else {
            let before = |i: usize| if case.adds { residual[t * n + i] } else { 0.0 };
            let biased = |i: usize, w: &[f32]| dot(w, &x) as f32 + if case.bias { biases[i] } else { 0.0 };
            let capped = |y: f32| case.cap.map_or(y, |cap| cap * (y / cap).tanh());
            let row = |(i, w): (usize, &Vec<f32>)| capped(case.scale * biased(i, w)) + before(i);
            expected.extend(values.iter().flatten().enumerate().map(row));
        }
    }

    emulator.define(Buffer::Weights, &file.bytes);
    emulator.define_f32(Buffer::Qkv, &x.concat());
    emulator.define_f32(Buffer::Residual, &residual);
    let product = Product {
        matrices: &matrices,
        tokens: case.tokens,
        input: (Buffer::Qkv, 0),
        norm: case.norm.then_some(Norm { weights, eps: EPS }),
        output: (Buffer::Residual, 0),
        stride: n as u32,
        finish: Finish { bias, scale: case.scale, cap: case.cap },
        adds: case.adds,
    };
    let dispatch = if case.gate_up { product.gate_up(case.activation) } else { product.dispatch() };
    emulator.play(&dispatch);
    Ok([emulator.f32s(Buffer::Residual)?, expected])
}

fn check_all(cases: &[Case]) {
    for (i, format) in Format::ALL.into_iter().enumerate() {
        let mut emulator = Emulator::new(ORDERS[i % 3]);
        let mut random = Random(i as u64);
        for (j, case) in cases.iter().enumerate() {
            let k = widths(format)[j % 3];
            let [found, expected] = play(&mut emulator, format, k, case, &mut random).expect("no finding");
            let what = format!("{format:?} k {k} rows {:?} tokens {}", case.rows, case.tokens);
            assert_near(&what, &found, &expected);
        }
    }
}

#[test]
fn one_token_and_a_few() {
    check_all(&[
        case(&[1], 1, false, false, false),
        case(&[3], 1, true, false, false),
        case(&[37], 1, false, true, false),
        case(&[16], 2, true, false, false),
        case(&[5], 4, false, true, false),
        case(&[18], 7, true, true, false),
        case(&[4, 2, 7], 1, true, false, false),
        case(&[17, 33, 1], 5, true, false, false),
        case(&[30, 3], 8, false, false, false),
        finished(18, 1, true, true, 0.3, None),
        finished(9, 3, false, true, 2.0, Some(1.5)),
    ]);
}

#[test]
fn many_tokens() {
    check_all(&[
        case(&[1], 9, false, false, false),
        case(&[65], 33, true, false, false),
        case(&[64], 32, false, true, false),
        case(&[3, 66, 2], 31, true, false, false),
        finished(66, 34, true, true, 0.3, None),
        finished(5, 10, false, false, 2.0, Some(1.5)),
    ]);
}

#[test]
fn gate_and_up() {
    let gelu =
        |rows: u32, tokens| Case { activation: Activation::GeluTanh, ..case(&[rows, rows], tokens, true, false, true) };
    check_all(&[
        gelu(10, 1),
        gelu(7, 11),
        case(&[1, 1], 1, true, false, true),
        case(&[9, 9], 1, false, false, true),
        case(&[19, 19], 6, true, false, true),
        case(&[33, 33], 34, true, false, true),
    ]);
}

#[test]
fn two_formats_in_one_product() {
    for (i, (format, last)) in Format::PAIRS.into_iter().enumerate() {
        let mut emulator = Emulator::new(ORDERS[i % 3]);
        for (j, tokens) in [1, 6, 40].into_iter().enumerate() {
            let case = Case { last: Some(last), ..case(&[17, 6, 9], tokens, true, false, false) };
            let k = widths(format)[j];
            let [found, expected] = play(&mut emulator, format, k, &case, &mut Random(i as u64)).expect("no finding");
            assert_near(&format!("{format:?} and {last:?}, {tokens} tokens"), &found, &expected);
        }
    }
}

#[test]
fn every_order_of_threads_gives_the_same_bits() {
    for tokens in [1, 5, 40] {
        let run = |order: Order| {
            let mut random = Random(3);
            let mut file = File::default();
            let (matrix, _) = file.matrix(Format::Q4_K, 70, 512, &mut random);
            let mut emulator = Emulator::new(order);
            emulator.define(Buffer::Weights, &file.bytes);
            emulator.define_f32(Buffer::Qkv, &random.floats(512 * tokens as usize));
            emulator.define_f32(Buffer::Residual, &vec![f32::NAN; 70 * tokens as usize]);
            let (input, output) = ((Buffer::Qkv, 0), (Buffer::Residual, 0));
            let finish = Finish::NONE;
            let product =
                Product { matrices: &[matrix], tokens, input, norm: None, output, stride: 70, finish, adds: false };
            emulator.play(&product.dispatch());
            emulator.f32s(Buffer::Residual).expect("no finding")
        };
        let forward = run(Order::Forward);
        assert!(forward.iter().all(|x| x.is_finite()));
        assert_eq!(forward, run(Order::Backward));
        assert_eq!(forward, run(Order::Shuffled));
    }
}

#[test]
fn a_norm_behind_a_block_goes_into_the_stream() {
    for (k, tokens) in [(16, 1), (80, 3), (528, 2)] {
        let mut random = Random(u64::from(k));
        let mut file = File::default();
        let norm = random.floats(k as usize);
        let weights = file.vector(&norm);
        let [x, residual] = [0, 1].map(|_| random.floats((k * tokens) as usize));
        let mut emulator = Emulator::new(ORDERS[tokens as usize % 3]);
        emulator.define(Buffer::Weights, &file.bytes);
        emulator.define_f32(Buffer::Hidden, &x);
        emulator.define_f32(Buffer::Residual, &residual);
        let norm_at = Norm { weights, eps: EPS };
        emulator.play(&add_normed(k, tokens, Buffer::Hidden, norm_at, (Buffer::Residual, 0), 0.7));
        let normed: Vec<f32> = x.chunks_exact(k as usize).flat_map(|x| rms_norm(x, &norm, EPS)).collect();
        let expected: Vec<f32> = residual.iter().zip(normed).map(|(r, x)| r + 0.7 * x).collect();
        assert_near(
            &format!("{k} values of {tokens}"),
            &emulator.f32s(Buffer::Residual).expect("no finding"),
            &expected,
        );
    }
}
