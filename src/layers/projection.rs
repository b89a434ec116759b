//! Projection into the joint space: y = x W, or y = x W + b in SigLIP's text tower. CLIP's checkpoints store
//! `visual.proj` and `text_projection` like this, inputs first.
//!
//! # Derivation
//! ```text
//! yₙₒ  = Σᵢ xₙᵢ Wᵢₒ + bₒ
//! dxₙᵢ = Σₒ dyₙₒ Wᵢₒ
//! dWᵢₒ = Σₙ xₙᵢ dyₙₒ
//! dbₒ  = Σₙ dyₙₒ
//! ```

use super::{floats, mat, mat_mut};
use crate::weights::Read;
use kernels::{Epilogue, Mat, MatMut, gemm::gemm, reduce};
use ndarray::{ArrayView2, ArrayViewMut2};

/// y = x W + b
///
/// `x` (N,I), `W` (I,O), `y` (N,O)
#[track_caller]
pub fn forward<R: Read>(weight: &R, bias: Option<&R>, x: ArrayView2<f32>, y: ArrayViewMut2<f32>) {
    let epilogue = bias.map_or(Epilogue::None, |bias| Epilogue::Bias(bias.rows()));
    gemm(1.0, mat(x), Mat::new(weight.rows(), x.ncols(), y.ncols()), 0.0, mat_mut(y), epilogue);
}

/// dx = dy Wᵀ, dW += xᵀ dy, db += Σₙ dy
///
/// `x`, `dx` (N,I), `dy` (N,O)
#[track_caller]
pub fn backward(
    weight: &[f32],
    x: ArrayView2<f32>,
    dy: ArrayView2<f32>,
    dx: ArrayViewMut2<f32>,
    dweight: &mut [f32],
    dbias: Option<&mut [f32]>,
) {
    if let Some(dbias) = dbias {
        reduce::add_column_sums(floats(dy), dbias);
    }
    gemm(1.0, mat(x).t(), mat(dy), 1.0, MatMut::new(dweight, x.ncols(), dy.ncols()), Epilogue::None);
    gemm(1.0, mat(dy), Mat::new(weight, x.ncols(), dy.ncols()).t(), 0.0, mat_mut(dx), Epilogue::None);
}
