#![doc = include_str!("gelu.md")]

use super::chain_rule::{Matrix, matrix};

/// φ(x) = exp(−x²/2) / √(2π)
pub fn normal_pdf(x: f64) -> f64 {
    (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

/// Φ(x) = ½ + φ(x) (x + x³/3 + x⁵/(3·5) + …)
pub fn normal_cdf(x: f64) -> f64 {
    if x.abs() > 9.0 {
        return if x > 0.0 { 1.0 } else { 0.0 };
    }
    let (mut term, mut series, mut odd) = (x, x, 1.0);
    while term.abs() > 1e-17 * series.abs() {
        odd += 2.0;
        term *= x * x / odd;
        series += term;
    }
    0.5 + normal_pdf(x) * series
}

/// GELU(x) = x Φ(x)
pub fn gelu(x: f64) -> f64 {
    x * normal_cdf(x)
}

/// GELU′(x) = Φ(x) + x φ(x)
pub fn gelu_slope(x: f64) -> f64 {
    normal_cdf(x) + x * normal_pdf(x)
}

/// sigmoid(z) = 1 / (1 + exp(−z))
pub fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

/// QuickGELU(x) = x sigmoid(1.702 x)
pub fn quick_gelu(x: f64) -> f64 {
    x * sigmoid(1.702 * x)
}

/// QuickGELU′(x) = gate + x · 1.702 gate (1 − gate), gate = sigmoid(1.702 x)
pub fn quick_gelu_slope(x: f64) -> f64 {
    let gate = sigmoid(1.702 * x);
    gate + x * 1.702 * gate * (1.0 - gate)
}

/// yₙⱼ = f(xₙⱼ)
pub fn activate(f: fn(f64) -> f64, x: &Matrix) -> Matrix {
    matrix(x.len(), x[0].len(), |n, j| f(x[n][j]))
}

/// dxₙⱼ = dyₙⱼ f′(xₙⱼ), where `slope` is f′
pub fn activate_backward(slope: fn(f64) -> f64, x: &Matrix, dy: &Matrix) -> Matrix {
    matrix(x.len(), x[0].len(), |n, j| dy[n][j] * slope(x[n][j]))
}
