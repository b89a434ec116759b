//! The check whether a model gives one embedding to everything.

use ndarray::{ArrayView2, Axis};

/// Largest mean cosine of embeddings that are not all alike. Fresh towers reach 0.9 by themselves.
const MAX_MEAN_COSINE: f64 = 0.99;

/// The inputs whose embeddings are all alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alike {
    Pictures,
    Captions,
    Both,
}

/// Returns whose embeddings are all alike, if any are, and their mean cosine.
///
/// `pictures` (N,e), `captions` (M,e), rows of unit length
///
/// They are of different things.
///
/// The check makes sense only after the warm-up, since the towers of a fresh model give everything similar embeddings.
pub(crate) fn alike(pictures: ArrayView2<f32>, captions: ArrayView2<f32>) -> Option<(Alike, f64)> {
    let (picture, caption) = (mean_cosine(pictures), mean_cosine(captions));
    match (picture > MAX_MEAN_COSINE, caption > MAX_MEAN_COSINE) {
        (true, true) => Some((Alike::Both, picture.min(caption))),
        (true, false) => Some((Alike::Pictures, picture)),
        (false, true) => Some((Alike::Captions, caption)),
        (false, false) => None,
    }
}

/// Returns the mean cosine of all pairs of different rows, or NaN for fewer than two rows.
///
/// `x` (N,e), rows of unit length
///
/// ```text
/// Σᵢⱼ ⟨xᵢ, xⱼ⟩ = |Σᵢ xᵢ|²
/// mean         = (|Σᵢ xᵢ|² − N) / (N² − N)
/// ```
///
/// The sum holds the N ones of the diagonal and every pair twice. It takes O(N·e) instead of O(N²·e).
pub fn mean_cosine(x: ArrayView2<f32>) -> f64 {
    let n = x.nrows() as f64;
    let sum = x.mapv(f64::from).sum_axis(Axis(0));
    (sum.dot(&sum) - n) / (n * n - n)
}
