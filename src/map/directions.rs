//! The directions in which vectors are largest or, around their mean, differ most: principal components (Pearson 1901,
//! Hotelling 1933).
//!
//! They are the first eigenvectors of XᵀX, and come from the power method for several vectors at a time (Golub and Van
//! Loan, Matrix Computations, 8.2.4): each round multiplies them by the matrix and makes them orthonormal again.

use crate::layers::{mat, mat_mut};
use crate::random::normals;
use kernels::{Epilogue, Mat, gemm};
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};

/// Number of rounds for principal components. A direction whose variance is a tenth above the next comes out to 1e-4.
const ROUNDS: usize = 100;
/// Directions that are followed beside those that are wanted: the last ones converge slowest.
const SPARE: usize = 6;
/// Number of rows that are centred at a time.
const ROWS: usize = 1024;

/// Returns the places of vectors along the directions in which they differ most.
///
/// `x` (N,e), result (N,K)
pub fn principal_components(x: ArrayView2<f32>, count: usize) -> Array2<f32> {
    let mean = mean(x);
    let centred = |rows: ArrayView2<f32>| &rows - &mean;
    let mut moments = Array2::zeros((x.ncols(), x.ncols()));
    for rows in x.axis_chunks_iter(Axis(0), ROWS) {
        let rows = centred(rows);
        let (a, b) = (mat(rows.view()).t(), mat(rows.view()));
        gemm::gemm(1.0, a, b, 1.0, mat_mut(moments.view_mut()), Epilogue::None);
    }
    let directions = directions(&moments, count + SPARE, ROUNDS);
    let mut places = Array2::zeros((x.nrows(), count));
    for (rows, mut places) in x.axis_chunks_iter(Axis(0), ROWS).zip(places.axis_chunks_iter_mut(Axis(0), ROWS)) {
        let wanted = directions.view().split_at(Axis(0), count).0;
        places.assign(&product(mat(centred(rows).view()), mat(wanted).t()));
    }
    places
}

/// Returns the mean of vectors, added up in f64.
///
/// `x` (N,e), result (e)
pub(super) fn mean(x: ArrayView2<f32>) -> Array1<f32> {
    let mut sum = Array1::<f64>::zeros(x.ncols());
    x.rows().into_iter().for_each(|row| sum.zip_mut_with(&row, |sum, &x| *sum += f64::from(x)));
    sum.mapv(|sum| (sum / x.nrows().max(1) as f64) as f32)
}

/// Returns the first eigenvectors of a symmetric matrix, as orthonormal rows, that of the largest eigenvalue first. They
/// begin at directions drawn by lot, always the same ones.
///
/// `moments` (e,e), result (K,e)
pub(crate) fn directions(moments: &Array2<f32>, count: usize, rounds: usize) -> Array2<f32> {
    let mut directions = normals((count, moments.ncols()), 0);
    orthonormalise(&mut directions);
    for _ in 0..rounds {
        directions = product(mat(directions.view()), mat(moments.view()));
        orthonormalise(&mut directions);
    }
    directions
}

/// Makes rows orthonormal by the method of Gram and Schmidt. Twice is enough (Giraud et al. 2005). A row that depends on
/// those before it becomes zero.
fn orthonormalise(rows: &mut Array2<f32>) {
    for i in 0..rows.nrows() {
        let (before, mut rest) = rows.view_mut().split_at(Axis(0), i);
        let mut row = rest.row_mut(0);
        let length = |row: ArrayView1<f32>| row.dot(&row).sqrt();
        let full = length(row.view());
        for _ in 0..2 {
            let shares = before.dot(&row);
            row -= &before.t().dot(&shares);
        }
        let left = length(row.view());
        // What is left of a dependent row is roundings.
        let factor = if left > 1e-5 * full { 1.0 / left } else { 0.0 };
        row *= factor;
    }
}

/// Returns A·B.
pub(crate) fn product(a: Mat, b: Mat) -> Array2<f32> {
    let mut c = Array2::zeros((a.rows, b.cols));
    gemm::gemm(1.0, a, b, 0.0, mat_mut(c.view_mut()), Epilogue::None);
    c
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the eigenvalues of a symmetric matrix with their vectors as columns, by Jacobi's rotations in f64.
    fn eigen(mut a: Array2<f64>) -> (Vec<f64>, Array2<f64>) {
        let n = a.nrows();
        let mut v = Array2::eye(n);
        for _ in 0..30 {
            for (p, q) in (0..n).flat_map(|p| (p + 1..n).map(move |q| (p, q))) {
                if a[[p, q]].abs() < 1e-300 {
                    continue;
                }
                let angle = 0.5 * (2.0 * a[[p, q]]).atan2(a[[q, q]] - a[[p, p]]);
                let (s, c) = angle.sin_cos();
                for i in 0..n {
                    let (x, y) = (a[[i, p]], a[[i, q]]);
                    (a[[i, p]], a[[i, q]]) = (c * x - s * y, s * x + c * y);
                }
                for i in 0..n {
                    let (x, y) = (a[[p, i]], a[[q, i]]);
                    (a[[p, i]], a[[q, i]]) = (c * x - s * y, s * x + c * y);
                    let (x, y) = (v[[i, p]], v[[i, q]]);
                    (v[[i, p]], v[[i, q]]) = (c * x - s * y, s * x + c * y);
                }
            }
        }
        (a.diag().to_vec(), v)
    }

    #[test]
    fn components_are_those_of_an_eigendecomposition() {
        for (n, e) in [(1500, 40), (30, 64), (7, 3)] {
            let scales = Array1::from_iter((0..e).map(|i| 1.5f32.powi(-(i as i32))));
            let x = normals((n, e), 1) * &scales + 3.0 * &normals((1, e), 2);
            let wide = x.mapv(f64::from);
            let centred = &wide - &wide.mean_axis(Axis(0)).unwrap();
            let (values, vectors) = eigen(centred.t().dot(&centred));
            let mut order: Vec<usize> = (0..e).collect();
            order.sort_by(|&i, &j| values[j].total_cmp(&values[i]));
            let found = principal_components(x.view(), 2).mapv(f64::from);
            for (i, &j) in order[..2].iter().enumerate() {
                let expected = centred.dot(&vectors.column(j));
                let sign = expected.dot(&found.column(i)).signum();
                let error = (&found.column(i) * sign - &expected).mapv(|x| x * x).sum();
                assert!(error < 1e-7 * values[j], "{n}×{e}, component {i}: {error} of {}", values[j]);
            }
        }
    }

    #[test]
    fn directions_are_orthonormal_though_the_vectors_are_few() {
        let x = normals((5, 128), 3);
        let u = directions(&product(mat(x.view()).t(), mat(x.view())), 64, 6);
        for ((i, j), &x) in product(mat(u.view()), mat(u.view()).t()).indexed_iter() {
            assert!(if i == j && i < 5 { (x - 1.0).abs() < 1e-5 } else { i == j || x.abs() < 1e-5 }, "{i} {j} {x}");
        }
    }

    #[test]
    fn what_does_not_differ_has_no_direction() {
        let same = Array2::from_elem((9, 4), 0.5);
        assert!(principal_components(same.view(), 2).iter().all(|x| x.abs() < 1e-6));
        assert_eq!(principal_components(Array2::zeros((1, 4)).view(), 2).dim(), (1, 2));
    }
}
