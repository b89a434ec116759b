//! The loops, each one pass over a piece of the rows.

use super::norm::Norm;
use crate::isa::multiversion;

/// A sum within a piece is over this many rows. Their statistics take a second pass while the rows are in the cache.
pub(super) const ROW_BLOCK: usize = 64;

/// Such a block has this many columns: its sums are registers, and its rows fill half of the first-level cache.
const COLUMN_BLOCK: usize = 64;

/// sum += x
pub(super) fn add(x: &[f32], sum: &mut [f32]) {
    sum.iter_mut().zip(x).for_each(|(sum, x)| *sum += x);
}

/// Joins the mean and M₂ = Σ (x − μ)² of some rows with those of more rows (Chan et al. 1983).
#[inline(always)]
pub(super) fn join(
    mean: &mut [f32],
    m2: &mut [f32],
    rows: usize,
    more_mean: &[f32],
    more_m2: &[f32],
    more_rows: usize,
) {
    let (rows, more) = (rows as f32, more_rows as f32);
    let (share, weight) = (more / (rows + more), rows * more / (rows + more));
    for ((mean, m2), (&more_mean, &more_m2)) in mean.iter_mut().zip(m2).zip(more_mean.iter().zip(more_m2)) {
        let apart = more_mean - *mean;
        *mean += apart * share;
        *m2 += more_m2 + apart * apart * weight;
    }
}

/// sums\[j\] += Σ over the rows of f(row\[j\]), four rows at a time. The rows are `stride` apart.
#[inline(always)]
fn add_rows(x: &[f32], stride: usize, rows: usize, sums: &mut [f32], f: impl Fn(usize, f32) -> f32) {
    let width = sums.len();
    let row = |i: usize| &x[i * stride..][..width];
    for i in (0..rows / 4 * 4).step_by(4) {
        let [a, b, c, d] = [row(i), row(i + 1), row(i + 2), row(i + 3)];
        for j in 0..width {
            sums[j] += (f(j, a[j]) + f(j, b[j])) + (f(j, c[j]) + f(j, d[j]));
        }
    }
    for i in rows / 4 * 4..rows {
        let a = row(i);
        for j in 0..width {
            sums[j] += f(j, a[j]);
        }
    }
}

multiversion! {
    /// Computes the mean, less the origin, and M₂ of each column of a piece.
    pub(super) fn piece_statistics(x: &[f32], origin: &[f32], mean: &mut [f32], m2: &mut [f32]) {
        let channels = mean.len();
        mean.fill(0.0);
        m2.fill(0.0);
        for (block, x) in x.chunks(ROW_BLOCK * channels).enumerate() {
            let rows = x.len() / channels;
            let columns = mean.chunks_mut(COLUMN_BLOCK).zip(m2.chunks_mut(COLUMN_BLOCK));
            for (i, (mean, m2)) in columns.enumerate() {
                let (start, width) = (i * COLUMN_BLOCK, mean.len());
                let (x, origin) = (&x[start..], &origin[start..][..width]);
                let (mut sums, mut squares) = ([0.0; COLUMN_BLOCK], [0.0; COLUMN_BLOCK]);
                let (sums, squares) = (&mut sums[..width], &mut squares[..width]);
                add_rows(x, channels, rows, sums, |j, x| x - origin[j]);
                sums.iter_mut().for_each(|sum| *sum /= rows as f32);
                let block_mean = &*sums;
                let apart = |j: usize, x: f32| x - origin[j] - block_mean[j];
                add_rows(x, channels, rows, squares, |j, x| apart(j, x) * apart(j, x));
                join(mean, m2, block * ROW_BLOCK, block_mean, squares, rows);
            }
        }
    }
}

/// Returns x̂·weight + bias in column j.
#[inline(always)]
fn affine(norm: &Norm, j: usize, x: f32) -> f32 {
    (x - norm.mean[j]) * norm.rstd[j] * norm.weight[j] + norm.bias[j]
}

/// Returns max(0, z) if `relu`, else z.
#[inline(always)]
fn activate(relu: bool, z: f32) -> f32 {
    if relu && z <= 0.0 { 0.0 } else { z }
}

/// Cuts the vectors of `norm` to the length of a row, so that the compiler knows it.
#[inline(always)]
fn cut<'a>(norm: Norm<'a>, channels: usize) -> Norm<'a> {
    Norm {
        mean: &norm.mean[..channels],
        rstd: &norm.rstd[..channels],
        weight: &norm.weight[..channels],
        bias: &norm.bias[..channels],
    }
}

multiversion! {
    /// y = act(x̂·weight + bias)
    pub(super) fn plain(norm: Norm, x: &[f32], relu: bool, y: &mut [f32]) {
        let channels = norm.mean.len();
        let norm = cut(norm, channels);
        for (x, y) in x.chunks_exact(channels).zip(y.chunks_exact_mut(channels)) {
            for j in 0..channels {
                y[j] = activate(relu, affine(&norm, j, x[j]));
            }
        }
    }
}

multiversion! {
    /// y = act(x̂·weight + bias + residual)
    pub(super) fn with_residual(norm: Norm, x: &[f32], residual: &[f32], relu: bool, y: &mut [f32]) {
        let channels = norm.mean.len();
        let norm = cut(norm, channels);
        let rows = x.chunks_exact(channels).zip(residual.chunks_exact(channels));
        for ((x, residual), y) in rows.zip(y.chunks_exact_mut(channels)) {
            for j in 0..channels {
                y[j] = activate(relu, affine(&norm, j, x[j]) + residual[j]);
            }
        }
    }
}

multiversion! {
    /// y = act(x̂·weight + bias + the normalised residual)
    pub(super) fn with_normed(norm: Norm, x: &[f32], other: Norm, residual: &[f32], relu: bool, y: &mut [f32]) {
        let channels = norm.mean.len();
        let (norm, other) = (cut(norm, channels), cut(other, channels));
        let rows = x.chunks_exact(channels).zip(residual.chunks_exact(channels));
        for ((x, residual), y) in rows.zip(y.chunks_exact_mut(channels)) {
            for j in 0..channels {
                y[j] = activate(relu, affine(&norm, j, x[j]) + affine(&other, j, residual[j]));
            }
        }
    }
}

multiversion! {
    /// dy ← 0 where y is 0.
    pub(super) fn mask(y: &[f32], dy: &mut [f32]) {
        for (y, dy) in y.iter().zip(dy) {
            *dy = if *y > 0.0 { *dy } else { 0.0 };
        }
    }
}

/// Returns dy, or 0 where z was not positive.
#[inline(always)]
fn gated(norm: &Norm, own: bool, j: usize, x: f32, dy: f32) -> f32 {
    if own && affine(norm, j, x) <= 0.0 { 0.0 } else { dy }
}

multiversion! {
    /// Computes Σ dz and Σ dz·x̂ of each column of a piece, one behind the other.
    pub(super) fn gradient_sums(norm: Norm, own: bool, x: &[f32], dy: &[f32], sums: &mut [f32]) {
        let channels = norm.mean.len();
        let norm = cut(norm, channels);
        sums.fill(0.0);
        let (sum, sum_x_hat) = sums.split_at_mut(channels);
        let blocks = x.chunks(ROW_BLOCK * channels).zip(dy.chunks(ROW_BLOCK * channels));
        for (x, dy) in blocks {
            let columns = sum.chunks_mut(COLUMN_BLOCK).zip(sum_x_hat.chunks_mut(COLUMN_BLOCK));
            for (i, (sum, sum_x_hat)) in columns.enumerate() {
                let (start, width) = (i * COLUMN_BLOCK, sum.len());
                let part = |v| cut_from(v, start, width);
                let norm =
                    Norm { mean: part(norm.mean), rstd: part(norm.rstd), weight: part(norm.weight), bias: part(norm.bias) };
                let (mut a, mut b) = ([0.0f32; COLUMN_BLOCK], [0.0f32; COLUMN_BLOCK]);
                let (a, b) = (&mut a[..width], &mut b[..width]);
                for (x, dy) in x.chunks_exact(channels).zip(dy.chunks_exact(channels)) {
                    let (x, dy) = (&x[start..][..width], &dy[start..][..width]);
                    for j in 0..width {
                        let dz = gated(&norm, own, j, x[j], dy[j]);
                        a[j] += dz;
                        b[j] += dz * ((x[j] - norm.mean[j]) * norm.rstd[j]);
                    }
                }
                for j in 0..width {
                    sum[j] += a[j];
                    sum_x_hat[j] += b[j];
                }
            }
        }
    }
}

#[inline(always)]
fn cut_from(v: &[f32], start: usize, width: usize) -> &[f32] {
    &v[start..][..width]
}

multiversion! {
    /// x ← weight·r·(dz − mean(dz) − x̂·mean(dz·x̂))
    pub(super) fn input_gradient(norm: Norm, own: bool, mean: &[f32], mean_x_hat: &[f32], dy: &[f32], x: &mut [f32]) {
        let channels = norm.mean.len();
        let (norm, mean, mean_x_hat) = (cut(norm, channels), &mean[..channels], &mean_x_hat[..channels]);
        for (x, dy) in x.chunks_exact_mut(channels).zip(dy.chunks_exact(channels)) {
            for j in 0..channels {
                let dz = gated(&norm, own, j, x[j], dy[j]);
                let x_hat = (x[j] - norm.mean[j]) * norm.rstd[j];
                x[j] = norm.weight[j] * norm.rstd[j] * (dz - mean[j] - x_hat * mean_x_hat[j]);
            }
        }
    }
}
