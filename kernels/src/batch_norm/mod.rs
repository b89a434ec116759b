//! Batch normalisation of the columns of a matrix (Ioffe & Szegedy 2015, algorithm 1), together with what stands behind
//! it in a residual network: the addition of a residual and ReLU.
//!
//! ```text
//! x̂ = (x − μ)·r        r = 1/√(σ² + ε), ε = 1e-5, per column
//! y = act(x̂·weight + bias (+ residual))
//! ```
//!
//! A row is a pixel, a column a channel. Each pass reads and writes every array once: one for the statistics and one
//! for y; backward one for the two sums that the gradient needs and one for the gradient.
//!
//! Sums over rows are cut into at most 64 pieces by the number of rows alone, and joined in their order.
//!
//! | file | what it is for |
//! |---|---|
//! | `norm` | what a normalisation is given beside x |
//! | `passes` | the loops over a piece of the rows |
//! | `naive` | the definitions |

#[doc(hidden)]
pub mod naive;
mod norm;
mod passes;

pub use norm::{EPS, Gate, Norm, Residual};

use crate::isa::Isa;
use crate::parallel::{Rows, RowsMut, for_pieces, rows_per_piece};
use passes::{
    ROW_BLOCK, add, gradient_sums, input_gradient, join, mask, piece_statistics, plain, with_normed, with_residual,
};

/// A sum over rows is cut into at most this many pieces: many more than there are threads, few enough to join quickly.
const MAX_PIECES: usize = 64;

/// Returns how many floats of scratch the sums over rows of `channels` columns take.
pub const fn scratch_len(channels: usize) -> usize {
    2 * MAX_PIECES * channels
}

/// Computes μ and σ² = mean((x − μ)²) of each column.
///
/// `x` (N,C) with N > 0, `mean` and `variance` (C), `scratch` ([`scratch_len`])
#[track_caller]
pub fn statistics(x: &[f32], mean: &mut [f32], variance: &mut [f32], scratch: &mut [f32]) {
    statistics_on(Isa::best(), x, mean, variance, scratch);
}

/// Computes [`statistics`] on a given instruction set.
#[track_caller]
pub fn statistics_on(isa: Isa, x: &[f32], mean: &mut [f32], variance: &mut [f32], scratch: &mut [f32]) {
    let channels = mean.len();
    let rows = check(channels, &[x], &[mean, variance]);
    assert!(rows > 0, "batch norm: the statistics of no rows");
    let pieces = Pieces::new(rows, channels);
    let scratch = pieces.scratch(scratch);
    // Each column is averaged less its first number, so that a large μ costs none of the digits.
    let origin = &x[..channels];
    let parts = (Rows(x, pieces.rows * channels), RowsMut(scratch, 2 * channels));
    for_pieces(pieces.count(), 1, parts, &|(x, sums)| {
        let (mean, m2) = sums.0.split_at_mut(channels);
        piece_statistics(isa, x.0, origin, mean, m2);
    });
    mean.copy_from_slice(&scratch[..channels]);
    variance.copy_from_slice(&scratch[channels..2 * channels]);
    for (i, sums) in scratch.chunks_exact(2 * channels).enumerate().skip(1) {
        let (piece_mean, piece_m2) = sums.split_at(channels);
        join(mean, variance, pieces.rows * i, piece_mean, piece_m2, pieces.rows.min(rows - pieces.rows * i));
    }
    variance.iter_mut().for_each(|m2| *m2 /= rows as f32);
    add(origin, mean);
}

/// y = act(x̂·weight + bias + residual), where act = max(0, ·) if `relu`
///
/// `x`, `y` (N,C)
#[track_caller]
pub fn normalize(norm: Norm, x: &[f32], residual: Residual, relu: bool, y: &mut [f32]) {
    normalize_on(Isa::best(), norm, x, residual, relu, y);
}

/// Computes [`normalize`] on a given instruction set.
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

/// Computes dx, and adds to dweight and dbias.
///
/// ```text
/// dz      = dy where the gate is open, else 0
/// dx      = weight·r·(dz − mean(dz) − x̂·mean(dz·x̂))
/// dweight += Σₙ dz·x̂
/// dbias   += Σₙ dz
/// ```
///
/// `x`, `dy` (N,C), `dweight`, `dbias` (C), `scratch` ([`scratch_len`])
///
/// The statistics of `norm` have to be those of x. `x` holds dx on return. Behind [`Gate::Output`] `dy` holds dz on
/// return, the gradient of the residual.
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

/// Computes [`backward`] on a given instruction set.
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
    let pieces = Pieces::new(rows, channels);
    let scratch = pieces.scratch(scratch);
    piece_sums(isa, &pieces, norm, gate, x, dy, scratch);
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

/// Computes the two sums of every piece, side by side in `sums`.
fn piece_sums(isa: Isa, pieces: &Pieces, norm: Norm, gate: Gate, x: &[f32], dy: &mut [f32], sums: &mut [f32]) {
    let channels = norm.mean.len();
    let (width, count) = (pieces.rows * channels, pieces.count());
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

/// How rows are cut into pieces for sums.
struct Pieces {
    /// The number of all rows.
    total: usize,
    /// The rows of a piece; the last one may have fewer.
    rows: usize,
    channels: usize,
}

impl Pieces {
    /// Cuts `total` rows of `channels` columns.
    fn new(total: usize, channels: usize) -> Self {
        let rows = total.div_ceil(MAX_PIECES).max(rows_per_piece(channels)).next_multiple_of(ROW_BLOCK);
        Pieces { total, rows, channels }
    }

    /// Returns the number of pieces.
    fn count(&self) -> usize {
        self.total.div_ceil(self.rows)
    }

    /// Takes as much of `scratch` as the pieces need.
    #[track_caller]
    fn scratch<'a>(&self, scratch: &'a mut [f32]) -> &'a mut [f32] {
        let needed = scratch_len(self.channels);
        assert!(scratch.len() >= needed, "batch norm: {} floats of scratch, {needed} needed", scratch.len());
        &mut scratch[..2 * self.channels * self.count()]
    }
}

/// Returns the number of rows; panics unless all arrays have these channels and equally many rows.
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
