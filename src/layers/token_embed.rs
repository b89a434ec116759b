//! Token embedding: row r of a packed batch is token_embedding\[idᵣ\] + positional_embedding[position of r].
//!
//! # Derivation
//! A table look-up is a product with one-hot rows, so its gradient adds each dyᵣ to the table row it came from.

use super::{floats, floats_mut};
use crate::weights::Read;
use kernels::embedding;
use ndarray::{ArrayView2, ArrayViewMut2};

/// y\[r\] = table\[ids\[r\]\] + positional\[positions\[r\]\]
///
/// `table` (V,d), `positional` (T,d), `y` (N,d)
#[track_caller]
pub fn forward(table: &impl Read, positional: &impl Read, ids: &[u32], positions: &[u32], y: ArrayViewMut2<f32>) {
    let width = y.ncols();
    assert_eq!((ids.len(), ids.len()), (positions.len(), y.nrows()), "token ids, their positions and rows of y");
    let (table, positional) = ((table.weight(), ids), (positional.rows(), positions));
    embedding::gather_sum(table, positional, width, floats_mut(y));
}

/// dtable\[ids\[r\]\] += dy\[r\],  dpositional\[positions\[r\]\] += dy\[r\]
///
/// `dy` (N,d), `dtable` (V,d), `dpositional` (T,d)
#[track_caller]
pub fn backward(ids: &[u32], positions: &[u32], dy: ArrayView2<f32>, dtable: &mut [f32], dpositional: &mut [f32]) {
    embedding::scatter_add(floats(dy), ids, dy.ncols(), dtable);
    embedding::scatter_add(floats(dy), positions, dy.ncols(), dpositional);
}
