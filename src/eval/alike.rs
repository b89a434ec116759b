//! Whether a model gives one embedding to everything.

use ndarray::{ArrayView2, Axis};

/// Mean cosine from which on embeddings are all alike. Fresh towers reach 0.9 by themselves.
const MAX_MEAN_COSINE: f64 = 0.99;

/// Whose embeddings are all alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alike {
    Pictures,
    Captions,
    Both,
}

/// Whose embeddings are all alike, if any, and their mean cosine: pictures (N, d) and captions (M, d) of different
/// things, rows of unit length.
///
/// Ask only after the warm-up: the towers of a fresh model give everything similar embeddings.
pub fn alike(pictures: ArrayView2<f32>, captions: ArrayView2<f32>) -> Option<(Alike, f64)> {
    let (picture, caption) = (mean_cosine(pictures), mean_cosine(captions));
    match (picture > MAX_MEAN_COSINE, caption > MAX_MEAN_COSINE) {
        (true, true) => Some((Alike::Both, picture.min(caption))),
        (true, false) => Some((Alike::Pictures, picture)),
        (false, true) => Some((Alike::Captions, caption)),
        (false, false) => None,
    }
}

/// Mean cosine over all pairs of different rows of z (N, d), rows of unit length; NaN for fewer than two rows.
///
/// |Σᵢ zᵢ|² = Σᵢⱼ ⟨zᵢ, zⱼ⟩ holds the N ones of the diagonal and every pair twice, so the mean is
/// (|Σᵢ zᵢ|² − N) / (N² − N): O(N·d) instead of O(N²·d).
pub fn mean_cosine(z: ArrayView2<f32>) -> f64 {
    let n = z.nrows() as f64;
    let sum = z.mapv(f64::from).sum_axis(Axis(0));
    (sum.dot(&sum) - n) / (n * n - n)
}
