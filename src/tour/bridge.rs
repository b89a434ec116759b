//! Between the matrices of the tour and the arrays of the layers. "The same, fast" of every chapter compares by it.

use super::chain_rule::{Matrix, matrix};
use ndarray::{Array2, ArrayView2};
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;
use rand_pcg::Pcg64;

/// Returns a matrix of draws from N(0, 1), the same in every run.
pub fn random((rows, cols): (usize, usize), seed: u64) -> Array2<f32> {
    let draws = Pcg64::seed_from_u64(seed).sample_iter(StandardNormal).take(rows * cols);
    Array2::from_shape_vec((rows, cols), draws.collect()).expect("rows·cols draws")
}

/// Returns the same numbers as a matrix of the tour.
pub fn plain<T: Copy + Into<f64>>(x: ArrayView2<T>) -> Matrix {
    matrix(x.nrows(), x.ncols(), |i, j| x[[i, j]].into())
}

/// Panics where an entry is off by more than 1e-5 of the largest, which is what the rounding of f32 leaves after a sum of
/// some hundred terms.
#[track_caller]
pub fn assert_close(name: &str, given: ArrayView2<f32>, expected: &Matrix) {
    assert_eq!(given.dim(), (expected.len(), expected[0].len()), "{name}: shape");
    let largest = expected.iter().flatten().fold(0.0, |largest: f64, x| largest.max(x.abs()));
    for ((i, j), &given) in given.indexed_iter() {
        let (given, expected) = (f64::from(given), expected[i][j]);
        assert!((given - expected).abs() <= 1e-5 * largest, "{name}[{i}][{j}]: given {given}, expected {expected}");
    }
}
