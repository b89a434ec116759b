//! The two directions in which embeddings differ most: principal component analysis, in f64.
//!
//! The products of all rows, without their mean, with each other are a small matrix. An eigenvector of it times the rows,
//! divided by the root of its eigenvalue, is a direction of length 1, along which the rows have the share of their
//! variance that the eigenvalue has of all (Bishop 2006, 12.1.4).

use ndarray::{Array1, Array2, ArrayView2, ArrayViewMut2, Axis};

/// Rotations by Jacobi converge quadratically, so that a few rounds are enough; this many never come.
const MAX_ROUNDS: usize = 60;

/// A plane through rows.
pub(super) struct Axes {
    /// The mean of the rows.
    mean: Array1<f64>,
    /// Two directions (2,e) of length 1; one that the rows do not have is 0.
    directions: Array2<f64>,
    /// How much of the variance of the rows each of them has.
    pub shares: [f64; 2],
}

impl Axes {
    /// Lays the plane in which rows differ most.
    ///
    /// `rows` (N,e), N ≥ 1
    pub fn of(rows: ArrayView2<f32>) -> Self {
        let rows = rows.mapv(f64::from);
        let mean = rows.mean_axis(Axis(0)).expect("at least one row");
        let centred = rows - &mean;
        let (values, vectors) = eigen(centred.dot(&centred.t()));
        let total: f64 = values.iter().sum();
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|&i, &j| values[j].total_cmp(&values[i]));
        let mut axes = Axes { directions: Array2::zeros((2, mean.len())), mean, shares: [0.0; 2] };
        for (axis, &i) in order.iter().take(2).enumerate() {
            // What is left of 0 after rounding is no direction.
            if values[i] > 1e-12 * total {
                let direction = vectors.row(i).dot(&centred) / values[i].sqrt();
                axes.directions.row_mut(axis).assign(&direction);
                axes.shares[axis] = values[i] / total;
            }
        }
        axes
    }

    /// Returns the places of rows in the plane.
    ///
    /// `rows` (N,e)
    pub fn places(&self, rows: ArrayView2<f32>) -> Vec<[f64; 2]> {
        let places = (rows.mapv(f64::from) - &self.mean).dot(&self.directions.t());
        places.rows().into_iter().map(|place| [place[0], place[1]]).collect()
    }
}

/// Returns the eigenvalues of a symmetric matrix, and its eigenvectors, one a row: rotations in one plane after the other
/// make what is beside the diagonal vanish (Jacobi 1846; Golub & Van Loan, Matrix Computations, 8.5).
fn eigen(mut a: Array2<f64>) -> (Vec<f64>, Array2<f64>) {
    let n = a.nrows();
    let mut vectors = Array2::eye(n);
    let whole: f64 = a.iter().map(|x| x * x).sum();
    for _ in 0..MAX_ROUNDS {
        let beside: f64 = a.indexed_iter().filter(|((i, j), _)| i != j).map(|(_, x)| x * x).sum();
        if beside <= 1e-30 * whole {
            break;
        }
        for (i, j) in (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j))) {
            let turn = turn_to_zero(&a, i, j);
            rotate(a.view_mut(), i, j, turn);
            rotate(a.view_mut().reversed_axes(), i, j, turn);
            rotate(vectors.view_mut(), i, j, turn);
        }
    }
    (a.diag().to_vec(), vectors)
}

/// Returns cosine and sine of the smaller angle whose rotation makes aᵢⱼ vanish.
fn turn_to_zero(a: &Array2<f64>, i: usize, j: usize) -> (f64, f64) {
    if a[[i, j]] == 0.0 {
        return (1.0, 0.0);
    }
    let double = (a[[j, j]] - a[[i, i]]) / (2.0 * a[[i, j]]);
    let tangent = double.signum() / (double.abs() + double.hypot(1.0));
    let cosine = 1.0 / tangent.hypot(1.0);
    (cosine, tangent * cosine)
}

/// Rotates row i and row j in their plane.
fn rotate(mut rows: ArrayViewMut2<f64>, i: usize, j: usize, (cosine, sine): (f64, f64)) {
    for column in 0..rows.ncols() {
        let (x, y) = (rows[[i, column]], rows[[j, column]]);
        rows[[i, column]] = cosine * x - sine * y;
        rows[[j, column]] = sine * x + cosine * y;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::rng;
    use rand::RngExt;

    #[test]
    fn eigenvectors_are_orthonormal_and_diagonalise() {
        let mut rng = rng(&[3]);
        let x = Array2::from_shape_fn((9, 5), |_| rng.random::<f64>() - 0.5);
        let a = x.dot(&x.t());
        let (values, vectors) = eigen(a.clone());
        let ones = vectors.dot(&vectors.t());
        let diagonal = vectors.dot(&a).dot(&vectors.t());
        for ((i, j), one) in ones.indexed_iter() {
            let own = f64::from(u8::from(i == j));
            assert!((one - own).abs() < 1e-12 && (diagonal[[i, j]] - own * values[i]).abs() < 1e-12, "{i}, {j}");
        }
    }

    /// Rows in a plane keep their distances in it, and no other plane has more of the variance.
    #[test]
    fn the_plane_of_rows_is_found() {
        let mut rng = rng(&[4]);
        let mut random = |rows, columns| Array2::from_shape_fn((rows, columns), |_| rng.random::<f32>() - 0.5);
        let (places, plane, elsewhere) = (random(12, 2), random(2, 30), random(1, 30));
        let rows = places.dot(&plane) + elsewhere;
        let axes = Axes::of(rows.view());
        assert!((axes.shares[0] + axes.shares[1] - 1.0).abs() < 1e-9 && axes.shares[0] >= axes.shares[1]);
        let placed = axes.places(rows.view());
        for (i, j) in (0..12).flat_map(|i| (0..12).map(move |j| (i, j))) {
            let far = (&rows.row(i) - &rows.row(j)).mapv(|x| f64::from(x).powi(2)).sum().sqrt();
            let shown = (placed[i][0] - placed[j][0]).hypot(placed[i][1] - placed[j][1]);
            assert!((far - shown).abs() < 1e-5, "{far} {shown}");
        }
    }

    #[test]
    fn equal_rows_have_no_direction() {
        let rows = Array2::from_elem((3, 4), 0.5);
        let axes = Axes::of(rows.view());
        assert_eq!((axes.shares, axes.places(rows.view())), ([0.0; 2], vec![[0.0; 2]; 3]));
    }
}
