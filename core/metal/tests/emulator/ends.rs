//! The first and the last steps of a pass: rows of the embedding, the best tokens.

use sprat_metal::{Buffer, Format, Matrix, Model, Pass, TOP_K_CHUNK};

use crate::emulator::{Emulator, ORDERS, Order};
use crate::models::{PLAIN, model};
use crate::weights::{File, Random, assert_near};

#[test]
fn embedding_rows_are_dequantized() {
    for (i, format) in Format::ALL.into_iter().enumerate() {
        let mut random = Random(i as u64);
        let mut file = File::default();
        // More parts than one threadgroup takes, and a last one that is not full.
        let (matrix, values) = file.matrix(format, 5, 1280, &mut random);
        let tokens = [4u32, 0, 3, 4];
        let mut emulator = Emulator::new(ORDERS[i % 3]);
        emulator.define(Buffer::Weights, &file.bytes);
        emulator.define_u32(Buffer::Tokens, &tokens);
        emulator.define_f32(Buffer::Residual, &[f32::NAN; 4 * 1280]);
        let pass = Pass { tokens: 4, first: 0, wanted: 0, top_k: None };
        let model = Model { embedding_scale: 3.0, ..model(PLAIN, matrix) };
        emulator.play(&model.pass(&pass).0[0]);
        let found = emulator.f32s(Buffer::Residual).expect("no finding");
        let expected: Vec<f32> = tokens.iter().flat_map(|&t| &values[t as usize]).map(|x| 3.0 * x).collect();
        assert_near(&format!("{format:?}"), &found, &expected);
    }
}

#[test]
fn the_best_tokens_are_found_in_order() {
    for (vocabulary, k, order) in [
        (1, 1, Order::Forward),
        (300, 40, Order::Shuffled),
        (1024, 64, Order::Forward),
        (200, 256, Order::Backward),
        (20_000, 256, Order::Backward),
    ] {
        let mut random = Random(u64::from(vocabulary));
        // Few distinct values: equals go by the lower index, and so do both zeros.
        let mut logits: Vec<f32> = (0..vocabulary).map(|_| (random.float() * 200.0).round()).collect();
        // What can never be chosen, and what is always.
        let odd = [f32::NAN, f32::NEG_INFINITY, -f32::NAN, f32::INFINITY, f32::INFINITY, f32::MIN, f32::MAX];
        logits.iter_mut().skip(1).step_by(41).zip(odd).for_each(|(logit, odd)| *logit = odd);
        let matrix = Matrix { format: Format::F32, rows: vocabulary, cols: 16, offset: 0 };
        let pass = Pass { tokens: 1, first: 0, wanted: 1, top_k: Some(k) };
        let (list, turn) = model(PLAIN, matrix).pass(&pass);
        let mut emulator = Emulator::new(order);
        emulator.define_f32(Buffer::Logits, &logits);
        let places = (vocabulary.div_ceil(TOP_K_CHUNK) * k) as usize;
        for turn in [false, true] {
            emulator.define_f32(Buffer::TopValues(turn), &vec![f32::NAN; places]);
            emulator.define_u32(Buffer::TopIndices(turn), &vec![0; places]);
        }
        let rounds: Vec<_> = list.iter().filter(|dispatch| dispatch.kernel.stem == "top_k").collect();
        rounds.iter().for_each(|dispatch| emulator.play(dispatch));
        let values = emulator.f32s(Buffer::TopValues(turn)).expect("no finding");
        let indices = emulator.u32s(Buffer::TopIndices(turn)).expect("no finding");
        let possible = |(_, logit): &(u32, f32)| *logit > f32::NEG_INFINITY;
        let mut expected: Vec<(u32, f32)> =
            (0..).zip(logits).filter(possible).map(|(i, logit)| (i, logit + 0.0)).collect();
        expected.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        expected.resize(expected.len().max(k as usize), (u32::MAX, f32::NEG_INFINITY));
        let found: Vec<(u32, f32)> = indices.into_iter().zip(values).take(k as usize).collect();
        assert_eq!(found, expected[..k as usize], "{vocabulary} tokens, {} rounds", rounds.len());
    }
}
