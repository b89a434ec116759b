//! The definitions, in f64.

use super::norm::{EPS, Gate, Norm, Residual};

fn column(x: &[f32], j: usize, channels: usize) -> Vec<f64> {
    x.iter().skip(j).step_by(channels).map(|&x| f64::from(x)).collect()
}

pub fn statistics(x: &[f32], mean: &mut [f32], variance: &mut [f32]) {
    let channels = mean.len();
    for j in 0..channels {
        let x = column(x, j, channels);
        let mu = x.iter().sum::<f64>() / x.len() as f64;
        mean[j] = mu as f32;
        variance[j] = (x.iter().map(|x| (x - mu).powi(2)).sum::<f64>() / x.len() as f64) as f32;
    }
}

/// 1/√(σ² + ε)
pub fn rstd(variance: &[f32]) -> Vec<f32> {
    variance.iter().map(|&v| (1.0 / (f64::from(v) + f64::from(EPS)).sqrt()) as f32).collect()
}

fn x_hat(norm: &Norm, j: usize, x: f32) -> f64 {
    (f64::from(x) - f64::from(norm.mean[j])) * f64::from(norm.rstd[j])
}

fn affine(norm: &Norm, j: usize, x: f32) -> f64 {
    x_hat(norm, j, x) * f64::from(norm.weight[j]) + f64::from(norm.bias[j])
}

pub fn normalize(norm: Norm, x: &[f32], residual: Residual, relu: bool, y: &mut [f32]) {
    for i in 0..x.len() {
        let j = i % norm.mean.len();
        let z = affine(&norm, j, x[i])
            + match residual {
                Residual::None => 0.0,
                Residual::Plain(residual) => f64::from(residual[i]),
                Residual::Normed(other, residual) => affine(&other, j, residual[i]),
            };
        y[i] = if relu { z.max(0.0) } else { z } as f32;
    }
}

pub fn backward(norm: Norm, gate: Gate, x: &mut [f32], dy: &mut [f32], dweight: &mut [f32], dbias: &mut [f32]) {
    let channels = norm.mean.len();
    for i in 0..x.len() {
        let open = match gate {
            Gate::Open => true,
            Gate::Own => affine(&norm, i % channels, x[i]) > 0.0,
            Gate::Output(y) => y[i] > 0.0,
        };
        dy[i] = if open { dy[i] } else { 0.0 };
    }
    for j in 0..channels {
        let dz = column(dy, j, channels);
        let rows = dz.len() as f64;
        let x_hats: Vec<f64> = (0..dz.len()).map(|n| x_hat(&norm, j, x[n * channels + j])).collect();
        let sum = dz.iter().sum::<f64>();
        let sum_x_hat = dz.iter().zip(&x_hats).map(|(dz, x_hat)| dz * x_hat).sum::<f64>();
        dbias[j] += sum as f32;
        dweight[j] += sum_x_hat as f32;
        for n in 0..dz.len() {
            let through = dz[n] - sum / rows - x_hats[n] * sum_x_hat / rows;
            x[n * channels + j] = (f64::from(norm.weight[j]) * f64::from(norm.rstd[j]) * through) as f32;
        }
    }
}
