//! The elementwise half of streaming InfoNCE: what happens to one tile of scaled logits.

/// Running log-sum-exp of one row or column: Σ exp(x) = sum·exp(max). Starts as max = −∞, sum = 0.
///
/// Folds the row-major tile (rows, cols) into the states of its rows: `row_max`, `row_sum` (rows).
pub fn fold_rows(tile: &[f32], cols: usize, row_max: &mut [f32], row_sum: &mut [f32]) {
    todo!()
}

/// The same for the tile's columns: `col_max`, `col_sum` (cols).
pub fn fold_cols(tile: &[f32], cols: usize, col_max: &mut [f32], col_sum: &mut [f32]) {
    todo!()
}

/// tile\[i, j\] ← exp(tile\[i, j\] − row_lse\[i\]) + exp(tile\[i, j\] − col_lse\[j\]): the row softmax plus the
/// column softmax, both from the recomputed logits.
pub fn softmax_sum(tile: &mut [f32], row_lse: &[f32], col_lse: &[f32]) {
    todo!()
}
