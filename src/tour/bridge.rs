//! Between the matrices of the tour and the arrays of the layers. "The same, fast" of every chapter compares by it.

use super::chain_rule::Matrix;
use ndarray::ArrayView2;

pub use crate::random::normals as random;

/// Returns the same numbers as a matrix of the tour.
pub fn plain<T: Copy + Into<f64>>(x: ArrayView2<T>) -> Matrix {
    x.rows().into_iter().map(|row| row.iter().map(|&x| x.into()).collect()).collect()
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
