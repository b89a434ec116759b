//! The residual block of ResNet-50 and larger (He et al. 2016, figure 5 right), with its stride made anti-aliased as in
//! CLIP (Radford et al. 2021, section 2.4):
//!
//! ```text
//! z = pool(act(bn2(act(bn1(x ∗ W₁)) ∗ W₂)))
//! y = act(bn3(z ∗ W₃) + shortcut)
//! ```
//!
//! W₁ and W₃ look at one pixel, W₂ at 3 × 3; act is max(0, ·), and pool averages squares of the stride's size.
//!
//! The shortcut is x where that has the shape of y, else bn(pool(x) ∗ W).
//!
//! # Derivation
//! With dz = dy where y > 0, both summands have the gradient dz; each goes back through its own chain of layers, and
//! the two gradients of x are added.
//!
//! Saved are the three or four convolutions' outputs. The activations between them are normalised again backwards, one
//! after the other in one buffer.

use super::avg_pool;
use super::batch_norm::{BatchNorm, Gate, Residual, Scratch as NormScratch};
use super::conv_norm::{self, ConvNorm, ConvNormMut, Saved as ConvSaved};
use super::conv2d::{self, Conv2d};
use super::{Dim4, floats, pictures, pictures_mut};
use crate::params::Spec;
use crate::tree::{Dim, tree};
use crate::weights::Read;
use kernels::Write;
use ndarray::{ArrayView4, ArrayViewMut2, ArrayViewMut4};

tree! {
    /// The layers of a shortcut that changes shape, named as in OpenAI's checkpoints.
    Downsample { conv as "0": Conv2d, bn as "1": BatchNorm }
}

tree! {
    /// One residual block, named as in OpenAI's checkpoints.
    Bottleneck {
        conv1: Conv2d, bn1: BatchNorm,
        conv2: Conv2d, bn2: BatchNorm,
        conv3: Conv2d, bn3: BatchNorm,
        downsample: [Downsample?],
    }
}

tree! {
    /// What the backward pass needs beside x and y: what each convolution gave, and its statistics.
    Saved { conv1: ConvSaved, conv2: ConvSaved, conv3: ConvSaved, downsample: [ConvSaved?] }
}

tree! {
    /// The buffers of training; pooled pictures are as wide as the planes or x, whichever is wider.
    ///
    /// `act`, `dact` (N,planes), `pooled`, `dpooled` (B·⌊height/stride⌋·⌊width/stride⌋,channels)
    Scratch { act, dact, pooled, dpooled, norm: NormScratch }
}

tree! {
    /// The buffers of inference; pooled pictures are as wide as the planes or x, whichever is wider.
    ///
    /// `act`, `next` (N,planes), `pooled` (B·⌊height/stride⌋·⌊width/stride⌋,channels), `scale`, `shift` (1,4·planes)
    ///
    /// `shortcut` has the sizes of y.
    InferScratch { act, next, pooled, shortcut, scale, shift }
}

/// The output has this many times as many channels as there are planes.
pub const EXPANSION: usize = 4;

/// The sizes of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The number I of x's channels.
    pub in_channels: usize,
    /// The number of channels inside the block.
    pub planes: usize,
    /// The edge of the squares that are averaged, 1 or 2.
    pub stride: usize,
}

impl Shape {
    /// Returns the number of y's channels.
    pub fn out_channels(&self) -> usize {
        EXPANSION * self.planes
    }

    /// Returns the three convolutions between x and the addition of the shortcut.
    pub(crate) fn convs(&self) -> [conv2d::Shape; 3] {
        let conv = |in_channels, out_channels, kernel| conv2d::Shape { in_channels, out_channels, kernel, stride: 1 };
        let planes = self.planes;
        [conv(self.in_channels, planes, 1), conv(planes, planes, 3), conv(planes, self.out_channels(), 1)]
    }

    /// Returns the convolution of the shortcut, which there is only where x does not have the shape of y.
    pub(crate) fn downsample(&self) -> Option<conv2d::Shape> {
        let (in_channels, out_channels) = (self.in_channels, self.out_channels());
        let shape = conv2d::Shape { in_channels, out_channels, kernel: 1, stride: 1 };
        (self.stride > 1 || in_channels != out_channels).then_some(shape)
    }

    /// Returns the parameter table. The gains of bn3 start at 0, so that every block starts as its shortcut.
    pub fn spec(&self) -> Bottleneck<Spec> {
        let [first, second, third] = self.convs();
        let ((conv1, bn1), (conv2, bn2), (conv3, bn3)) = (first.normed(1.0), second.normed(1.0), third.normed(0.0));
        let downsample = self.downsample().map(|shape| {
            let (conv, bn) = shape.normed(1.0);
            Downsample { conv, bn }
        });
        Bottleneck { conv1, bn1, conv2, bn2, conv3, bn3, downsample }
    }

    /// Returns the sizes of the activations between the convolutions, in front of the pooling.
    fn mid(&self, x: Dim4) -> Dim4 {
        (x.0, x.1, x.2, self.planes)
    }

    /// Returns the sizes of pictures once they are pooled.
    fn pooled(&self, (pictures, height, width, channels): Dim4) -> Dim4 {
        (pictures, height / self.stride, width / self.stride, channels)
    }

    /// Returns the sizes of y.
    pub fn out(&self, x: Dim4) -> Dim4 {
        let (pictures, height, width, _) = self.pooled(x);
        (pictures, height, width, self.out_channels())
    }
}

impl Saved<Dim> {
    /// Returns the sizes for one block, whose input has the sizes `x`.
    pub fn dims(shape: &Shape, x: Dim4) -> Self {
        let ([first, second, third], mid) = (shape.convs(), shape.mid(x));
        Saved {
            conv1: ConvSaved::dims(&first, x),
            conv2: ConvSaved::dims(&second, mid),
            conv3: ConvSaved::dims(&third, shape.pooled(mid)),
            downsample: shape.downsample().map(|conv| ConvSaved::dims(&conv, shape.pooled(x))),
        }
    }
}

/// Returns the longest of the buffers that some blocks need.
fn longest(blocks: &[(Shape, Dim4)], of: impl Fn(&Shape, Dim4) -> Dim4) -> Dim {
    let len = |&(ref shape, x): &(Shape, Dim4)| {
        let (pictures, height, width, channels) = of(shape, x);
        pictures * height * width * channels
    };
    Dim(1, blocks.iter().map(len).max().unwrap_or(0))
}

/// Returns the sizes of a buffer for the pooled x or the pooled activations, or their gradients, whichever are wider.
/// Where the shortcut is x itself nothing is pooled.
fn pooled(shape: &Shape, x: Dim4) -> Dim4 {
    let (pictures, height, width, _) = shape.pooled(x);
    let channels = shape.downsample().map_or(0, |_| shape.planes.max(shape.in_channels));
    (pictures, height, width, channels)
}

impl Scratch<Dim> {
    /// Returns sizes that are enough for any of these blocks, each given with the sizes of its input.
    pub fn dims(blocks: &[(Shape, Dim4)]) -> Self {
        let act = longest(blocks, |shape, x| shape.mid(x));
        let pooled = longest(blocks, pooled);
        let channels = blocks.iter().map(|(shape, _)| shape.out_channels()).max().unwrap_or(0);
        Scratch { act, dact: act, pooled, dpooled: pooled, norm: NormScratch::dims(channels) }
    }
}

impl InferScratch<Dim> {
    /// Returns sizes that are enough for any of these blocks, each given with the sizes of its input.
    pub fn dims(blocks: &[(Shape, Dim4)]) -> Self {
        let act = longest(blocks, |shape, x| shape.mid(x));
        let channels = Dim(1, blocks.iter().map(|(shape, _)| shape.out_channels()).max().unwrap_or(0));
        let shortcut = longest(blocks, |shape, x| shape.out(x));
        let pooled = longest(blocks, pooled);
        InferScratch { act, next: act, pooled, shortcut, scale: channels, shift: channels }
    }
}

/// The convolutions of a block with their BatchNorms.
struct Layers<'a, T> {
    main: [ConvNorm<'a, T>; 3],
    downsample: Option<ConvNorm<'a, T>>,
}

impl<T> Bottleneck<T> {
    /// Views the parameters as the convolutions of the block with their BatchNorms.
    fn layers(&self, shape: &Shape) -> Layers<'_, T> {
        let [first, second, third] = shape.convs();
        let downsample = self.downsample.as_ref().zip(shape.downsample());
        Layers {
            main: [
                ConvNorm { conv: &self.conv1, bn: &self.bn1, shape: first },
                ConvNorm { conv: &self.conv2, bn: &self.bn2, shape: second },
                ConvNorm { conv: &self.conv3, bn: &self.bn3, shape: third },
            ],
            downsample: downsample.map(|(layers, shape)| ConvNorm { conv: &layers.conv, bn: &layers.bn, shape }),
        }
    }
}

/// Averages x over squares of the stride into `buffer` and returns that, or x itself where the stride is 1.
fn pool<'a>(shape: &Shape, x: ArrayView4<'a, f32>, buffer: &'a mut ArrayViewMut2<f32>) -> ArrayView4<'a, f32> {
    if shape.stride == 1 {
        return x;
    }
    let dim = shape.pooled(x.dim());
    avg_pool::forward(shape.stride, x, pictures_mut(buffer.view_mut(), dim));
    pictures(buffer.view(), dim)
}

/// y = act(bn3(z ∗ W₃) + shortcut), by the statistics of the batch
///
/// `x` (B,height,width,I), `y` (B,⌊height/stride⌋,⌊width/stride⌋,4·planes)
#[track_caller]
pub fn forward(
    p: &Bottleneck<impl Read>,
    shape: &Shape,
    x: ArrayView4<f32>,
    y: ArrayViewMut4<f32>,
    saved: &mut Saved<ArrayViewMut2<f32>>,
    scratch: &mut Scratch<ArrayViewMut2<f32>>,
) {
    let (Layers { main: [first, second, third], downsample }, mid) = (p.layers(shape), shape.mid(x.dim()));
    let Scratch { act, pooled, norm, .. } = scratch;
    conv_norm::forward(&first, x, Residual::None, true, pictures_mut(act.view_mut(), mid), &mut saved.conv1, norm);
    conv_norm::convolve(&second, pictures(act.view(), mid), &mut saved.conv2, norm);
    conv_norm::recompute(&second, &saved.conv2, pictures_mut(act.view_mut(), mid));
    // The shortcut is computed before the last convolution, whose normalisation adds it.
    match (&downsample, &mut saved.downsample) {
        (Some(layers), Some(saved_shortcut)) => {
            conv_norm::convolve(layers, pool(shape, x, pooled), saved_shortcut, norm);
            let r = pool(shape, pictures(act.view(), mid), pooled);
            let shortcut = conv_norm::normed(layers, saved_shortcut);
            conv_norm::forward(&third, r, shortcut, true, y, &mut saved.conv3, norm);
        }
        _ => {
            let shortcut = Residual::Plain(floats(x));
            conv_norm::forward(&third, pictures(act.view(), mid), shortcut, true, y, &mut saved.conv3, norm);
        }
    }
}

/// Computes dx, and adds the parameters' gradients to `g`, from dy, x, y and what [`forward`] saved. Both `dy` and
/// `saved` are used up.
///
/// `x`, `dx` (B,height,width,I), `y`, `dy` (B,⌊height/stride⌋,⌊width/stride⌋,4·planes)
#[track_caller]
pub fn backward(
    p: &Bottleneck<&[f32]>,
    shape: &Shape,
    x: ArrayView4<f32>,
    y: ArrayView4<f32>,
    mut dy: ArrayViewMut4<f32>,
    mut dx: ArrayViewMut4<f32>,
    saved: &mut Saved<ArrayViewMut2<f32>>,
    scratch: &mut Scratch<ArrayViewMut2<f32>>,
    g: &mut Bottleneck<&mut [f32]>,
) {
    let (Layers { main: [first, second, third], downsample }, mid) = (p.layers(shape), shape.mid(x.dim()));
    let Scratch { act, dact, pooled, dpooled, norm } = scratch;
    // in the forward pass: y = act(bn3(z ∗ W₃) + shortcut), z = pool(act(bn2(…)))
    conv_norm::recompute(&second, &saved.conv2, pictures_mut(act.view_mut(), mid));
    let r = pool(shape, pictures(act.view(), mid), pooled);
    let dr = if shape.stride > 1 { dpooled.view_mut() } else { dact.view_mut() };
    let (g3, dr) = (ConvNormMut { conv: &mut g.conv3, bn: &mut g.bn3 }, pictures_mut(dr, r.dim()));
    conv_norm::backward(&third, Gate::Output(floats(y)), r, dy.view_mut(), Some(dr), &mut saved.conv3, g3, norm);
    let dz = dy;
    if shape.stride > 1 {
        let (dr, dact) = (pictures(dpooled.view(), shape.pooled(mid)), pictures_mut(dact.view_mut(), mid));
        avg_pool::backward(shape.stride, dr, Write::Set, dact);
    }
    // in the forward pass: act(bn2(a ∗ W₂)), a = act(bn1(x ∗ W₁))
    conv_norm::recompute(&first, &saved.conv1, pictures_mut(act.view_mut(), mid));
    let g2 = ConvNormMut { conv: &mut g.conv2, bn: &mut g.bn2 };
    let (a, da) = (pictures(act.view(), mid), pictures_mut(dact.view_mut(), mid));
    conv_norm::backward_in_place(&second, a, da, &mut saved.conv2, g2, norm);
    let g1 = ConvNormMut { conv: &mut g.conv1, bn: &mut g.bn1 };
    let da = pictures_mut(dact.view_mut(), mid);
    conv_norm::backward(&first, Gate::Own, x, da, Some(dx.view_mut()), &mut saved.conv1, g1, norm);
    // in the forward pass: shortcut = bn(pool(x) ∗ W), or x
    match (&downsample, &mut saved.downsample, &mut g.downsample) {
        (Some(layers), Some(saved), Some(g)) => {
            let g = ConvNormMut { conv: &mut g.conv, bn: &mut g.bn };
            let x = pool(shape, x, pooled);
            let dim = x.dim();
            let dpooled_x = pictures_mut(dpooled.view_mut(), dim);
            conv_norm::backward(layers, Gate::Open, x, dz, Some(dpooled_x), saved, g, norm);
            avg_pool::backward(shape.stride, pictures(dpooled.view(), dim), Write::Add, dx);
        }
        _ => avg_pool::backward(1, dz.view(), Write::Add, dx),
    }
}

/// y = act(bn3(z ∗ W₃) + shortcut), by the running statistics
///
/// `x` (B,height,width,I), `y` (B,⌊height/stride⌋,⌊width/stride⌋,4·planes)
#[track_caller]
pub fn infer(
    p: &Bottleneck<impl Read>,
    shape: &Shape,
    x: ArrayView4<f32>,
    y: ArrayViewMut4<f32>,
    scratch: &mut InferScratch<ArrayViewMut2<f32>>,
) {
    let (Layers { main: [first, second, third], downsample }, mid) = (p.layers(shape), shape.mid(x.dim()));
    let InferScratch { act, next, pooled, shortcut, scale, shift } = scratch;
    let (scale, shift) = (super::floats_mut(scale.view_mut()), super::floats_mut(shift.view_mut()));
    conv_norm::infer(&first, x, None, true, pictures_mut(act.view_mut(), mid), scale, shift);
    let (a, out) = (pictures(act.view(), mid), pictures_mut(next.view_mut(), mid));
    conv_norm::infer(&second, a, None, true, out, scale, shift);
    let shortcut = match &downsample {
        Some(layers) => {
            let out = pictures_mut(shortcut.view_mut(), y.dim());
            conv_norm::infer(layers, pool(shape, x, pooled), None, false, out, scale, shift);
            pictures(shortcut.view(), y.dim())
        }
        None => x,
    };
    let r = pool(shape, pictures(next.view(), mid), pooled);
    conv_norm::infer(&third, r, Some(shortcut), true, y, scale, shift);
}
