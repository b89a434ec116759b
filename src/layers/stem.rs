//! The stem of CLIP's ResNets (He et al. 2019, ResNet-C): three 3 × 3 convolutions, the first with stride 2, each with
//! BatchNorm and ReLU, then 2 × 2 average pooling. Pictures become a quarter as wide and high, with C
//! channels.

use super::avg_pool;
use super::batch_norm::{BatchNorm, Gate, Residual, Scratch as NormScratch};
use super::conv_norm::{self, ConvNorm, ConvNormMut, Saved as ConvSaved};
use super::conv2d::{self, Conv2d};
use super::patch_embed::CHANNELS;
use super::{Dim4, floats, floats_mut, pictures, pictures_mut};
use crate::params::Spec;
use crate::tree::{Dim, tree};
use crate::weights::Read;
use kernels::{Write, channels_last};
use ndarray::{ArrayView2, ArrayView4, ArrayViewMut2, ArrayViewMut4};

tree! {
    /// The parameters of the stem, which a checkpoint has at the level of the ResNet, without a name in front.
    Stem { conv1: Conv2d, bn1: BatchNorm, conv2: Conv2d, bn2: BatchNorm, conv3: Conv2d, bn3: BatchNorm }
}

tree! {
    /// What the backward pass needs beside the pictures: what each convolution gave, and its statistics.
    Saved { conv1: ConvSaved, conv2: ConvSaved, conv3: ConvSaved }
}

tree! {
    /// The buffers of training.
    ///
    /// `pixels` (B·edge²,3), `act`, `dact`, `next` (B·(edge/2)²,C)
    Scratch { pixels, act, next, dact, norm: NormScratch }
}

tree! {
    /// The buffers of inference.
    ///
    /// `pixels` (B·edge²,3), `act`, `next` (B·(edge/2)²,C), `scale`, `shift` (1,C)
    InferScratch { pixels, act, next, scale, shift }
}

/// The edge of the squares that are averaged at the end, in pixels.
pub(crate) const POOL: usize = 2;

/// The sizes of a stem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The edge of a picture, in pixels.
    pub image_size: usize,
    /// The number of channels that the stem gives; its first two convolutions give half of them.
    pub width: usize,
}

impl Shape {
    /// Returns the sizes of the three convolutions.
    pub(crate) fn convs(&self) -> [conv2d::Shape; 3] {
        let conv = |in_channels, out_channels, stride| conv2d::Shape { in_channels, out_channels, kernel: 3, stride };
        let half = self.width / 2;
        [conv(CHANNELS, half, 2), conv(half, half, 1), conv(half, self.width, 1)]
    }

    /// Returns the parameter table, initialised by PyTorch's defaults.
    pub fn spec(&self) -> Stem<Spec> {
        let [(conv1, bn1), (conv2, bn2), (conv3, bn3)] = self.convs().map(|conv| conv.normed(1.0));
        Stem { conv1, bn1, conv2, bn2, conv3, bn3 }
    }

    /// Returns the sizes of the pictures.
    fn pixels(&self, pictures: usize) -> Dim4 {
        (pictures, self.image_size, self.image_size, CHANNELS)
    }

    /// Returns the sizes behind each convolution.
    fn acts(&self, pictures: usize) -> [Dim4; 3] {
        let mut x = self.pixels(pictures);
        self.convs().map(|conv| {
            x = conv.behind(x);
            x
        })
    }

    /// Returns the sizes behind the stem.
    pub fn out(&self, pictures: usize) -> Dim4 {
        let [.., (_, height, width, channels)] = self.acts(pictures);
        (pictures, height / POOL, width / POOL, channels)
    }

    /// Returns the rows and columns of the pixels, and those of the largest activation.
    fn buffers(&self, n: usize) -> (Dim, Dim) {
        let [.., (_, height, width, channels)] = self.acts(n);
        (Dim(n * self.image_size.pow(2), CHANNELS), Dim(n * height * width, channels))
    }
}

impl Saved<Dim> {
    /// Returns the sizes for this many pictures.
    pub fn dims(shape: &Shape, pictures: usize) -> Self {
        let ([first, second, third], [a, b, _]) = (shape.convs(), shape.acts(pictures));
        Saved {
            conv1: ConvSaved::dims(&first, shape.pixels(pictures)),
            conv2: ConvSaved::dims(&second, a),
            conv3: ConvSaved::dims(&third, b),
        }
    }
}

impl Scratch<Dim> {
    /// Returns the sizes for this many pictures.
    pub fn dims(shape: &Shape, pictures: usize) -> Self {
        let (pixels, act) = shape.buffers(pictures);
        Scratch { pixels, act, next: act, dact: act, norm: NormScratch::dims(shape.width) }
    }
}

impl InferScratch<Dim> {
    /// Returns the sizes for this many pictures.
    pub fn dims(shape: &Shape, pictures: usize) -> Self {
        let ((pixels, act), channels) = (shape.buffers(pictures), Dim(1, shape.width));
        InferScratch { pixels, act, next: act, scale: channels, shift: channels }
    }
}

impl<T> Stem<T> {
    /// Views the parameters as convolutions with their BatchNorms.
    fn layers(&self, shape: &Shape) -> [ConvNorm<'_, T>; 3] {
        let [first, second, third] = shape.convs();
        [
            ConvNorm { conv: &self.conv1, bn: &self.bn1, shape: first },
            ConvNorm { conv: &self.conv2, bn: &self.bn2, shape: second },
            ConvNorm { conv: &self.conv3, bn: &self.bn3, shape: third },
        ]
    }
}

/// y = pool(act(bn3(act(bn2(act(bn1(images ∗ W₁)) ∗ W₂)) ∗ W₃))), by the statistics of the batch
///
/// `images` (B,3·edge²), `y` (B,edge/4,edge/4,C)
#[track_caller]
pub fn forward(
    p: &Stem<impl Read>,
    shape: &Shape,
    images: ArrayView2<f32>,
    y: ArrayViewMut4<f32>,
    saved: &mut Saved<ArrayViewMut2<f32>>,
    scratch: &mut Scratch<ArrayViewMut2<f32>>,
) {
    let (n, [first, second, third]) = (images.nrows(), p.layers(shape));
    let [a, b, c] = shape.acts(n);
    let Scratch { pixels, act, next, norm, .. } = scratch;
    channels_last(images, pixels.view_mut());
    let x = pictures(pixels.view(), shape.pixels(n));
    conv_norm::forward(&first, x, Residual::None, true, pictures_mut(act.view_mut(), a), &mut saved.conv1, norm);
    let (x, out) = (pictures(act.view(), a), pictures_mut(next.view_mut(), b));
    conv_norm::forward(&second, x, Residual::None, true, out, &mut saved.conv2, norm);
    let (x, out) = (pictures(next.view(), b), pictures_mut(act.view_mut(), c));
    conv_norm::forward(&third, x, Residual::None, true, out, &mut saved.conv3, norm);
    avg_pool::forward(POOL, pictures(act.view(), c), y);
}

/// Adds to `g` the gradients of all parameters, from dy and what [`forward`] saved, which is used up.
///
/// `dy` (B,edge/4,edge/4,C)
#[track_caller]
pub fn backward(
    p: &Stem<&[f32]>,
    shape: &Shape,
    images: ArrayView2<f32>,
    dy: ArrayView4<f32>,
    saved: &mut Saved<ArrayViewMut2<f32>>,
    scratch: &mut Scratch<ArrayViewMut2<f32>>,
    g: &mut Stem<&mut [f32]>,
) {
    let (n, [first, second, third]) = (images.nrows(), p.layers(shape));
    let [a, b, c] = shape.acts(n);
    let Scratch { pixels, act, next, dact, norm } = scratch;
    // in the forward pass: y = pool(act(bn3(x₃ ∗ W₃))), x₃ = act(bn2(…))
    avg_pool::backward(POOL, dy, Write::Set, pictures_mut(dact.view_mut(), c));
    conv_norm::recompute(&second, &saved.conv2, pictures_mut(act.view_mut(), b));
    let (x, dout, dx) = (pictures(act.view(), b), pictures_mut(dact.view_mut(), c), pictures_mut(next.view_mut(), b));
    let g3 = ConvNormMut { conv: &mut g.conv3, bn: &mut g.bn3 };
    conv_norm::backward(&third, Gate::Own, x, dout, Some(dx), &mut saved.conv3, g3, norm);
    // in the forward pass: x₃ = act(bn2(x₂ ∗ W₂)), x₂ = act(bn1(…))
    conv_norm::recompute(&first, &saved.conv1, pictures_mut(act.view_mut(), a));
    let (x, dout, dx) = (pictures(act.view(), a), pictures_mut(next.view_mut(), b), pictures_mut(dact.view_mut(), a));
    let g2 = ConvNormMut { conv: &mut g.conv2, bn: &mut g.bn2 };
    conv_norm::backward(&second, Gate::Own, x, dout, Some(dx), &mut saved.conv2, g2, norm);
    // in the forward pass: x₂ = act(bn1(pictures ∗ W₁))
    channels_last(images, pixels.view_mut());
    let (x, dout) = (pictures(pixels.view(), shape.pixels(n)), pictures_mut(dact.view_mut(), a));
    let g1 = ConvNormMut { conv: &mut g.conv1, bn: &mut g.bn1 };
    conv_norm::backward(&first, Gate::Own, x, dout, None, &mut saved.conv1, g1, norm);
}

/// y = pool(act(bn3(act(bn2(act(bn1(images ∗ W₁)) ∗ W₂)) ∗ W₃))), by the running statistics
///
/// `images` (B,3·edge²), `y` (B,edge/4,edge/4,C)
#[track_caller]
pub fn infer(
    p: &Stem<impl Read>,
    shape: &Shape,
    images: ArrayView2<f32>,
    y: ArrayViewMut4<f32>,
    scratch: &mut InferScratch<ArrayViewMut2<f32>>,
) {
    let (n, [first, second, third]) = (images.nrows(), p.layers(shape));
    let [a, b, c] = shape.acts(n);
    let InferScratch { pixels, act, next, scale, shift } = scratch;
    let (scale, shift) = (floats_mut(scale.view_mut()), floats_mut(shift.view_mut()));
    channels_last(images, pixels.view_mut());
    let x = pictures(pixels.view(), shape.pixels(n));
    conv_norm::infer(&first, x, None, true, pictures_mut(act.view_mut(), a), scale, shift);
    let (x, out) = (pictures(act.view(), a), pictures_mut(next.view_mut(), b));
    conv_norm::infer(&second, x, None, true, out, scale, shift);
    let (x, out) = (pictures(next.view(), b), pictures_mut(act.view_mut(), c));
    conv_norm::infer(&third, x, None, true, out, scale, shift);
    avg_pool::forward(POOL, pictures(act.view(), c), y);
}

/// Turns pictures (channel, row, column) into pixels, whose channels come last.
fn channels_last(images: ArrayView2<f32>, pixels: ArrayViewMut2<f32>) {
    channels_last::channels_last(floats(images), images.ncols(), floats_mut(pixels));
}
