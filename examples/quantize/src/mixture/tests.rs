//! Types of whole models against what llama.cpp chose for the same ones.

use super::*;

/// Made with llama-cpp-python 0.3.36: `llama_model_quantize` on small files of random weights. A line beginning with `model`
/// gives architecture, layers, experts and what it is there for; the others give a tensor's name, its dimensions and its
/// types: in the file, and in the six mixtures.
const CHOSEN: &str = include_str!("chosen.txt");

/// Order of the last six columns.
const COLUMNS: [Mixture; 6] =
    [Mixture::Q8_0, Mixture::Q6_K, Mixture::Q5_K_M, Mixture::Q4_K_M, Mixture::Q4_0, Mixture::F16];

fn kind(name: &str) -> TensorKind {
    TensorKind::from_name(name).expect("a type")
}

fn tensor(name: &str, shape: &[u64], kind: TensorKind) -> Tensor {
    Tensor { name: name.to_owned(), shape: shape.to_vec(), kind, range: 0..0 }
}

#[test]
fn every_tensor_gets_the_type_that_llama_cpp_gave_it() {
    for model in CHOSEN.split("model ").skip(1) {
        let mut lines = model.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let head = lines.next().expect("a first line");
        let number = |text: &str| text.parse::<u64>().expect("a number");
        let facts = Facts { architecture: head[0], n_layers: number(head[1]), n_experts: number(head[2]) };
        let rows: Vec<Vec<&str>> = lines.collect();
        let tensors: Vec<Tensor> = rows
            .iter()
            .map(|row| tensor(row[0], &row[1].split('x').map(number).collect::<Vec<u64>>(), kind(row[2])))
            .collect();
        assert!(tensors.len() > 20, "{head:?}");
        for (column, mixture) in COLUMNS.into_iter().enumerate() {
            let found = kinds(mixture, &facts, &tensors);
            for (row, found) in rows.iter().zip(found) {
                assert_eq!(found, kind(row[3 + column]), "{head:?} {mixture:?} {}", row[0]);
            }
        }
    }
}

#[test]
fn the_order_in_the_file_does_not_matter() {
    let facts = Facts { architecture: "llama", n_layers: 16, n_experts: 0 };
    let mut tensors: Vec<Tensor> =
        (0..16).map(|i| tensor(&format!("blk.{i}.attn_v.weight"), &[256, 256], TensorKind::F16)).collect();
    let forwards = kinds(Mixture::Q4_K_M, &facts, &tensors);
    tensors.reverse();
    let mut backwards = kinds(Mixture::Q4_K_M, &facts, &tensors);
    backwards.reverse();
    assert_eq!(forwards, backwards);
    assert!(forwards.contains(&TensorKind::Q6_K) && forwards.contains(&TensorKind::Q4_K));
}

#[test]
fn what_steers_becomes_f32_and_strange_widths_half_precision() {
    let facts = Facts { architecture: "lfm2moe", n_layers: 1, n_experts: 4 };
    let cases = [
        ("blk.0.attn_norm.weight", vec![256], TensorKind::BF16, TensorKind::F32),
        ("blk.0.attn_q.bias", vec![256], TensorKind::F16, TensorKind::F32),
        ("blk.0.ffn_gate_exps.bias", vec![256, 4], TensorKind::F16, TensorKind::F32),
        ("blk.0.ffn_gate_inp.weight", vec![256, 4], TensorKind::F16, TensorKind::F32),
        ("blk.0.shortconv.conv.weight", vec![3, 256], TensorKind::BF16, TensorKind::F32),
        ("blk.0.ids", vec![256], TensorKind::I32, TensorKind::I32),
        ("blk.0.laurel_l.weight", vec![256, 64], TensorKind::F16, TensorKind::F16),
        ("blk.0.attn_q.weight", vec![256, 1], TensorKind::F32, TensorKind::F32),
        ("blk.0.attn_q.weight", vec![257, 2], TensorKind::F32, TensorKind::F16),
        ("blk.0.attn_q.weight", vec![96, 2], TensorKind::F32, TensorKind::Q5_0),
        ("token_embd.weight", vec![96, 2], TensorKind::F32, TensorKind::Q8_0),
    ];
    for (name, shape, own, expected) in cases {
        let found = kinds(Mixture::Q4_K_M, &facts, &[tensor(name, &shape, own)]);
        assert_eq!(found, [expected], "{name} {shape:?}");
    }
}

#[test]
fn names_are_read_in_any_case_and_numbered_as_in_llama_h() {
    let cases = [("F16", 1), ("q8_0", 7), ("Q6_k", 18), ("q5_k_m", 17), ("Q4_K_M", 15), ("Q4_0", 2)];
    for (name, file_type) in cases {
        assert_eq!(Mixture::from_name(name).map(Mixture::file_type), Some(file_type), "{name}");
    }
    assert_eq!(Mixture::from_name("Q4_K"), None);
}
