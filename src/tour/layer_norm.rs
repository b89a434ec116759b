#![doc = include_str!("layer_norm.md")]

use super::chain_rule::{Matrix, matrix, sum};

/// μ and r = 1/√(σ² + ε) of one row
pub fn statistics(x: &[f64], eps: f64) -> (f64, f64) {
    let width = x.len();
    let mean = sum(width, |i| x[i]) / width as f64;
    let variance = sum(width, |i| (x[i] - mean).powi(2)) / width as f64;
    (mean, 1.0 / (variance + eps).sqrt())
}

/// x̂ₙᵢ = (xₙᵢ − μₙ) rₙ
pub fn normalised(x: &Matrix, eps: f64) -> Matrix {
    let stats: Vec<_> = x.iter().map(|row| statistics(row, eps)).collect();
    matrix(x.len(), x[0].len(), |n, i| (x[n][i] - stats[n].0) * stats[n].1)
}

/// yₙᵢ = x̂ₙᵢ weightᵢ + biasᵢ
pub fn layer_norm(x: &Matrix, weight: &[f64], bias: &[f64], eps: f64) -> Matrix {
    let x_hat = normalised(x, eps);
    matrix(x.len(), weight.len(), |n, i| x_hat[n][i] * weight[i] + bias[i])
}

/// dx = r (dx̂ − mean(dx̂) − x̂ mean(dx̂∘x̂)) in each row, where dx̂ = dy∘weight
pub fn normalised_backward(x: &Matrix, eps: f64, dx_hat: &Matrix) -> Matrix {
    let (rows, width, x_hat) = (x.len(), x[0].len(), normalised(x, eps));
    let mean = |n: usize| sum(width, |i| dx_hat[n][i]) / width as f64;
    let mean_with_x_hat = |n: usize| sum(width, |i| dx_hat[n][i] * x_hat[n][i]) / width as f64;
    let left = |n: usize, j: usize| dx_hat[n][j] - mean(n) - x_hat[n][j] * mean_with_x_hat(n);
    matrix(rows, width, |n, j| statistics(&x[n], eps).1 * left(n, j))
}

/// dx̂ₙᵢ = dyₙᵢ weightᵢ, dweightᵢ = Σₙ dyₙᵢ x̂ₙᵢ, dbiasᵢ = Σₙ dyₙᵢ
pub fn layer_norm_backward(x: &Matrix, weight: &[f64], eps: f64, dy: &Matrix) -> (Matrix, Vec<f64>, Vec<f64>) {
    let (rows, width, x_hat) = (x.len(), weight.len(), normalised(x, eps));
    let dx_hat = matrix(rows, width, |n, i| dy[n][i] * weight[i]);
    let dweight = (0..width).map(|i| sum(rows, |n| dy[n][i] * x_hat[n][i])).collect();
    let dbias = (0..width).map(|i| sum(rows, |n| dy[n][i])).collect();
    (normalised_backward(x, eps, &dx_hat), dweight, dbias)
}
