#![doc = include_str!("unit_length.md")]

use super::chain_rule::{Matrix, matrix, sum};

/// |x| = √(Σₖ xₖ²)
pub fn length(x: &[f64]) -> f64 {
    sum(x.len(), |k| x[k] * x[k]).sqrt()
}

/// y = x / |x|, for each row
pub fn unit(x: &Matrix) -> Matrix {
    matrix(x.len(), x[0].len(), |n, i| x[n][i] / length(&x[n]))
}

/// dx = (dy − y ⟨y, dy⟩) / |x|, for each row
pub fn unit_backward(x: &Matrix, dy: &Matrix) -> Matrix {
    let (e, y) = (x[0].len(), unit(x));
    let along = |n: usize| sum(e, |i| y[n][i] * dy[n][i]);
    matrix(x.len(), e, |n, j| (dy[n][j] - y[n][j] * along(n)) / length(&x[n]))
}
