//! Upper bounds of cosines by few numbers, with which most pairs of vectors are passed over.
//!
//! ```text
//! ⟨x, y⟩ = ⟨Ux, Uy⟩ + ⟨x̄, ȳ⟩ ≤ ⟨Ux, Uy⟩ + |x̄|·|ȳ|          x̄ = x − UᵀUx
//! ```
//! U (K,e), with orthonormal rows
//!
//! This is the inequality of Cauchy and Schwarz. The right side is itself a product of two vectors, Ux with |x̄| behind it
//! and Uy with |ȳ|, so the bounds of all pairs are one matrix product of depth K + 1 instead of e.
//!
//! The bound holds for any such U, and is tight if |x̄| is small. That is so for the K directions in which a sample of the
//! vectors is largest, the first eigenvectors of XᵀX. Embeddings of pictures all have a large part in common, and most of
//! the rest in few directions. They need not be exact.
//!
//! K is the first of a few sizes for which nearly all pairs of the sample that are not near are passed over. Where none is,
//! because the least cosine is low, it is e: the bound is then the cosine itself.

use crate::layers::mat;
use crate::map::directions::{directions, product};
use ndarray::{Array2, ArrayView1, ArrayView2, Axis, Slice};

/// The sizes K that are tried.
const SIZES: [usize; 4] = [32, 64, 128, 256];
/// A size is enough if at most one of so many pairs is looked at in vain: to compute a cosine by itself costs about as much
/// as so many terms of a matrix product.
const PASSED: usize = 2000;
/// Number of rounds of the power method.
const ROUNDS: usize = 6;
/// By how much a bound may be too low: the roundings of K + 1 products of f32 are below 2⁻²⁴·(K + 1), and U is orthonormal
/// up to as much.
const SLACK: f32 = 1e-4;
/// Number of rows that pass through a product together.
const ROWS: usize = 1024;

/// What bounds are computed with.
pub(super) struct Sketch {
    /// U (K,e), or `None` for the identity.
    directions: Option<Array2<f32>>,
    width: usize,
    /// The least bound of a pair whose cosine may be high enough.
    pub least: f32,
}

impl Sketch {
    /// Chooses U by a sample of the vectors, for pairs with at least this cosine.
    ///
    /// `sample` (N,e)
    pub fn new(sample: ArrayView2<f32>, least: f32) -> Self {
        let (n, e) = sample.dim();
        let least = least - SLACK;
        let near = passing(sample, least);
        let largest = SIZES.into_iter().filter(|&size| 2 * size <= e).max().filter(|_| n > 1);
        let all = largest.map(|size| directions(&product(mat(sample).t(), mat(sample)), size, ROUNDS));
        for (all, size) in all.iter().flat_map(|all| SIZES.map(|size| (all, size))).filter(|(all, k)| *k <= all.nrows())
        {
            let directions = Some(all.slice_axis(Axis(0), Slice::from(..size)).to_owned());
            let sketch = Sketch { directions, width: e, least };
            if (passing(sketch.heads(sample).view(), least).saturating_sub(near)) * PASSED <= n * n / 2 {
                return sketch;
            }
        }
        Sketch { directions: None, width: e, least }
    }

    /// Returns K + 1, or e where the bounds are the cosines.
    pub fn depth(&self) -> usize {
        self.directions.as_ref().map_or(self.width, |directions| directions.nrows() + 1)
    }

    /// Returns what the bounds of these vectors are made of, row after row.
    ///
    /// `x` (N,e), result (N,K+1) or (N,e)
    pub fn heads(&self, x: ArrayView2<f32>) -> Array2<f32> {
        let Some(directions) = &self.directions else { return x.to_owned() };
        let (n, k) = (x.nrows(), directions.nrows());
        let mut heads = Array2::zeros((n, k + 1));
        for (x, mut heads) in x.axis_chunks_iter(Axis(0), ROWS).zip(heads.axis_chunks_iter_mut(Axis(0), ROWS)) {
            let inside = product(mat(x), mat(directions.view()).t());
            let square = |row: ArrayView1<f32>| row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>();
            for ((x, inside), mut head) in x.rows().into_iter().zip(inside.rows()).zip(heads.rows_mut()) {
                head.iter_mut().zip(inside).for_each(|(head, &inside)| *head = inside);
                head[k] = (square(x) - square(inside)).max(0.0).sqrt() as f32;
            }
        }
        heads
    }
}

/// Counts the pairs of rows whose product is at least this.
fn passing(rows: ArrayView2<f32>, least: f32) -> usize {
    product(mat(rows), mat(rows).t()).indexed_iter().filter(|&((i, j), &bound)| i < j && bound >= least).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::normalize::unit;
    use crate::random::normals;

    /// Vectors with a large part in common and few directions of their own, and others that lie anywhere.
    fn vectors(n: usize, e: usize, kind: usize) -> Array2<f32> {
        let mut x = normals((n, e), 7);
        if kind == 1 {
            let common = 2.0 * &normals((1, e), 8);
            x = &product(mat(normals((n, 20), 9).view()), mat(normals((20, e), 10).view())) * 0.3 + &x * 0.1 + common;
        }
        if kind == 2 {
            for i in 0..n {
                let near = &x.row(i % 3) + &(0.05 * &x.row(i));
                x.row_mut(i).assign(&near);
            }
        }
        unit(x.view())
    }

    /// X·Xᵀ
    fn gram(x: &Array2<f32>) -> Array2<f32> {
        product(mat(x.view()), mat(x.view()).t())
    }

    #[test]
    fn no_cosine_is_above_its_bound() {
        for (e, kind) in [(512, 0), (512, 1), (512, 2), (768, 1), (100, 0), (16, 1)] {
            let x = vectors(400, e, kind);
            for least in [0.3, 0.9] {
                let sketch = Sketch::new(x.slice_axis(Axis(0), Slice::from(..200)), least);
                let heads = sketch.heads(x.view());
                assert_eq!(heads.dim(), (400, sketch.depth()));
                let (bounds, cosines) = (gram(&heads), gram(&x));
                for (bound, cosine) in bounds.iter().zip(&cosines) {
                    assert!(bound + SLACK / 4.0 >= *cosine, "{bound} {cosine}, {e} {kind}");
                }
            }
        }
    }

    #[test]
    fn few_numbers_are_enough_where_few_pairs_are_near() {
        let depth = |kind, least| Sketch::new(vectors(400, 512, kind).view(), least).depth();
        assert!(depth(1, 0.95) <= 65, "{}", depth(1, 0.95));
        assert!(depth(0, 0.95) <= 129, "{}", depth(0, 0.95));
        assert!(depth(2, 0.95) <= 65, "{}, though many are near", depth(2, 0.95));
        assert_eq!(depth(0, 0.0), 512, "half of all pairs are near enough, and no bound tells them from the others");
    }
}
