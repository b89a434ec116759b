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

/// Moves what is uneven in the columns of y into the weights W (O,d) of the linear layer that follows: y is divided by
/// f, W is multiplied by it, and y Wᵀ stays what it is.
///
/// ```text
/// fⱼ = √(aⱼ/maxₒ |Wₒⱼ|)      aⱼ = √(weightⱼ² + biasⱼ²), how large column j of y is
/// ```
/// A few columns of y are often a hundred times as large as the others, and a row that is rounded to eight bits has few
/// of them left for the rest. Now rows and weights share the unevenness. (SmoothQuant, Xiao et al. 2023, section 4, with
/// the strength 0.5; the sizes of the columns are not observed but known from the layer.)
pub fn balance(p: &mut LayerNorm<&mut [f32]>, w: &mut [f32]) {
    let mut largest = vec![0.0_f32; p.weight.len()];
    for row in w.chunks_exact(largest.len()) {
        largest.iter_mut().zip(row).for_each(|(largest, w)| *largest = largest.max(w.abs()));
    }
    let columns = p.weight.iter_mut().zip(p.bias.iter_mut());
    let factors: Vec<f32> = columns
        .zip(largest)
        .map(|((gain, bias), largest)| {
            let factor = (gain.hypot(*bias) / largest).sqrt();
            let factor = if factor.is_normal() { factor } else { 1.0 };
            (*gain, *bias) = (*gain / factor, *bias / factor);
            factor
        })
        .collect();
    for row in w.chunks_exact_mut(factors.len()) {
        row.iter_mut().zip(&factors).for_each(|(w, factor)| *w *= factor);
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
