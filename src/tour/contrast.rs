#![doc = include_str!("contrast.md")]

use super::chain_rule::{Matrix, matrix, sum};
use super::softmax::lse;

/// Sᵢⱼ = s Σₖ Îᵢₖ T̂ⱼₖ
pub fn compare(images: &Matrix, texts: &Matrix, logit_scale: f64) -> Matrix {
    let (n, e, scale) = (images.len(), images[0].len(), logit_scale.exp());
    matrix(n, n, |i, j| scale * sum(e, |k| images[i][k] * texts[j][k]))
}

/// image→text = 1/N Σᵢ (lse(row i) − Sᵢᵢ), text→image = 1/N Σⱼ (lse(column j) − Sⱼⱼ)
pub fn info_nce(images: &Matrix, texts: &Matrix, logit_scale: f64) -> [f64; 2] {
    let (n, logits) = (images.len(), compare(images, texts, logit_scale));
    let rows = sum(n, |i| lse(n, |k| logits[i][k]) - logits[i][i]);
    let columns = sum(n, |j| lse(n, |k| logits[k][j]) - logits[j][j]);
    [rows / n as f64, columns / n as f64]
}

/// Pᵢⱼ = exp(Sᵢⱼ − lse(row i)), Qᵢⱼ = exp(Sᵢⱼ − lse(column j))
pub fn softmaxes(logits: &Matrix) -> [Matrix; 2] {
    let n = logits.len();
    let p = matrix(n, n, |i, j| (logits[i][j] - lse(n, |k| logits[i][k])).exp());
    let q = matrix(n, n, |i, j| (logits[i][j] - lse(n, |k| logits[k][j])).exp());
    [p, q]
}

/// dSᵢⱼ = (Pᵢⱼ + Qᵢⱼ − 2δᵢⱼ) / 2N
pub fn logits_backward(logits: &Matrix) -> Matrix {
    let (n, [p, q]) = (logits.len(), softmaxes(logits));
    let delta = |i, j| if i == j { 1.0 } else { 0.0 };
    matrix(n, n, |i, j| (p[i][j] + q[i][j] - 2.0 * delta(i, j)) / (2.0 * n as f64))
}

/// dÎᵢₖ = s Σⱼ dSᵢⱼ T̂ⱼₖ, dT̂ⱼₖ = s Σᵢ dSᵢⱼ Îᵢₖ, dlogit_scale = Σᵢⱼ dSᵢⱼ Sᵢⱼ
pub fn info_nce_backward(images: &Matrix, texts: &Matrix, logit_scale: f64) -> (Matrix, Matrix, f64) {
    let (n, e, scale) = (images.len(), images[0].len(), logit_scale.exp());
    let logits = compare(images, texts, logit_scale);
    let dlogits = logits_backward(&logits);
    let dimages = matrix(n, e, |i, k| scale * sum(n, |j| dlogits[i][j] * texts[j][k]));
    let dtexts = matrix(n, e, |j, k| scale * sum(n, |i| dlogits[i][j] * images[i][k]));
    let dlogit_scale = sum(n, |i| sum(n, |j| dlogits[i][j] * logits[i][j]));
    (dimages, dtexts, dlogit_scale)
}

/// 1/N Σᵢ (lse(row i) − mean of fitting Sᵢⱼ)
pub fn rows_fitting(logits: &Matrix, fits: &Matrix) -> f64 {
    let n = logits.len();
    let mean = |i: usize| sum(n, |j| fits[i][j] * logits[i][j]) / sum(n, |j| fits[i][j]);
    sum(n, |i| lse(n, |j| logits[i][j]) - mean(i)) / n as f64
}

/// image→text by the rows of S, text→image by its columns, which are the rows of Sᵀ
pub fn info_nce_fitting(logits: &Matrix, fits: &Matrix) -> [f64; 2] {
    let transposed = |x: &Matrix| matrix(x.len(), x.len(), |i, j| x[j][i]);
    [rows_fitting(logits, fits), rows_fitting(&transposed(logits), &transposed(fits))]
}

/// dSᵢⱼ = (Pᵢⱼ + Qᵢⱼ − Cᵢⱼ) / 2N, Cᵢⱼ = 1/nᵢ + 1/nⱼ where i and j fit, 0 elsewhere
pub fn logits_fitting_backward(logits: &Matrix, fits: &Matrix) -> Matrix {
    let (n, [p, q]) = (logits.len(), softmaxes(logits));
    let row = |i: usize| sum(n, |k| fits[i][k]);
    let column = |j: usize| sum(n, |k| fits[k][j]);
    let c = |i: usize, j: usize| fits[i][j] * (1.0 / row(i) + 1.0 / column(j));
    matrix(n, n, |i, j| (p[i][j] + q[i][j] - c(i, j)) / (2.0 * n as f64))
}

/// Adds Σ exp(x) to the sum·exp(max) for which the pair (max, sum) stands.
pub fn fold((max, sum): (f64, f64), x: &[f64]) -> (f64, f64) {
    let new = x.iter().copied().fold(max, f64::max);
    (new, sum * (max - new).exp() + x.iter().map(|x| (x - new).exp()).sum::<f64>())
}
