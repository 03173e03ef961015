//! Norms and spread of one row, with the canonical sum: 16 partial sums by index mod 16, folded in a tree.

/// Folds 16 partial sums: `i + (i + 8)`, then 4, 2, 1.
#[inline(always)]
pub(crate) fn fold(sums: [f32; 16]) -> f32 {
    fold_by(sums, |a, b| a + b)
}

/// The same tree with another operation. Spelled out by size: a loop over the sizes would not be unrolled.
#[inline(always)]
pub(crate) fn fold_by(x: [f32; 16], f: impl Fn(f32, f32) -> f32) -> f32 {
    let x: [f32; 8] = std::array::from_fn(|i| f(x[i], x[i + 8]));
    let x: [f32; 4] = std::array::from_fn(|i| f(x[i], x[i + 4]));
    f(f(x[0], x[2]), f(x[1], x[3]))
}

/// The canonical sum of `x`.
#[inline(always)]
fn sum(x: &[f32]) -> f32 {
    let mut sums = [0.0f32; 16];
    let (chunks, tail) = x.as_chunks::<16>();
    for chunk in chunks {
        for i in 0..16 {
            sums[i] += chunk[i];
        }
    }
    for (sum, x) in sums.iter_mut().zip(tail) {
        *sum += x;
    }
    fold(sums)
}

/// The canonical sum of `(x - center)²`.
#[inline(always)]
fn sum_of_squares(x: &[f32], center: f32) -> f32 {
    let mut sums = [0.0f32; 16];
    let (chunks, tail) = x.as_chunks::<16>();
    for chunk in chunks {
        for i in 0..16 {
            let x = chunk[i] - center;
            sums[i] = x.mul_add(x, sums[i]);
        }
    }
    for (sum, x) in sums.iter_mut().zip(tail) {
        let x = x - center;
        *sum = x.mul_add(x, *sum);
    }
    fold(sums)
}

/// `x / sqrt(mean(x²) + eps) * weight`.
#[inline(always)]
pub(crate) fn rms_norm(x: &[f32], weight: Option<&[f32]>, eps: f32, out: &mut [f32]) {
    let inverse = 1.0 / (sum_of_squares(x, 0.0) / x.len() as f32 + eps).sqrt();
    match weight {
        Some(weight) => {
            for ((out, x), w) in out.iter_mut().zip(x).zip(weight) {
                *out = x * inverse * w;
            }
        }
        None => {
            for (out, x) in out.iter_mut().zip(x) {
                *out = x * inverse;
            }
        }
    }
}

/// `(x - mean) / sqrt(var + eps) * weight + bias`.
#[inline(always)]
pub(crate) fn layer_norm(x: &[f32], weight: Option<&[f32]>, bias: Option<&[f32]>, eps: f32, out: &mut [f32]) {
    let mean = sum(x) / x.len() as f32;
    let inverse = 1.0 / (sum_of_squares(x, mean) / x.len() as f32 + eps).sqrt();
    for (out, x) in out.iter_mut().zip(x) {
        *out = (x - mean) * inverse;
    }
    if let Some(weight) = weight {
        crate::float::multiply(out, weight);
    }
    if let Some(bias) = bias {
        crate::float::add(out, bias);
    }
}

/// `sqrt(sum(x²))`.
#[inline(always)]
pub(crate) fn length(x: &[f32]) -> f32 {
    sum_of_squares(x, 0.0).sqrt()
}

/// The mean of `x` and `deviations` standard deviations of a sample more.
#[inline(always)]
pub(crate) fn cutoff(x: &[f32], deviations: f32) -> f32 {
    let mean = sum(x) / x.len() as f32;
    // One value has no deviation: its sum of squares is 0.
    let others = x.len().saturating_sub(1).max(1);
    deviations.mul_add((sum_of_squares(x, mean) / others as f32).sqrt(), mean)
}
