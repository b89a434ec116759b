#![doc = include_str!("softmax.md")]

use super::chain_rule::{Matrix, matrix, sum};

/// lse(x) = ln Σₖ exp(xₖ) of n numbers. The largest is taken out, so that no exp overflows.
pub fn lse(n: usize, x: impl Fn(usize) -> f64) -> f64 {
    let max = (0..n).map(&x).fold(f64::NEG_INFINITY, f64::max);
    max + sum(n, |k| (x(k) - max).exp()).ln()
}

/// Pₙⱼ = exp(Sₙⱼ − lse(row n))
pub fn softmax(scores: &Matrix) -> Matrix {
    let (rows, choices) = (scores.len(), scores[0].len());
    let lse: Vec<_> = (0..rows).map(|n| lse(choices, |k| scores[n][k])).collect();
    matrix(rows, choices, |n, j| (scores[n][j] - lse[n]).exp())
}

/// dSₙⱼ = Pₙⱼ (dPₙⱼ − Σᵢ Pₙᵢ dPₙᵢ)
pub fn softmax_backward(p: &Matrix, dp: &Matrix) -> Matrix {
    let (rows, choices) = (p.len(), p[0].len());
    matrix(rows, choices, |n, j| p[n][j] * (dp[n][j] - sum(choices, |i| p[n][i] * dp[n][i])))
}

/// loss = 1/N Σₙ (lse(row n) − S at the right choice)
pub fn cross_entropy(scores: &Matrix, right: &[usize]) -> f64 {
    let (rows, choices) = (scores.len(), scores[0].len());
    sum(rows, |n| lse(choices, |k| scores[n][k]) - scores[n][right[n]]) / rows as f64
}

/// dSₙⱼ = (Pₙⱼ − δ) / N, δ = 1 if j is right, else 0
pub fn cross_entropy_backward(scores: &Matrix, right: &[usize]) -> Matrix {
    let (rows, choices, p) = (scores.len(), scores[0].len(), softmax(scores));
    let delta = |n: usize, j: usize| if j == right[n] { 1.0 } else { 0.0 };
    matrix(rows, choices, |n, j| (p[n][j] - delta(n, j)) / rows as f64)
}
