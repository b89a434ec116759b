//! Batch normalisation over the rows of (N, C), ε = 1e-5 (Ioffe & Szegedy 2015, algorithm 1), together with what stands
//! behind it in a residual network: the addition of a residual and ReLU.
//!
//! y = act(x̂·weight + bias (+ residual)) with x̂ = (x − μ)·r, r = 1/√(σ² + ε), per column. A row is a pixel, a column a
//! channel. Each pass reads and writes every array once: one for the statistics and one for y; backward one for the two
//! sums that the gradient needs and one for the gradient.
//!
//! Sums over rows are cut into at most 64 pieces by the number of rows alone, and joined in their order.

pub mod naive;
mod passes;

use crate::isa::Isa;
use crate::parallel::{Rows, RowsMut, for_pieces, rows_per_piece};
use passes::{
    ROW_BLOCK, add, gradient_sums, input_gradient, join, mask, piece_statistics, plain, with_normed, with_residual,
};

/// ε of every CLIP checkpoint.
pub const EPS: f32 = 1e-5;

/// Pieces of a sum over rows at most: many more than there are threads, few enough to join them quickly.
const CHUNKS: usize = 64;

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
