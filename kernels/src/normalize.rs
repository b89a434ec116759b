//! L2 normalisation of rows: y = x / |x|. A row of zeros has no direction and gives NaN, as in the original.

use crate::isa::{Isa, mul_add, multiversion};
use crate::lanes::dot;
use crate::parallel::{Rows, RowsMut, for_pieces, rows_per_piece};

/// norm = |x|, y = x / norm, row by row
///
/// `x`, `y` (N,d), `norm` (N)
#[track_caller]
pub fn forward(x: &[f32], y: &mut [f32], norm: &mut [f32]) {
    forward_on(Isa::best(), x, y, norm);
}

/// Computes [`forward`] on a given instruction set.
#[track_caller]
pub fn forward_on(isa: Isa, x: &[f32], y: &mut [f32], norm: &mut [f32]) {
    let n = norm.len();
    let d = width(n, &[x, y]);
    let parts = (Rows(x, d), RowsMut(y, d), RowsMut(norm, 1));
    for_pieces(n, rows_per_piece(d), parts, &|(x, y, norm)| divide(isa, d, x.0, y.0, norm.0));
}

/// dx = (dy − y·⟨y, dy⟩) / |x|, row by row
///
/// `y`, `dy`, `dx` (N,d), `norm` (N)
#[track_caller]
pub fn backward(y: &[f32], norm: &[f32], dy: &[f32], dx: &mut [f32]) {
    backward_on(Isa::best(), y, norm, dy, dx);
}

/// Computes [`backward`] on a given instruction set.
#[track_caller]
pub fn backward_on(isa: Isa, y: &[f32], norm: &[f32], dy: &[f32], dx: &mut [f32]) {
    let d = width(norm.len(), &[y, dy, dx]);
    let parts = (Rows(y, d), Rows(norm, 1), Rows(dy, d), RowsMut(dx, d));
    for_pieces(norm.len(), rows_per_piece(d), parts, &|(y, norm, dy, dx)| gradient(isa, d, y.0, norm.0, dy.0, dx.0));
}

/// Returns the width of the rows; panics unless all matrices have `rows` rows of one width.
#[track_caller]
fn width(rows: usize, matrices: &[&[f32]]) -> usize {
    let len = matrices[0].len();
    assert!(
        if rows == 0 { len == 0 } else { len > 0 && len.is_multiple_of(rows) }
            && matrices.iter().all(|m| m.len() == len),
        "normalize: {rows} rows, matrices of {:?} elements",
        matrices.iter().map(|m| m.len()).collect::<Vec<_>>()
    );
    (len / rows.max(1)).max(1)
}

multiversion! {
    /// Computes the norms and y of some rows.
    fn divide(d: usize, x: &[f32], y: &mut [f32], norm: &mut [f32]) {
        for ((x, y), norm) in x.chunks_exact(d).zip(y.chunks_exact_mut(d)).zip(norm) {
            *norm = dot::<FMA>(x, x).sqrt();
            let scale = 1.0 / *norm;
            y.iter_mut().zip(x).for_each(|(y, &x)| *y = x * scale);
        }
    }
}

multiversion! {
    /// Computes dx of some rows.
    fn gradient(d: usize, y: &[f32], norm: &[f32], dy: &[f32], dx: &mut [f32]) {
        for (((y, dy), dx), &norm) in y.chunks_exact(d).zip(dy.chunks_exact(d)).zip(dx.chunks_exact_mut(d)).zip(norm) {
            let (along, scale) = (dot::<FMA>(y, dy), 1.0 / norm);
            dx.iter_mut().zip(y).zip(dy).for_each(|((dx, &y), &dy)| *dx = mul_add::<FMA>(-y, along, dy) * scale);
        }
    }
}

/// The definitions, in f64.
#[doc(hidden)]
pub mod naive {
    pub fn forward(x: &[f32], y: &mut [f32], norm: &mut [f32]) {
        let d = x.len() / norm.len();
        for i in 0..norm.len() {
            let length = x[i * d..][..d].iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
            (0..d).for_each(|j| y[i * d + j] = (f64::from(x[i * d + j]) / length) as f32);
            norm[i] = length as f32;
        }
    }

    pub fn backward(y: &[f32], norm: &[f32], dy: &[f32], dx: &mut [f32]) {
        let d = y.len() / norm.len();
        for i in 0..norm.len() {
            let at = |m: &[f32], j: usize| f64::from(m[i * d + j]);
            let along: f64 = (0..d).map(|j| at(y, j) * at(dy, j)).sum();
            (0..d).for_each(|j| dx[i * d + j] = ((at(dy, j) - at(y, j) * along) / f64::from(norm[i])) as f32);
        }
    }
}
