//! The elementwise half of streaming InfoNCE: what happens to one tile of scores.
//!
//! A running log-sum-exp is a pair of a maximum, at first −∞, and a sum, at first 0. Folding in more elements raises
//! the maximum and rescales the sum (Milakov & Gimelshein 2018, algorithm 3).
//!
//! ```text
//! sum·exp(max) = Σ exp(x) so far
//! sum′         = sum·exp(max − max′) + Σ exp(x − max′) of what is new
//! ```

use crate::exp::exp;
use crate::isa::{Isa, mul_add, multiversion};
use crate::lanes;
use crate::parallel::{PIECE, Rows, RowsMut, for_pieces};
use std::array::from_mut;
use std::ops::Range;

/// A thread folds this many elements of a tile at a time: a quarter of a streaming piece, because each takes an
/// exponential.
const TILE_PIECE: usize = PIECE / 4;

/// This many columns are folded side by side.
const COLUMNS: usize = 32;

/// Folds the row-major tile (rows, cols) into the states of its rows: `row_max`, `row_sum` (rows).
#[track_caller]
pub fn fold_rows(tile: &[f32], cols: usize, row_max: &mut [f32], row_sum: &mut [f32]) {
    fold_rows_on(Isa::best(), tile, cols, row_max, row_sum);
}

/// Computes [`fold_rows`] on a given instruction set.
#[track_caller]
pub fn fold_rows_on(isa: Isa, tile: &[f32], cols: usize, row_max: &mut [f32], row_sum: &mut [f32]) {
    check(tile.len(), row_max.len(), cols, &[row_max.len(), row_sum.len()], row_max.len());
    let parts = (Rows(tile, cols), RowsMut(row_max, 1), RowsMut(row_sum, 1));
    for_pieces(parts.1.0.len(), TILE_PIECE.div_ceil(cols), parts, &|(tile, max, sum)| {
        rows(isa, tile.0, cols, max.0, sum.0)
    });
}

/// Folds the row-major tile (rows, cols) into the states of its columns: `col_max`, `col_sum` (cols).
#[track_caller]
pub fn fold_cols(tile: &[f32], cols: usize, col_max: &mut [f32], col_sum: &mut [f32]) {
    fold_cols_on(Isa::best(), tile, cols, col_max, col_sum);
}

/// Computes [`fold_cols`] on a given instruction set.
#[track_caller]
pub fn fold_cols_on(isa: Isa, tile: &[f32], cols: usize, col_max: &mut [f32], col_sum: &mut [f32]) {
    check(tile.len(), tile.len() / cols.max(1), cols, &[col_max.len(), col_sum.len()], cols);
    let block = if tile.len() <= TILE_PIECE { cols } else { 2 * COLUMNS };
    for_pieces(cols, block, (0..cols, RowsMut(col_max, 1), RowsMut(col_sum, 1)), &|(range, max, sum)| {
        columns(isa, tile, cols, range, max.0, sum.0)
    });
}

/// tile\[i, j\] ← exp(tile\[i, j\] − row_lse\[i\]) + exp(tile\[i, j\] − col_lse\[j\]): the row softmax plus the
/// column softmax, both from the recomputed scores.
#[track_caller]
pub fn softmax_sum(tile: &mut [f32], row_lse: &[f32], col_lse: &[f32]) {
    softmax_sum_on(Isa::best(), tile, row_lse, col_lse);
}

/// Computes [`softmax_sum`] on a given instruction set.
#[track_caller]
pub fn softmax_sum_on(isa: Isa, tile: &mut [f32], row_lse: &[f32], col_lse: &[f32]) {
    let (n, cols) = (row_lse.len(), col_lse.len());
    check(tile.len(), n, cols, &[], 0);
    for_pieces(n, TILE_PIECE.div_ceil(cols), (RowsMut(tile, cols), Rows(row_lse, 1)), &|(tile, row_lse)| {
        sum_of_softmaxes(isa, tile.0, row_lse.0, col_lse)
    });
}

/// tile\[i, j\] ← exp(tile\[i, j\] − row_lse\[i\]): the softmax of the rows, from the recomputed scores.
#[track_caller]
pub fn softmax(tile: &mut [f32], row_lse: &[f32]) {
    softmax_on(Isa::best(), tile, row_lse);
}

/// Computes [`softmax`] on a given instruction set.
#[track_caller]
pub fn softmax_on(isa: Isa, tile: &mut [f32], row_lse: &[f32]) {
    let (n, cols) = (row_lse.len(), tile.len() / row_lse.len().max(1));
    check(tile.len(), n, cols, &[], 0);
    for_pieces(n, TILE_PIECE.div_ceil(cols), (RowsMut(tile, cols), Rows(row_lse, 1)), &|(tile, row_lse)| {
        row_softmax(isa, tile.0, cols, row_lse.0)
    });
}

#[track_caller]
fn check(len: usize, rows: usize, cols: usize, states: &[usize], expected: usize) {
    assert!(cols > 0 && len == rows * cols, "InfoNCE: a tile of {len} elements is not {rows}×{cols}");
    assert!(states.iter().all(|&s| s == expected), "InfoNCE: a {rows}×{cols} tile, states of {states:?} elements");
}

multiversion! {
    fn rows(tile: &[f32], cols: usize, row_max: &mut [f32], row_sum: &mut [f32]) {
        for ((x, max), sum) in tile.chunks_exact(cols).zip(row_max).zip(row_sum) {
            let new = lanes::max(x).max(*max);
            // While all elements are −∞ the sum stays 0; −∞ − (−∞) would be NaN.
            if new != f32::NEG_INFINITY {
                *sum = mul_add::<FMA>(*sum, exp::<FMA>(*max - new), lanes::sum([x], |[x]| exp::<FMA>(x - new)));
                *max = new;
            }
        }
    }
}

multiversion! {
    fn columns(tile: &[f32], cols: usize, range: Range<usize>, col_max: &mut [f32], col_sum: &mut [f32]) {
        for (b, (max, sum)) in col_max.chunks_mut(COLUMNS).zip(col_sum.chunks_mut(COLUMNS)).enumerate() {
            let tile = &tile[(range.start + b * COLUMNS).min(tile.len())..];
            match (<&mut [f32; COLUMNS]>::try_from(&mut *max), <&mut [f32; COLUMNS]>::try_from(&mut *sum)) {
                (Ok(max), Ok(sum)) => column_block::<FMA, _>(tile, cols, max, sum),
                _ => (0..max.len()).for_each(|j| {
                    let (max, sum) = (from_mut(&mut max[j]), from_mut(&mut sum[j]));
                    column_block::<FMA, _>(&tile[j.min(tile.len())..], cols, max, sum)
                }),
            }
        }
    }
}

/// Folds the `C` columns from the first element of `tile` on.
#[inline(always)]
fn column_block<const FMA: bool, const C: usize>(tile: &[f32], cols: usize, max: &mut [f32; C], sum: &mut [f32; C]) {
    let block = |row: &[f32]| -> [f32; C] { *row.first_chunk().expect("the block lies in the row") };
    let mut new = *max;
    for x in tile.chunks(cols).map(block) {
        for j in 0..C {
            new[j] = if x[j] > new[j] { x[j] } else { new[j] };
        }
    }
    // A maximum of −∞ is replaced by 0, which keeps NaN out: exp(−∞ − 0) = 0.
    let pivot = new.map(|max| if max == f32::NEG_INFINITY { 0.0 } else { max });
    let mut sums = [0.0f32; C];
    for x in tile.chunks(cols).map(block) {
        for j in 0..C {
            sums[j] += exp::<FMA>(x[j] - pivot[j]);
        }
    }
    for j in 0..C {
        sum[j] = mul_add::<FMA>(sum[j], exp::<FMA>(max[j] - pivot[j]), sums[j]);
        max[j] = new[j];
    }
}

multiversion! {
    fn sum_of_softmaxes(tile: &mut [f32], row_lse: &[f32], col_lse: &[f32]) {
        for (row, &row_lse) in tile.chunks_exact_mut(col_lse.len()).zip(row_lse) {
            for (x, &col_lse) in row.iter_mut().zip(col_lse) {
                *x = exp::<FMA>(*x - row_lse) + exp::<FMA>(*x - col_lse);
            }
        }
    }
}

multiversion! {
    fn row_softmax(tile: &mut [f32], cols: usize, row_lse: &[f32]) {
        for (row, &row_lse) in tile.chunks_exact_mut(cols).zip(row_lse) {
            row.iter_mut().for_each(|x| *x = exp::<FMA>(*x - row_lse));
        }
    }
}

/// The definitions, in f64.
pub mod naive {
    pub fn fold_rows(tile: &[f32], cols: usize, row_max: &mut [f32], row_sum: &mut [f32]) {
        for i in 0..row_max.len() {
            (0..cols).for_each(|j| fold(tile[i * cols + j], &mut row_max[i], &mut row_sum[i]));
        }
    }

    pub fn fold_cols(tile: &[f32], cols: usize, col_max: &mut [f32], col_sum: &mut [f32]) {
        for (i, &x) in tile.iter().enumerate() {
            fold(x, &mut col_max[i % cols], &mut col_sum[i % cols]);
        }
    }

    fn fold(x: f32, max: &mut f32, sum: &mut f32) {
        if x != f32::NEG_INFINITY {
            let new = max.max(x);
            let exp = |x: f32| f64::from(x - new).exp();
            *sum = (f64::from(*sum) * exp(*max) + exp(x)) as f32;
            *max = new;
        }
    }

    pub fn softmax(tile: &mut [f32], row_lse: &[f32]) {
        let cols = tile.len() / row_lse.len();
        for (i, x) in tile.iter_mut().enumerate() {
            *x = (f64::from(*x) - f64::from(row_lse[i / cols])).exp() as f32;
        }
    }

    pub fn softmax_sum(tile: &mut [f32], row_lse: &[f32], col_lse: &[f32]) {
        for (i, x) in tile.iter_mut().enumerate() {
            let minus = |lse: f32| (f64::from(*x) - f64::from(lse)).exp();
            *x = (minus(row_lse[i / col_lse.len()]) + minus(col_lse[i % col_lse.len()])) as f32;
        }
    }
}
