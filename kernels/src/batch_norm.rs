//! Batch normalisation over the rows of (N, C), ε = 1e-5 (Ioffe & Szegedy 2015, algorithm 1), together with what stands
//! behind it in a residual network: the addition of a residual and ReLU.
//!
//! y = act(x̂·weight + bias (+ residual)) with x̂ = (x − μ)·r, r = 1/√(σ² + ε), per column. A row is a pixel, a column a
//! channel. Each pass reads and writes every array once: one for the statistics and one for y; backward one for the two
//! sums that the gradient needs and one for the gradient.
//!
//! Sums over rows are cut into at most [`CHUNKS`] pieces by the number of rows alone, and joined in their order.

use crate::isa::{Isa, multiversion};
use crate::parallel::{Rows, RowsMut, for_pieces, rows_per_piece};

/// ε of every CLIP checkpoint.
pub const EPS: f32 = 1e-5;

/// Pieces of a sum over rows at most: many more than there are threads, few enough to join them quickly.
const CHUNKS: usize = 64;

/// Rows that one sum of a piece is over; their statistics take a second pass while they are in the cache.
const ROW_BLOCK: usize = 64;

/// Columns of such a block: its sums are registers, its rows fill half of the first cache.
const COLUMN_BLOCK: usize = 64;

/// Floats of scratch that the sums over rows of `channels` columns take.
pub const fn scratch_len(channels: usize) -> usize {
    2 * CHUNKS * channels
}

/// What x is normalised by, one number a column each.
#[derive(Clone, Copy, Debug)]
pub struct Norm<'a> {
    /// μ
    pub mean: &'a [f32],
    /// r
    pub rstd: &'a [f32],
    pub weight: &'a [f32],
    pub bias: &'a [f32],
}

/// What is added to the normalised x.
#[derive(Clone, Copy, Debug)]
pub enum Residual<'a> {
    None,
    /// These numbers.
    Plain(&'a [f32]),
    /// These numbers, normalised in their own way.
    Normed(Norm<'a>, &'a [f32]),
}

/// Where the activation behind the normalisation lets the gradient through.
#[derive(Clone, Copy, Debug)]
pub enum Gate<'a> {
    /// There is none.
    Open,
    /// y = max(0, z): z is made again from x.
    Own,
    /// y = max(0, z + residual), and this is y.
    Output(&'a [f32]),
}

/// μ and σ² = mean((x − μ)²) of each column; x (N, C) with N > 0, mean and variance (C).
#[track_caller]
pub fn statistics(x: &[f32], mean: &mut [f32], variance: &mut [f32], scratch: &mut [f32]) {
    statistics_on(Isa::best(), x, mean, variance, scratch);
}

/// [`statistics`] on a given instruction set.
#[track_caller]
pub fn statistics_on(isa: Isa, x: &[f32], mean: &mut [f32], variance: &mut [f32], scratch: &mut [f32]) {
    let channels = mean.len();
    let rows = check(channels, &[x], &[mean, variance]);
    assert!(rows > 0, "batch norm: the statistics of no rows");
    let chunks = Chunks::new(rows, channels);
    let scratch = chunks.scratch(scratch);
    // Numbers around 0 are averaged, so that a large μ costs none of their digits: each column less its first number.
    let origin = &x[..channels];
    let parts = (Rows(x, chunks.rows * channels), RowsMut(scratch, 2 * channels));
    for_pieces(chunks.count(), 1, parts, &|(x, sums)| {
        let (mean, m2) = sums.0.split_at_mut(channels);
        piece_statistics(isa, x.0, origin, mean, m2);
    });
    mean.copy_from_slice(&scratch[..channels]);
    variance.copy_from_slice(&scratch[channels..2 * channels]);
    for (i, sums) in scratch.chunks_exact(2 * channels).enumerate().skip(1) {
        let (piece_mean, piece_m2) = sums.split_at(channels);
        join(mean, variance, chunks.rows * i, piece_mean, piece_m2, chunks.rows.min(rows - chunks.rows * i));
    }
    variance.iter_mut().for_each(|m2| *m2 /= rows as f32);
    add(origin, mean);
}

/// y = act(x̂·weight + bias + residual), act = max(0, ·) if `relu`; x, y (N, C).
#[track_caller]
pub fn normalize(norm: Norm, x: &[f32], residual: Residual, relu: bool, y: &mut [f32]) {
    normalize_on(Isa::best(), norm, x, residual, relu, y);
}

/// [`normalize`] on a given instruction set.
#[track_caller]
pub fn normalize_on(isa: Isa, norm: Norm, x: &[f32], residual: Residual, relu: bool, y: &mut [f32]) {
    let channels = norm.mean.len();
    let rows = check(channels, &[x, y], &norm.vectors());
    let piece = rows_per_piece(channels);
    match residual {
        Residual::None => {
            let parts = (Rows(x, channels), RowsMut(y, channels));
            for_pieces(rows, piece, parts, &|(x, y)| plain(isa, norm, x.0, relu, y.0));
        }
        Residual::Plain(residual) => {
            check(channels, &[x, residual], &[]);
            let parts = (Rows(x, channels), Rows(residual, channels), RowsMut(y, channels));
            for_pieces(rows, piece, parts, &|(x, r, y)| with_residual(isa, norm, x.0, r.0, relu, y.0));
        }
        Residual::Normed(other, residual) => {
            check(channels, &[x, residual], &other.vectors());
            let parts = (Rows(x, channels), Rows(residual, channels), RowsMut(y, channels));
            for_pieces(rows, piece, parts, &|(x, r, y)| with_normed(isa, norm, x.0, other, r.0, relu, y.0));
        }
    }
}

/// With dz = dy where the gate is open, else 0: dbias += Σ dz, dweight += Σ dz·x̂ and
/// dx = weight·r·(dz − mean(dz) − x̂·mean(dz·x̂)), where the statistics of `norm` are those of x.
///
/// `x` holds dx on return. Behind [`Gate::Output`], `dy` holds dz on return: the gradient of the residual.
#[track_caller]
pub fn backward(
    norm: Norm,
    gate: Gate,
    x: &mut [f32],
    dy: &mut [f32],
    dweight: &mut [f32],
    dbias: &mut [f32],
    scratch: &mut [f32],
) {
    backward_on(Isa::best(), norm, gate, x, dy, dweight, dbias, scratch);
}

/// [`backward`] on a given instruction set.
#[track_caller]
pub fn backward_on(
    isa: Isa,
    norm: Norm,
    gate: Gate,
    x: &mut [f32],
    dy: &mut [f32],
    dweight: &mut [f32],
    dbias: &mut [f32],
    scratch: &mut [f32],
) {
    let channels = norm.mean.len();
    let rows = check(channels, &[x, dy], &norm.vectors());
    check(channels, &[], &[dweight, dbias]);
    let chunks = Chunks::new(rows, channels);
    let scratch = chunks.scratch(scratch);
    piece_sums(isa, &chunks, norm, gate, x, dy, scratch);
    let (total, pieces) = scratch.split_at_mut(2 * channels);
    pieces.chunks_exact(2 * channels).for_each(|piece| add(piece, total));
    let (sum, sum_x_hat) = total.split_at_mut(channels);
    add(sum, dbias);
    add(sum_x_hat, dweight);
    sum.iter_mut().chain(&mut *sum_x_hat).for_each(|sum| *sum /= rows as f32);
    let (mean, mean_x_hat) = (&*sum, &*sum_x_hat);
    let own = matches!(gate, Gate::Own);
    let parts = (RowsMut(x, channels), Rows(dy, channels));
    for_pieces(rows, rows_per_piece(channels), parts, &|(x, dz)| {
        input_gradient(isa, norm, own, mean, mean_x_hat, dz.0, x.0)
    });
}

/// The two sums of every piece, side by side in `sums`.
fn piece_sums(isa: Isa, chunks: &Chunks, norm: Norm, gate: Gate, x: &[f32], dy: &mut [f32], sums: &mut [f32]) {
    let channels = norm.mean.len();
    let (width, count) = (chunks.rows * channels, chunks.count());
    let (x, sums) = (Rows(x, width), RowsMut(sums, 2 * channels));
    match gate {
        Gate::Output(y) => {
            check(channels, &[x.0, y], &[]);
            let parts = (x, Rows(y, width), RowsMut(dy, width), sums);
            for_pieces(count, 1, parts, &|(x, y, dy, sums)| {
                mask(isa, y.0, dy.0);
                gradient_sums(isa, norm, false, x.0, dy.0, sums.0)
            });
        }
        Gate::Open | Gate::Own => {
            let own = matches!(gate, Gate::Own);
            for_pieces(count, 1, (x, Rows(&*dy, width), sums), &|(x, dy, sums)| {
                gradient_sums(isa, norm, own, x.0, dy.0, sums.0)
            });
        }
    }
}

/// How rows are cut for sums.
struct Chunks {
    total: usize,
    rows: usize,
    channels: usize,
}

impl Chunks {
    fn new(total: usize, channels: usize) -> Self {
        let rows = total.div_ceil(CHUNKS).max(rows_per_piece(channels)).next_multiple_of(ROW_BLOCK);
        Chunks { total, rows, channels }
    }

    fn count(&self) -> usize {
        self.total.div_ceil(self.rows)
    }

    /// As much scratch as is needed.
    #[track_caller]
    fn scratch<'a>(&self, scratch: &'a mut [f32]) -> &'a mut [f32] {
        let needed = scratch_len(self.channels);
        assert!(scratch.len() >= needed, "batch norm: {} floats of scratch, {needed} needed", scratch.len());
        &mut scratch[..2 * self.channels * self.count()]
    }
}

impl Norm<'_> {
    fn vectors(&self) -> [&[f32]; 4] {
        [self.mean, self.rstd, self.weight, self.bias]
    }
}

/// Panics unless all have these channels and equally many rows: how many.
#[track_caller]
fn check(channels: usize, matrices: &[&[f32]], vectors: &[&[f32]]) -> usize {
    let len = matrices.first().map_or(0, |x| x.len());
    let sizes = |slices: &[&[f32]]| slices.iter().map(|s| s.len()).collect::<Vec<_>>();
    assert!(
        channels > 0
            && len.is_multiple_of(channels)
            && matrices.iter().all(|x| x.len() == len)
            && vectors.iter().all(|v| v.len() == channels),
        "batch norm of {channels} channels: matrices of {:?}, vectors of {:?} elements",
        sizes(matrices),
        sizes(vectors)
    );
    len / channels
}

fn add(x: &[f32], sum: &mut [f32]) {
    sum.iter_mut().zip(x).for_each(|(sum, x)| *sum += x);
}

/// Mean and M₂ = Σ (x − μ)² of rows and more rows, from those of either (Chan et al. 1983).
#[inline(always)]
fn join(mean: &mut [f32], m2: &mut [f32], rows: usize, more_mean: &[f32], more_m2: &[f32], more_rows: usize) {
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
    /// Mean, less the origin, and M₂ of each column of a piece.
    fn piece_statistics(x: &[f32], origin: &[f32], mean: &mut [f32], m2: &mut [f32]) {
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

/// x̂·weight + bias of the column j
#[inline(always)]
fn affine(norm: &Norm, j: usize, x: f32) -> f32 {
    (x - norm.mean[j]) * norm.rstd[j] * norm.weight[j] + norm.bias[j]
}

/// max(0, z) if `relu`
#[inline(always)]
fn activate(relu: bool, z: f32) -> f32 {
    if relu && z <= 0.0 { 0.0 } else { z }
}

/// The columns of `norm`, whose lengths the compiler then knows to be those of a row.
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
    fn plain(norm: Norm, x: &[f32], relu: bool, y: &mut [f32]) {
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
    fn with_residual(norm: Norm, x: &[f32], residual: &[f32], relu: bool, y: &mut [f32]) {
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
    fn with_normed(norm: Norm, x: &[f32], other: Norm, residual: &[f32], relu: bool, y: &mut [f32]) {
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
    fn mask(y: &[f32], dy: &mut [f32]) {
        for (y, dy) in y.iter().zip(dy) {
            *dy = if *y > 0.0 { *dy } else { 0.0 };
        }
    }
}

/// dy, or 0 where z was negative.
#[inline(always)]
fn gated(norm: &Norm, own: bool, j: usize, x: f32, dy: f32) -> f32 {
    if own && affine(norm, j, x) <= 0.0 { 0.0 } else { dy }
}

multiversion! {
    /// Σ dz and Σ dz·x̂ of each column of a piece, one behind the other.
    fn gradient_sums(norm: Norm, own: bool, x: &[f32], dy: &[f32], sums: &mut [f32]) {
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
    fn input_gradient(norm: Norm, own: bool, mean: &[f32], mean_x_hat: &[f32], dy: &[f32], x: &mut [f32]) {
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

/// The definitions, in f64.
pub mod naive {
    use super::{EPS, Gate, Norm, Residual};

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
}
