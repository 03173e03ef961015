//! What the tests share: small model files, and a plain forward pass as their oracle.

mod experts;
pub mod exported;
pub mod families;
pub mod heap;
pub mod process;
mod recurrent;
pub mod reference;
pub mod scenario;
pub mod scratch;
pub mod small;
mod streams;

/// Mean Kullback-Leibler divergence of the distributions of `a` from those of `b`, over rows of logits.
pub fn divergence(a: &[Vec<f32>], b: &[Vec<f32>]) -> f64 {
    assert_eq!(a.len(), b.len(), "as many rows");
    let log_softmax = |row: &[f32]| -> Vec<f64> {
        let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = row.iter().map(|x| f64::from(x - max).exp()).sum();
        row.iter().map(|x| f64::from(x - max) - sum.ln()).collect()
    };
    let row = |(a, b): (&Vec<f32>, &Vec<f32>)| -> f64 {
        log_softmax(a).iter().zip(log_softmax(b)).map(|(p, q)| p.exp() * (p - q)).sum()
    };
    a.iter().zip(b).map(row).sum::<f64>() / a.len() as f64
}

/// Cosine of all logits taken as one vector.
pub fn cosine(a: &[Vec<f32>], b: &[Vec<f32>]) -> f64 {
    let dot = |a: &[Vec<f32>], b: &[Vec<f32>]| -> f64 {
        a.iter().flatten().zip(b.iter().flatten()).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}
