//! LayerNorm over the last dimension (Ba et al. 2016, section 3).
//!
//! ```text
//! μ = mean(x)
//! r = 1/√(mean((x − μ)²) + ε)
//! y = (x − μ)·r·weight + bias
//! ```
//!
//! The variance takes a second pass over the
//! row, which is in the cache: mean(x²) − μ² would cancel when |μ| ≫ σ, and could be negative. As a mean of squares it
//! never is, so r ≤ 1/√ε is finite for every ε that f32 holds.
//!
//! ε is 1e-5 in CLIP, 1e-6 in timm's Vision Transformers, 1e-12 in BERT.

use crate::Write;
use crate::isa::{Isa, mul_add, multiversion};
use crate::lanes::{dot, sum};
use crate::parallel::{PIECE, Rows, RowsMut, for_pieces};
use crate::reduce::{COLUMN_BLOCK, ROW_BLOCK};
use std::array::from_mut;
use std::ops::Range;

/// y = (x − μ)·r·weight + bias, μ and r = 1/√(σ² + ε) per row.
///
/// `x`, `y` (N,d), `weight`, `bias` (d), `mean`, `rstd` (N)
///
/// # Panics
/// If ε is not positive, or a length does not fit.
#[track_caller]
pub fn forward(x: &[f32], weight: &[f32], bias: &[f32], eps: f32, y: &mut [f32], mean: &mut [f32], rstd: &mut [f32]) {
    forward_on(Isa::best(), x, weight, bias, eps, y, mean, rstd);
}

/// Computes [`forward`] on a given instruction set.
#[track_caller]
pub fn forward_on(
    isa: Isa,
    x: &[f32],
    weight: &[f32],
    bias: &[f32],
    eps: f32,
    y: &mut [f32],
    mean: &mut [f32],
    rstd: &mut [f32],
) {
    let (n, d) = (mean.len(), weight.len());
    assert!(eps > 0.0, "layer norm with ε = {eps}");
    check(n, d, &[x, y], &[&*mean, rstd], &[weight, bias]);
    let parts = (Rows(x, d), RowsMut(y, d), RowsMut(mean, 1), RowsMut(rstd, 1));
    for_pieces(n, few_rows(d), parts, &|(x, y, mean, rstd)| {
        statistics(isa, x.0, eps, mean.0, rstd.0);
        normalize(isa, x.0, weight, bias, mean.0, rstd.0, y.0);
    });
}

/// y = (x − μ)·r·weight + bias from the saved μ and r: bit for bit what [`forward`] gave.
///
/// `x`, `y` (N,d), `weight`, `bias` (d), `mean`, `rstd` (N)
#[track_caller]
pub fn recompute(x: &[f32], weight: &[f32], bias: &[f32], mean: &[f32], rstd: &[f32], y: &mut [f32]) {
    recompute_on(Isa::best(), x, weight, bias, mean, rstd, y);
}

/// Computes [`recompute`] on a given instruction set.
#[track_caller]
pub fn recompute_on(isa: Isa, x: &[f32], weight: &[f32], bias: &[f32], mean: &[f32], rstd: &[f32], y: &mut [f32]) {
    let (n, d) = (mean.len(), weight.len());
    check(n, d, &[x, y], &[mean, rstd], &[weight, bias]);
    let parts = (Rows(x, d), Rows(mean, 1), Rows(rstd, 1), RowsMut(y, d));
    for_pieces(n, few_rows(d), parts, &|(x, mean, rstd, y)| normalize(isa, x.0, weight, bias, mean.0, rstd.0, y.0));
}

/// Computes dx, and adds to dweight and dbias.
///
/// ```text
/// x̂       = (x − μ)·r
/// dx̂      = dy·weight
/// dx      = r·(dx̂ − mean(dx̂) − x̂·mean(dx̂·x̂))
/// dweight += Σₙ dy·x̂
/// dbias   += Σₙ dy
/// ```
///
/// `x`, `dy`, `dx` (N,d), `weight`, `dweight`, `dbias` (d), `mean`, `rstd` (N)
///
/// `write` says whether dx is set or added to; the parameters' gradients are always added to.
#[track_caller]
pub fn backward(
    x: &[f32],
    weight: &[f32],
    mean: &[f32],
    rstd: &[f32],
    dy: &[f32],
    write: Write,
    dx: &mut [f32],
    dweight: &mut [f32],
    dbias: &mut [f32],
) {
    backward_on(Isa::best(), x, weight, mean, rstd, dy, write, dx, dweight, dbias);
}

/// Computes [`backward`] on a given instruction set.
#[track_caller]
pub fn backward_on(
    isa: Isa,
    x: &[f32],
    weight: &[f32],
    mean: &[f32],
    rstd: &[f32],
    dy: &[f32],
    write: Write,
    dx: &mut [f32],
    dweight: &mut [f32],
    dbias: &mut [f32],
) {
    let (n, d) = (mean.len(), weight.len());
    check(n, d, &[x, dy, dx], &[mean, rstd], &[weight, dweight, dbias]);
    let columns = if n * d <= PIECE { d } else { COLUMN_BLOCK };
    for_pieces(d, columns, (0..d, RowsMut(dweight, 1), RowsMut(dbias, 1)), &|(columns, dweight, dbias)| {
        parameter_gradients(isa, x, mean, rstd, dy, columns, dweight.0, dbias.0)
    });
    let statistics = (Rows(mean, 1), Rows(rstd, 1));
    let parts = (Rows(x, d), statistics, Rows(dy, d), RowsMut(dx, d));
    for_pieces(n, few_rows(d), parts, &|(x, (mean, rstd), dy, dx)| {
        input_gradient(isa, x.0, weight, mean.0, rstd.0, dy.0, write, dx.0)
    });
}

/// Returns how many rows of `d` a thread takes at a time: few, because with one picture most of the time goes into
/// fetching what other threads have just written.
fn few_rows(d: usize) -> usize {
    (PIECE / 4).div_ceil(d)
}

#[track_caller]
fn check(n: usize, d: usize, matrices: &[&[f32]], per_row: &[&[f32]], per_column: &[&[f32]]) {
    let fits = |slices: &[&[f32]], len: usize| slices.iter().all(|s| s.len() == len);
    let sizes = |slices: &[&[f32]]| slices.iter().map(|s| s.len()).collect::<Vec<_>>();
    assert!(
        d > 0 && fits(matrices, n * d) && fits(per_row, n) && fits(per_column, d),
        "layer norm of {n} rows of {d}: matrices of {:?}, statistics of {:?}, parameters of {:?} elements",
        sizes(matrices),
        sizes(per_row),
        sizes(per_column),
    );
}

multiversion! {
    /// Computes μ and r of each row.
    fn statistics(x: &[f32], eps: f32, mean: &mut [f32], rstd: &mut [f32]) {
        let d = x.len() / mean.len().max(1);
        for ((x, mean), rstd) in x.chunks_exact(d.max(1)).zip(mean).zip(rstd) {
            let mu = sum([x], |[x]| x) / d as f32;
            let variance = sum([x], |[x]| (x - mu) * (x - mu)) / d as f32;
            (*mean, *rstd) = (mu, 1.0 / (variance + eps).sqrt());
        }
    }
}

multiversion! {
    /// Computes y of each row from its μ and r.
    fn normalize(x: &[f32], weight: &[f32], bias: &[f32], mean: &[f32], rstd: &[f32], y: &mut [f32]) {
        let d = weight.len();
        for (((x, y), &mean), &rstd) in x.chunks_exact(d).zip(y.chunks_exact_mut(d)).zip(mean).zip(rstd) {
            for (((y, &x), &w), &b) in y.iter_mut().zip(x).zip(weight).zip(bias) {
                *y = mul_add::<FMA>((x - mean) * rstd, w, b);
            }
        }
    }
}

multiversion! {
    /// Computes dx of each row.
    fn input_gradient(
        x: &[f32],
        weight: &[f32],
        mean: &[f32],
        rstd: &[f32],
        dy: &[f32],
        write: Write,
        dx: &mut [f32],
    ) {
        let d = weight.len();
        let rows = x.chunks_exact(d).zip(dy.chunks_exact(d)).zip(dx.chunks_exact_mut(d));
        for (((x, dy), dx), (&mean, &rstd)) in rows.zip(mean.iter().zip(rstd)) {
            let mean_g = dot::<FMA>(dy, weight) / d as f32;
            let mean_gx = sum([x, dy, weight], |[x, dy, w]| dy * w * ((x - mean) * rstd)) / d as f32;
            let gradient = |x: f32, dy: f32, w: f32| {
                let x_hat = (x - mean) * rstd;
                rstd * mul_add::<FMA>(-x_hat, mean_gx, mul_add::<FMA>(dy, w, -mean_g))
            };
            let columns = dx.iter_mut().zip(x).zip(dy.iter().zip(weight));
            match write {
                Write::Set => columns.for_each(|((dx, &x), (&dy, &w))| *dx = gradient(x, dy, w)),
                Write::Add => columns.for_each(|((dx, &x), (&dy, &w))| *dx += gradient(x, dy, w)),
            }
        }
    }
}

multiversion! {
    /// Adds to dweight and dbias of some columns, in blocks of rows by blocks of 32 columns.
    fn parameter_gradients(
        x: &[f32],
        mean: &[f32],
        rstd: &[f32],
        dy: &[f32],
        columns: Range<usize>,
        dweight: &mut [f32],
        dbias: &mut [f32],
    ) {
        let d = x.len() / mean.len().max(1);
        let blocks = mean.chunks(ROW_BLOCK).zip(rstd.chunks(ROW_BLOCK));
        for (block, (mean, rstd)) in blocks.enumerate() {
            let first_row = block * ROW_BLOCK * d;
            for (j, (dweight, dbias)) in dweight.chunks_mut(32).zip(dbias.chunks_mut(32)).enumerate() {
                let start = first_row + columns.start + 32 * j;
                let (x, dy) = (&x[start..], &dy[start..]);
                match (<&mut [f32; 32]>::try_from(&mut *dweight), <&mut [f32; 32]>::try_from(&mut *dbias)) {
                    (Ok(dweight), Ok(dbias)) => add_block::<FMA, _>(x, dy, d, mean, rstd, dweight, dbias),
                    _ => (0..dweight.len()).for_each(|j| {
                        let (dweight, dbias) = (from_mut(&mut dweight[j]), from_mut(&mut dbias[j]));
                        add_block::<FMA, _>(&x[j..], &dy[j..], d, mean, rstd, dweight, dbias)
                    }),
                }
            }
        }
    }
}

/// Adds what the rows give to the gradients of `C` columns; `x` and `dy` start at these columns of the first row.
#[inline(always)]
fn add_block<const FMA: bool, const C: usize>(
    x: &[f32],
    dy: &[f32],
    d: usize,
    mean: &[f32],
    rstd: &[f32],
    dweight: &mut [f32; C],
    dbias: &mut [f32; C],
) {
    let (mut weight_sums, mut bias_sums) = ([0.0f32; C], [0.0f32; C]);
    for ((x, dy), (&mean, &rstd)) in x.chunks(d).zip(dy.chunks(d)).zip(mean.iter().zip(rstd)) {
        let (x, dy): (&[f32; C], &[f32; C]) =
            (x.first_chunk().expect("in the row"), dy.first_chunk().expect("in the row"));
        for j in 0..C {
            weight_sums[j] = mul_add::<FMA>(dy[j], (x[j] - mean) * rstd, weight_sums[j]);
            bias_sums[j] += dy[j];
        }
    }
    for j in 0..C {
        dweight[j] += weight_sums[j];
        dbias[j] += bias_sums[j];
    }
}

/// The definitions, in f64.
pub mod naive {
    use crate::Write;

    /// The definition of [`forward`](super::forward).
    pub fn forward(
        x: &[f32],
        weight: &[f32],
        bias: &[f32],
        eps: f32,
        y: &mut [f32],
        mean: &mut [f32],
        rstd: &mut [f32],
    ) {
        let d = weight.len();
        for i in 0..mean.len() {
            let x: Vec<f64> = x[i * d..][..d].iter().map(|&x| f64::from(x)).collect();
            let mu = x.iter().sum::<f64>() / d as f64;
            let variance = x.iter().map(|x| (x - mu).powi(2)).sum::<f64>() / d as f64;
            let r = 1.0 / (variance + f64::from(eps)).sqrt();
            for j in 0..d {
                y[i * d + j] = ((x[j] - mu) * r * f64::from(weight[j]) + f64::from(bias[j])) as f32;
            }
            (mean[i], rstd[i]) = (mu as f32, r as f32);
        }
    }

    /// The definition of [`backward`](super::backward).
    pub fn backward(
        x: &[f32],
        weight: &[f32],
        mean: &[f32],
        rstd: &[f32],
        dy: &[f32],
        write: Write,
        dx: &mut [f32],
        dweight: &mut [f32],
        dbias: &mut [f32],
    ) {
        let d = weight.len();
        let x_hat = |i: usize, j: usize| (f64::from(x[i * d + j]) - f64::from(mean[i])) * f64::from(rstd[i]);
        let g = |i: usize, j: usize| f64::from(dy[i * d + j]) * f64::from(weight[j]);
        for i in 0..mean.len() {
            let mean_g = (0..d).map(|j| g(i, j)).sum::<f64>() / d as f64;
            let mean_gx = (0..d).map(|j| g(i, j) * x_hat(i, j)).sum::<f64>() / d as f64;
            for j in 0..d {
                let value = (f64::from(rstd[i]) * (g(i, j) - mean_g - x_hat(i, j) * mean_gx)) as f32;
                match write {
                    Write::Set => dx[i * d + j] = value,
                    Write::Add => dx[i * d + j] += value,
                }
            }
        }
        for j in 0..d {
            let rows = 0..mean.len();
            dweight[j] += rows.clone().map(|i| f64::from(dy[i * d + j]) * x_hat(i, j)).sum::<f64>() as f32;
            dbias[j] += rows.map(|i| f64::from(dy[i * d + j])).sum::<f64>() as f32;
        }
    }
}
