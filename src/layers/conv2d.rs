//! Convolution without bias, over channels-last pictures.
//!
//! # Derivation
//! The kernel lies on one place of x for each pixel n of y. Tap t of it then lies on pixel l of x, which is 0 beyond
//! the border. So every pixel l meets a weight once for each pair of n and t that leads to it:
//!
//! ```text
//! yₙₒ   = Σₜ Σᵢ xₗᵢ Wₒᵢₜ
//! dxₗᵢ  = Σ Σₒ dyₙₒ Wₒᵢₜ        over all pairs of n and t that lead to l
//! dWₒᵢₜ = Σₙ dyₙₒ xₗᵢ           over the pixels n of all pictures
//! ```
//!
//! At stride 1, dx is a convolution of dy with the flipped kernel, in and out exchanged.
//!
//! Each of the three is a matrix product once the pixels under the kernel (a patch, kernel²·I numbers) are written as a
//! row; the rows are never written, and large convolutions forward and to dx multiply less still, see
//! [`kernels::conv`].

use super::{floats, floats_mut};
use crate::params::Spec;
use crate::tree::tree;
use crate::weights::Read;
use kernels::conv::{self, Conv};
use kernels::{Epilogue, Mat};
use ndarray::{ArrayView4, ArrayViewMut4};

tree! {
    /// The weights of a convolution.
    ///
    /// `weight` (O,I,kernel,kernel)
    Conv2d { weight }
}

/// What a convolution does, whatever the size of the pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The number I of x's channels.
    pub in_channels: usize,
    /// The number O of y's channels.
    pub out_channels: usize,
    /// The edge of the kernel, 1 or 3. The border is padded by half of it.
    pub kernel: usize,
    /// The step from one pixel of y to the next as seen in x, 1 or 2.
    pub stride: usize,
}

impl Shape {
    /// Returns the parameter table, initialised by PyTorch's default, U(±1/√fan_in).
    pub fn spec(&self) -> Conv2d<Spec> {
        let &Shape { in_channels, out_channels, kernel, .. } = self;
        let init = super::linear::default_init(in_channels * kernel * kernel);
        Conv2d { weight: Spec::filters(out_channels, in_channels, kernel, init) }
    }

    /// Returns the number of pixels along an edge of y, where x has `len`.
    pub fn out(&self, len: usize) -> usize {
        len.div_ceil(self.stride)
    }

    /// Returns the convolution that takes x to y; panics unless these are their shapes.
    #[track_caller]
    fn conv(&self, x: (usize, usize, usize, usize), y: (usize, usize, usize, usize)) -> Conv {
        let (pictures, height, width, in_channels) = x;
        assert!(
            in_channels == self.in_channels && y == (pictures, self.out(height), self.out(width), self.out_channels),
            "conv2d: {self:?} from x {x:?} to y {y:?}"
        );
        let &Shape { out_channels, kernel, stride, .. } = self;
        Conv { pictures, height, width, in_channels, out_channels, kernel, stride }
    }
}

/// y = x ∗ W
///
/// `x` (B,height,width,I), `y` (B,height′,width′,O)
#[track_caller]
pub fn forward(p: &Conv2d<impl Read>, shape: &Shape, x: ArrayView4<f32>, y: ArrayViewMut4<f32>) {
    let conv = shape.conv(x.dim(), y.dim());
    conv::forward(&conv, floats(x), p.weight.weight(), floats_mut(y), Epilogue::None);
}

/// y = act((x ∗ W)·scale + shift (+ residual)), act = max(0, ·) if `relu`
///
/// `x` (B,height,width,I), `y`, `residual` (B,height′,width′,O), `scale`, `shift` (O)
///
/// This is the convolution together with a batch normalisation behind it whose statistics are fixed.
#[track_caller]
pub fn forward_normalized(
    p: &Conv2d<impl Read>,
    shape: &Shape,
    x: ArrayView4<f32>,
    scale: &[f32],
    shift: &[f32],
    residual: Option<ArrayView4<f32>>,
    relu: bool,
    y: ArrayViewMut4<f32>,
) {
    let conv = shape.conv(x.dim(), y.dim());
    let residual = residual.map(|residual| Mat::new(floats(residual), conv.out_pixels(), shape.out_channels));
    let epilogue = Epilogue::ScaleShift { scale, shift, residual, relu };
    conv::forward(&conv, floats(x), p.weight.weight(), floats_mut(y), epilogue);
}

/// dx = dy ∗ flipped W, dW += Σₙ dyₙ ⊗ xₗ over the pixels n of all pictures
///
/// `x`, `dx` (B,height,width,I), `dy` (B,height′,width′,O)
///
/// Without `dx` only dW is computed, because what enters the first layer needs no gradient.
#[track_caller]
pub fn backward(
    p: &Conv2d<&[f32]>,
    shape: &Shape,
    x: ArrayView4<f32>,
    dy: ArrayView4<f32>,
    dx: Option<ArrayViewMut4<f32>>,
    g: &mut Conv2d<&mut [f32]>,
) {
    let conv = shape.conv(x.dim(), dy.dim());
    let dy = floats(dy);
    if let Some(dx) = dx {
        assert_eq!(dx.dim(), x.dim(), "conv2d: shapes of dx and x");
        // in the forward pass: every x went to all the outputs around it
        conv::backward_inputs(&conv, p.weight, dy, floats_mut(dx));
    }
    // in the forward pass: every weight met a pixel for each pixel of y
    conv::backward_weights(&conv, floats(x), dy, g.weight);
}
