//! Projection into the joint space: y = x W, without a bias. CLIP's checkpoints store `visual.proj` and
//! `text_projection` like this, inputs first.
//!
//! # Derivation
//! ```text
//! yₙₒ  = Σᵢ xₙᵢ Wᵢₒ
//! dxₙᵢ = Σₒ dyₙₒ Wᵢₒ
//! dWᵢₒ = Σₙ xₙᵢ dyₙₒ
//! ```

use super::{mat, mat_mut};
use crate::weights::Read;
use kernels::{Epilogue, Mat, MatMut, gemm::gemm};
use ndarray::{ArrayView2, ArrayViewMut2};

/// y = x W
///
/// `x` (N,I), `W` (I,O), `y` (N,O)
#[track_caller]
pub fn forward(weight: &impl Read, x: ArrayView2<f32>, y: ArrayViewMut2<f32>) {
    gemm(1.0, mat(x), Mat::new(weight.rows(), x.ncols(), y.ncols()), 0.0, mat_mut(y), Epilogue::None);
}

/// dx = dy Wᵀ, dW += xᵀ dy
///
/// `x`, `dx` (N,I), `dy` (N,O)
#[track_caller]
pub fn backward(weight: &[f32], x: ArrayView2<f32>, dy: ArrayView2<f32>, dx: ArrayViewMut2<f32>, dweight: &mut [f32]) {
    gemm(1.0, mat(x).t(), mat(dy), 1.0, MatMut::new(dweight, x.ncols(), dy.ncols()), Epilogue::None);
    gemm(1.0, mat(dy), Mat::new(weight, x.ncols(), dy.ncols()).t(), 0.0, mat_mut(dx), Epilogue::None);
}
