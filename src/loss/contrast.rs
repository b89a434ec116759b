//! Scores of rows against columns, tile by tile: what every contrastive loss is made of.
//!
//! ```text
//! S           = s·X·Yᵀ
//! dX          = s·dS·Y
//! dY          = s·dSᵀ·X
//! ∂loss/∂ln s = Σ dS∘S = Σᵢ ⟨Xᵢ, dXᵢ⟩
//! ```
//!
//! rows X (N,e), columns Y (M,e), scores S (N,M)
//!
//! The scores are never stored: a loss makes one tile after another, folds each into what it keeps of a row or a
//! column, and makes them again for the gradient. All that a loss has to say is what dS is on a tile. A softmax needs
//! the log-sum-exp of the whole row for that, hence a pass before. A loss whose dS depends on the one entry alone, such
//! as a sigmoid's, needs none.
//!
//! Rows or columns may be a part of a batch, such as one machine's own rows against the columns of all machines. The
//! result of a row depends on where the columns are cut and not on the rows beside it, so a part has the bits of the
//! whole.

use crate::layers::{floats, mat, mat_mut, rows};
use kernels::{Epilogue, Mat, MatMut, gemm::gemm, info_nce};
use ndarray::{ArrayView2, ArrayViewMut2};
use std::ops::Range;

/// A tile has at most this many rows and columns: 4 MB, large enough for the matrix product to be at full speed, and
/// small beside X and Y.
pub(super) const TILE_ROWS: usize = 256;
pub(super) const TILE_COLS: usize = 4096;

/// Returns the number of floats of the largest tile, for N rows and M columns.
pub(super) fn tile_len(rows: usize, cols: usize) -> usize {
    TILE_ROWS.min(rows) * TILE_COLS.min(cols)
}

/// Calls `f` with the rows and columns of every tile, one row of tiles after the other.
pub(super) fn for_each_tile(rows: Range<usize>, cols: Range<usize>, mut f: impl FnMut(Range<usize>, Range<usize>)) {
    for row in rows.clone().step_by(TILE_ROWS) {
        for col in cols.clone().step_by(TILE_COLS) {
            f(row..rows.end.min(row + TILE_ROWS), col..cols.end.min(col + TILE_COLS));
        }
    }
}

/// A pass over tiles, and whether it serves the rows, the columns, or both.
pub(super) struct Pass {
    pub rows: Range<usize>,
    pub cols: Range<usize>,
    pub of_rows: bool,
    pub of_cols: bool,
}

/// Returns the passes that give the own rows and the own columns: one if all pairs are own, else two.
pub(super) fn passes(own: Range<usize>, n: usize) -> impl Iterator<Item = Pass> {
    let (all, whole) = (0..n, own == (0..n));
    let rows = Pass { rows: own.clone(), cols: all.clone(), of_rows: true, of_cols: whole };
    let cols = Pass { rows: all, cols: own, of_rows: false, of_cols: true };
    std::iter::once(rows).chain((!whole).then_some(cols))
}

/// The scores S = s·X·Yᵀ, which are computed a tile at a time.
#[derive(Clone, Copy, Debug)]
pub struct Scores<'a> {
    /// The rows X (N,e).
    pub rows: ArrayView2<'a, f32>,
    /// The columns Y (M,e).
    pub cols: ArrayView2<'a, f32>,
    /// The factor s of all scores.
    pub scale: f32,
}

impl Scores<'_> {
    /// Returns the scores with rows and columns exchanged.
    pub(super) fn transposed(&self) -> Scores<'_> {
        Scores { rows: self.cols.view(), cols: self.rows.view(), scale: self.scale }
    }

    /// Returns the number of rows N and of columns M.
    pub(super) fn dim(&self) -> (usize, usize) {
        (self.rows.nrows(), self.cols.nrows())
    }

    /// Computes the scores of rows `i` and columns `j` into `buffer`.
    pub(super) fn tile<'t>(&self, i: &Range<usize>, j: &Range<usize>, buffer: &'t mut [f32]) -> &'t mut [f32] {
        self.tile_with(i, j, Epilogue::None, buffer)
    }

    /// Computes the scores of rows `i` and columns `j`, with a bias of each column added, into `buffer`.
    pub(super) fn tile_plus<'t>(
        &self,
        i: &Range<usize>,
        j: &Range<usize>,
        bias: &[f32],
        buffer: &'t mut [f32],
    ) -> &'t mut [f32] {
        self.tile_with(i, j, Epilogue::Bias(&bias[..j.len()]), buffer)
    }

    fn tile_with<'t>(
        &self,
        i: &Range<usize>,
        j: &Range<usize>,
        epilogue: Epilogue,
        buffer: &'t mut [f32],
    ) -> &'t mut [f32] {
        let tile = &mut buffer[..i.len() * j.len()];
        let (x, y) = (mat(rows(self.rows, i)), mat(rows(self.cols, j)));
        gemm(self.scale, x, y.t(), 0.0, MatMut::new(tile, i.len(), j.len()), epilogue);
        tile
    }

    /// lse ← the log-sum-exp of each row of S
    ///
    /// `lse`, `sum` (N); `buffer` has room for a tile. Both `sum` and `buffer` are scratch.
    pub(super) fn row_lse(&self, lse: &mut [f32], sum: &mut [f32], buffer: &mut [f32]) {
        let (n, m) = self.dim();
        let mut running = LogSumExp::start(0..n, lse, sum);
        for_each_tile(0..n, 0..m, |i, j| running.fold_rows(self.tile(&i, &j, buffer), &i));
        running.finish();
    }
}

/// out ← factor·dS·x for the `first` tile that adds to these rows of `out`, out += factor·dS·x for the others
pub(super) fn multiply(factor: f32, ds: Mat, x: ArrayView2<f32>, first: bool, out: ArrayViewMut2<f32>) {
    gemm(factor, ds, mat(x), if first { 0.0 } else { 1.0 }, mat_mut(out), Epilogue::None);
}

/// The log-sum-exps of some rows, or columns, while their tiles come in: Σ exp(S) = sum·exp(max).
pub(super) struct LogSumExp<'a> {
    /// The rows or columns that are asked for.
    of: Range<usize>,
    /// The maxima so far, and at the end the log-sum-exps.
    lse: &'a mut [f32],
    /// Σ exp(S − max) so far.
    sum: &'a mut [f32],
}

impl<'a> LogSumExp<'a> {
    /// Starts for the rows or columns `of`, before their first tile; `lse` and `sum` have places for all rows or
    /// columns.
    pub fn start(of: Range<usize>, lse: &'a mut [f32], sum: &'a mut [f32]) -> Self {
        lse[of.clone()].fill(f32::NEG_INFINITY);
        sum[of.clone()].fill(0.0);
        LogSumExp { of, lse, sum }
    }

    /// Adds a tile to its rows `i`.
    pub fn fold_rows(&mut self, tile: &[f32], i: &Range<usize>) {
        info_nce::fold_rows(tile, tile.len() / i.len(), &mut self.lse[i.clone()], &mut self.sum[i.clone()]);
    }

    /// Adds a tile to its columns `j`.
    pub fn fold_cols(&mut self, tile: &[f32], j: &Range<usize>) {
        info_nce::fold_cols(tile, j.len(), &mut self.lse[j.clone()], &mut self.sum[j.clone()]);
    }

    /// lse ← max + ln sum
    pub fn finish(self) {
        let LogSumExp { of, lse, sum } = self;
        lse[of.clone()].iter_mut().zip(&sum[of]).for_each(|(lse, sum)| *lse += sum.ln());
    }
}

/// Σ a∘b, in f64 and in order
///
/// For rows and their gradients this is ∂loss/∂ln scale.
pub(super) fn dot(a: ArrayView2<f32>, b: ArrayView2<f32>) -> f64 {
    floats(a).iter().zip(floats(b)).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}
