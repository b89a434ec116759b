//! L2 normalisation of rows: y = x / |x|, so that a dot product of two rows is their cosine.
//!
//! # Derivation
//! The part of dy along y cannot change y:
//!
//! ```text
//! ∂yᵢ/∂xⱼ = (δᵢⱼ − yᵢ yⱼ) / |x|
//! dx      = (dy − y ⟨y, dy⟩) / |x|
//! ```

use super::{floats, floats_mut};
use ndarray::{Array2, ArrayView2, ArrayViewMut2};

/// norm = |x|, y = x / norm, for each row
///
/// `x`, `y` (N,d), `norm` (N,1)
#[track_caller]
pub fn forward(x: ArrayView2<f32>, y: ArrayViewMut2<f32>, norm: ArrayViewMut2<f32>) {
    kernels::normalize::forward(floats(x), floats_mut(y), floats_mut(norm));
}

/// Returns x / |x|, for each row, as a matrix of its own.
#[track_caller]
pub fn unit(x: ArrayView2<f32>) -> Array2<f32> {
    let (mut y, mut norm) = (Array2::zeros(x.raw_dim()), Array2::zeros((x.nrows(), 1)));
    forward(x, y.view_mut(), norm.view_mut());
    y
}

/// dx = (dy − y ⟨y, dy⟩) / |x|, for each row
///
/// `y`, `dy`, `dx` (N,d), `norm` (N,1)
#[track_caller]
pub fn backward(y: ArrayView2<f32>, norm: ArrayView2<f32>, dy: ArrayView2<f32>, dx: ArrayViewMut2<f32>) {
    kernels::normalize::backward(floats(y), floats(norm), floats(dy), floats_mut(dx));
}
