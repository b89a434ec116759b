//! A convolution and the batch normalisation behind it, which ResNets are made of:
//!
//! ```text
//! z = x ∗ W
//! y = act(bn(z) (+ residual))
//! ```
//!
//! Saved are z and its statistics; y is cheaper to normalise again than to keep. In the backward pass the gradient of z
//! takes the place of z.

use super::batch_norm::{self, BatchNorm, Gate, Residual, Saved as NormSaved, Scratch as NormScratch};
use super::conv2d::{self, Conv2d, Shape};
use super::{Dim4, pictures, pictures_mut};
use crate::params::Spec;
use crate::tree::{Dim, tree};
use crate::weights::Read;
use ndarray::{ArrayView4, ArrayViewMut2, ArrayViewMut4};

tree! {
    /// What the backward pass needs: z and its statistics.
    ///
    /// `conv` (B·height′·width′,O)
    Saved { conv, norm: NormSaved }
}

/// The parameters of the two layers, and the sizes of the convolution.
pub struct ConvNorm<'a, T> {
    pub conv: &'a Conv2d<T>,
    pub bn: &'a BatchNorm<T>,
    pub shape: Shape,
}

/// The parameters' gradients of the two layers.
pub struct ConvNormMut<'a, T> {
    pub conv: &'a mut Conv2d<T>,
    pub bn: &'a mut BatchNorm<T>,
}

impl Shape {
    /// Returns the parameter tables of a convolution and of its BatchNorm, whose gains start as `gain`.
    pub fn normed(&self, gain: f32) -> (Conv2d<Spec>, BatchNorm<Spec>) {
        (self.spec(), BatchNorm::spec(self.out_channels, gain))
    }

    /// Returns the sizes of y.
    pub fn behind(&self, x: Dim4) -> Dim4 {
        (x.0, self.out(x.1), self.out(x.2), self.out_channels)
    }
}

impl Saved<Dim> {
    /// Returns the sizes for an input of the sizes `x`.
    pub fn dims(shape: &Shape, x: Dim4) -> Self {
        let (pictures, height, width, channels) = shape.behind(x);
        Saved { conv: Dim(pictures * height * width, channels), norm: NormSaved::dims(channels) }
    }
}

/// y = act(bn(x ∗ W) (+ residual)), by the statistics of the batch; act = max(0, ·) if `relu`
///
/// `x` (B,height,width,I), `y` (B,height′,width′,O)
#[track_caller]
pub fn forward(
    p: &ConvNorm<impl Read>,
    x: ArrayView4<f32>,
    residual: Residual,
    relu: bool,
    y: ArrayViewMut4<f32>,
    saved: &mut Saved<ArrayViewMut2<f32>>,
    scratch: &mut NormScratch<ArrayViewMut2<f32>>,
) {
    convolve(p, x, saved, scratch);
    let c = pictures(saved.conv.view(), y.dim());
    batch_norm::normalize(p.bn, &saved.norm, c, residual, relu, y);
}

/// z = x ∗ W, saved with its statistics; the layer that adds it as a residual normalises it, see [`normed`]
#[track_caller]
pub fn convolve(
    p: &ConvNorm<impl Read>,
    x: ArrayView4<f32>,
    saved: &mut Saved<ArrayViewMut2<f32>>,
    scratch: &mut NormScratch<ArrayViewMut2<f32>>,
) {
    let dim = p.shape.behind(x.dim());
    conv2d::forward(p.conv, &p.shape, x, pictures_mut(saved.conv.view_mut(), dim));
    batch_norm::statistics(pictures(saved.conv.view(), dim), &mut saved.norm, scratch);
}

/// Returns bn(z), for what [`convolve`] saved, as a residual of another layer.
pub fn normed<'a>(p: &'a ConvNorm<impl Read>, saved: &'a Saved<ArrayViewMut2<f32>>) -> Residual<'a> {
    Residual::Normed(batch_norm::norm(p.bn, &saved.norm), super::floats(saved.conv.view()))
}

/// y = max(0, bn(z)), bit for bit as the forward pass computed it
#[track_caller]
pub fn recompute(p: &ConvNorm<impl Read>, saved: &Saved<ArrayViewMut2<f32>>, y: ArrayViewMut4<f32>) {
    let c = pictures(saved.conv.view(), y.dim());
    batch_norm::normalize(p.bn, &saved.norm, c, Residual::None, true, y);
}

/// Computes dx, if it is wanted, from dy, and adds the parameters' gradients to `g`. The gradient of z takes the place
/// of z, and behind [`Gate::Output`] `dy` holds the residual's gradient on return.
#[track_caller]
pub fn backward(
    p: &ConvNorm<&[f32]>,
    gate: Gate,
    x: ArrayView4<f32>,
    dy: ArrayViewMut4<f32>,
    dx: Option<ArrayViewMut4<f32>>,
    saved: &mut Saved<ArrayViewMut2<f32>>,
    g: ConvNormMut<&mut [f32]>,
    scratch: &mut NormScratch<ArrayViewMut2<f32>>,
) {
    let dim = dy.dim();
    // in the forward pass: y = act(bn(z) (+ residual))
    batch_norm::backward(p.bn, &saved.norm, gate, pictures_mut(saved.conv.view_mut(), dim), dy, g.bn, scratch);
    // in the forward pass: z = x ∗ W
    conv2d::backward(p.conv, &p.shape, x, pictures(saved.conv.view(), dim), dx, g.conv);
}

/// Goes back through y = max(0, bn(x ∗ W)) as [`backward`] does, where dx takes the place of dy.
#[track_caller]
pub fn backward_in_place(
    p: &ConvNorm<&[f32]>,
    x: ArrayView4<f32>,
    mut dy: ArrayViewMut4<f32>,
    saved: &mut Saved<ArrayViewMut2<f32>>,
    g: ConvNormMut<&mut [f32]>,
    scratch: &mut NormScratch<ArrayViewMut2<f32>>,
) {
    let dim = dy.dim();
    let c = pictures_mut(saved.conv.view_mut(), dim);
    batch_norm::backward(p.bn, &saved.norm, Gate::Own, c, dy.view_mut(), g.bn, scratch);
    conv2d::backward(p.conv, &p.shape, x, pictures(saved.conv.view(), dim), Some(dy), g.conv);
}

/// y = act(bn(x ∗ W) (+ residual)), by the running statistics, with which BatchNorm is a scale and a shift of z
///
/// `scale` and `shift` are scratch of O floats or more.
#[track_caller]
pub fn infer(
    p: &ConvNorm<impl Read>,
    x: ArrayView4<f32>,
    residual: Option<ArrayView4<f32>>,
    relu: bool,
    y: ArrayViewMut4<f32>,
    scale: &mut [f32],
    shift: &mut [f32],
) {
    let channels = p.shape.out_channels;
    let (scale, shift) = (&mut scale[..channels], &mut shift[..channels]);
    batch_norm::fold(p.bn, scale, shift);
    conv2d::forward_normalized(p.conv, &p.shape, x, scale, shift, residual, relu, y);
}
