#![doc = include_str!("linear.md")]

use super::chain_rule::{Matrix, matrix, sum};

/// yₙₒ = Σᵢ xₙᵢ Wₒᵢ + bₒ
pub fn linear(x: &Matrix, weight: &Matrix, bias: &[f64]) -> Matrix {
    let (rows, inputs, outputs) = (x.len(), x[0].len(), weight.len());
    matrix(rows, outputs, |n, o| sum(inputs, |i| x[n][i] * weight[o][i]) + bias[o])
}

/// dxₙᵢ = Σₒ dyₙₒ Wₒᵢ, dWₒᵢ = Σₙ dyₙₒ xₙᵢ, dbₒ = Σₙ dyₙₒ
pub fn linear_backward(x: &Matrix, weight: &Matrix, dy: &Matrix) -> (Matrix, Matrix, Vec<f64>) {
    let (rows, inputs, outputs) = (x.len(), x[0].len(), weight.len());
    let dx = matrix(rows, inputs, |n, i| sum(outputs, |o| dy[n][o] * weight[o][i]));
    let dweight = matrix(outputs, inputs, |o, i| sum(rows, |n| dy[n][o] * x[n][i]));
    let dbias = (0..outputs).map(|o| sum(rows, |n| dy[n][o])).collect();
    (dx, dweight, dbias)
}
