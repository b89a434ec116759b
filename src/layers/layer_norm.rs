//! LayerNorm over the width (Ba et al. 2016, section 3): y = x̂ ∘ weight + bias with x̂ = (x − μ)·r, r = 1/√(σ² + ε).
//!
//! # Derivation
//! μ and r depend on every x of the row:
//!
//! ```text
//! ∂μ/∂xⱼ  = 1/d
//! ∂r/∂xⱼ  = −r² x̂ⱼ/d
//! ∂x̂ᵢ/∂xⱼ = r (δᵢⱼ − 1/d − x̂ᵢ x̂ⱼ/d)
//! dx̂      = dy ∘ weight
//! dx      = r (dx̂ − mean(dx̂) − x̂·mean(dx̂ ∘ x̂))
//! ```
//!
//! Saved are μ and r, two numbers a row; x̂ and y are cheaper to compute again than to keep.

use super::{floats, floats_mut};
use crate::params::{Init, Spec};
use crate::tree::{Dim, tree};
use crate::weights::Read;
use kernels::{Write, layer_norm};
use ndarray::{ArrayView2, ArrayViewMut2};

tree! {
    /// The gains and the biases of the columns.
    ///
    /// `weight`, `bias` (d)
    LayerNorm { weight, bias }
}

tree! {
    /// The statistics μ and r of each row.
    ///
    /// `mean`, `rstd` (N,1)
    Saved { mean, rstd }
}

impl LayerNorm<Spec> {
    /// Returns the parameter table: gains of 1 and biases of 0.
    pub fn spec(width: usize) -> Self {
        LayerNorm { weight: Spec::new(&[width], Init::Const(1.0)), bias: Spec::new(&[width], Init::Const(0.0)) }
    }
}

impl Saved<Dim> {
    /// Returns the sizes for this many rows.
    pub fn dims(rows: usize) -> Self {
        Saved { mean: Dim(rows, 1), rstd: Dim(rows, 1) }
    }
}

/// y = (x − μ)·r ∘ weight + bias
///
/// `x`, `y` (N,d)
#[track_caller]
pub fn forward(
    p: &LayerNorm<impl Read>,
    eps: f32,
    x: ArrayView2<f32>,
    y: ArrayViewMut2<f32>,
    saved: &mut Saved<ArrayViewMut2<f32>>,
) {
    let (mean, rstd) = (floats_mut(saved.mean.view_mut()), floats_mut(saved.rstd.view_mut()));
    layer_norm::forward(floats(x), p.weight.rows(), p.bias.rows(), eps, floats_mut(y), mean, rstd);
}

/// y = (x − μ)·r ∘ weight + bias, bit for bit as [`forward`] computed it, for a backward pass that needs y as an input
///
/// `x`, `y` (N,d)
#[track_caller]
pub fn recompute(
    p: &LayerNorm<impl Read>,
    x: ArrayView2<f32>,
    saved: &Saved<ArrayViewMut2<f32>>,
    y: ArrayViewMut2<f32>,
) {
    let (mean, rstd) = (floats(saved.mean.view()), floats(saved.rstd.view()));
    layer_norm::recompute(floats(x), p.weight.rows(), p.bias.rows(), mean, rstd, floats_mut(y));
}

/// dx = r (dx̂ − mean(dx̂) − x̂·mean(dx̂ ∘ x̂)), dweight += Σₙ dy ∘ x̂, dbias += Σₙ dy
///
/// `x`, `dy`, `dx` (N,d)
///
/// With [`Write::Add`] dx is added to what the residual branch around the layer has left there.
#[track_caller]
pub fn backward(
    p: &LayerNorm<&[f32]>,
    x: ArrayView2<f32>,
    saved: &Saved<ArrayViewMut2<f32>>,
    dy: ArrayView2<f32>,
    write: Write,
    dx: ArrayViewMut2<f32>,
    g: &mut LayerNorm<&mut [f32]>,
) {
    let (mean, rstd) = (floats(saved.mean.view()), floats(saved.rstd.view()));
    layer_norm::backward(floats(x), p.weight, mean, rstd, floats(dy), write, floats_mut(dx), g.weight, g.bias);
}
