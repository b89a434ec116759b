//! BatchNorm over all pixels of all pictures (Ioffe & Szegedy 2015, algorithm 1), together with the residual and the
//! ReLU behind it, for each channel:
//!
//! ```text
//! x̂ = (x − μ)·r        r = 1/√(σ² + ε), ε = 1e-5
//! z = x̂ ∘ weight + bias (+ residual)
//! y = act(z)
//! ```
//!
//! The forward pass has two steps, [`statistics`] and [`normalize`].
//!
//! In training μ and σ² are those of the (micro-)batch; running averages of them, [`running`](crate::optim::running),
//! take their place when the model is used. Then the layer is a scale and a shift of each channel, which the
//! convolution before it applies to its result.
//!
//! # Derivation
//! It is that of [LayerNorm](super::layer_norm) along columns instead of rows, with means over the N pixels. dz is the
//! residual's gradient, too.
//!
//! ```text
//! dz      = dy where the ReLU let z through, else 0
//! dx      = weight·r·(dz − mean(dz) − x̂·mean(dz ∘ x̂))
//! dweight = Σₙ dz ∘ x̂
//! dbias   = Σₙ dz
//! ```
//!
//! Saved are the statistics, three numbers a channel. x is the convolution's output, which nobody needs afterwards, so
//! the backward pass leaves dx in its place.

use super::{floats, floats_mut};
use crate::params::{Init, Role, Spec};
use crate::tree::{Dim, tree};
use crate::weights::Read;
use kernels::batch_norm::{self, EPS};
use ndarray::{ArrayView4, ArrayViewMut2, ArrayViewMut4};

pub use kernels::batch_norm::{Gate, Residual};

tree! {
    /// The parameters `weight` and `bias`, and as buffers the running statistics with the number of batches they have
    /// seen.
    ///
    /// `weight`, `bias`, `running_mean`, `running_var` (C)
    BatchNorm { weight, bias, running_mean, running_var, num_batches_tracked }
}

tree! {
    /// The statistics μ, σ² and r of the batch, each (1,C).
    Saved { mean, variance, rstd }
}

tree! {
    /// `sums` holds the sums over each piece of the rows.
    Scratch { sums }
}

impl BatchNorm<Spec> {
    /// Returns the parameter table, in which the gains start as `weight`.
    pub fn spec(channels: usize, weight: f32) -> Self {
        let buffer = |value| Spec::buffer(&[channels], Init::Const(value), Role::Statistic);
        BatchNorm {
            weight: Spec::new(&[channels], Init::Const(weight)),
            bias: Spec::new(&[channels], Init::Const(0.0)),
            running_mean: buffer(0.0),
            running_var: buffer(1.0),
            num_batches_tracked: Spec::buffer(&[], Init::Const(0.0), Role::Count),
        }
    }
}

impl Saved<Dim> {
    /// Returns the sizes for this many channels.
    pub fn dims(channels: usize) -> Self {
        let vector = Dim(1, channels);
        Saved { mean: vector, variance: vector, rstd: vector }
    }
}

impl Scratch<Dim> {
    /// Returns the sizes for up to this many channels.
    pub fn dims(channels: usize) -> Self {
        Scratch { sums: Dim(1, batch_norm::scratch_len(channels)) }
    }
}

/// Returns the normalisation by the statistics that [`statistics`] saved.
pub fn norm<'a>(p: &'a BatchNorm<impl Read>, saved: &'a Saved<ArrayViewMut2<f32>>) -> batch_norm::Norm<'a> {
    let (mean, rstd) = (floats(saved.mean.view()), floats(saved.rstd.view()));
    batch_norm::Norm { mean, rstd, weight: p.weight.rows(), bias: p.bias.rows() }
}

/// Computes μ, σ² and r of a batch, and saves them.
///
/// `x` (B,height,width,C)
#[track_caller]
pub fn statistics(
    x: ArrayView4<f32>,
    saved: &mut Saved<ArrayViewMut2<f32>>,
    scratch: &mut Scratch<ArrayViewMut2<f32>>,
) {
    let (mean, variance) = (floats_mut(saved.mean.view_mut()), floats_mut(saved.variance.view_mut()));
    batch_norm::statistics(floats(x), mean, variance, floats_mut(scratch.sums.view_mut()));
    floats_mut(saved.rstd.view_mut()).iter_mut().zip(variance).for_each(|(r, variance)| *r = rstd(*variance));
}

/// y = act(x̂ ∘ weight + bias (+ residual)), act = max(0, ·) if `relu`
///
/// `x`, `y` (B,height,width,C); `saved` holds what [`statistics`] made of x
#[track_caller]
pub fn normalize(
    p: &BatchNorm<impl Read>,
    saved: &Saved<ArrayViewMut2<f32>>,
    x: ArrayView4<f32>,
    residual: Residual,
    relu: bool,
    y: ArrayViewMut4<f32>,
) {
    batch_norm::normalize(norm(p, saved), floats(x), residual, relu, floats_mut(y));
}

/// x ← dx, dweight += Σₙ dz ∘ x̂, dbias += Σₙ dz
///
/// `x`, `dy` (B,height,width,C)
///
/// Here dz is dy where `gate` is open and 0 elsewhere. Behind [`Gate::Output`] `dy` holds dz on return, the gradient of
/// the residual. The slots of the buffers in `g` collect μ, the unbiased σ² and a count of one.
#[track_caller]
pub fn backward(
    p: &BatchNorm<&[f32]>,
    saved: &Saved<ArrayViewMut2<f32>>,
    gate: Gate,
    x: ArrayViewMut4<f32>,
    dy: ArrayViewMut4<f32>,
    g: &mut BatchNorm<&mut [f32]>,
    scratch: &mut Scratch<ArrayViewMut2<f32>>,
) {
    let (pictures, height, width, _) = x.dim();
    observe(pictures * height * width, saved, g);
    let sums = floats_mut(scratch.sums.view_mut());
    batch_norm::backward(norm(p, saved), gate, floats_mut(x), floats_mut(dy), g.weight, g.bias, sums);
}

/// running_mean += μ, running_var += σ²·N/(N − 1), num_batches_tracked += 1
///
/// A single row has no unbiased variance and adds 0.
fn observe(rows: usize, saved: &Saved<ArrayViewMut2<f32>>, g: &mut BatchNorm<&mut [f32]>) {
    let unbiased = rows as f32 / (rows.max(2) - 1) as f32;
    g.running_mean.iter_mut().zip(floats(saved.mean.view())).for_each(|(sum, mean)| *sum += mean);
    g.running_var.iter_mut().zip(floats(saved.variance.view())).for_each(|(sum, variance)| *sum += unbiased * variance);
    g.num_batches_tracked[0] += 1.0;
}

/// scale = weight·r, shift = bias − μ ∘ scale, by the running statistics: then inference is y = x ∘ scale + shift
///
/// `scale`, `shift` (C)
#[track_caller]
pub fn fold(p: &BatchNorm<impl Read>, scale: &mut [f32], shift: &mut [f32]) {
    let [weight, bias] = [p.weight.rows(), p.bias.rows()];
    let [mean, variance] = [p.running_mean.rows(), p.running_var.rows()];
    let channels = weight.len();
    assert_eq!((scale.len(), shift.len()), (channels, channels), "batch_norm: scale and shift of {channels} channels");
    for j in 0..channels {
        scale[j] = weight[j] * rstd(variance[j]);
        shift[j] = bias[j] - mean[j] * scale[j];
    }
}

/// r = 1/√(σ² + ε)
fn rstd(variance: f32) -> f32 {
    1.0 / (variance + EPS).sqrt()
}
