//! Convolution over channels-last pictures.

pub mod naive;

use crate::{Epilogue, Mat, MatMut};

/// A convolution with a square kernel, padded by half of it, of pictures (N, H, W, I) to (N, H′, W′, O). Its weights
/// are (O, I, k, k).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv {
    pub pictures: usize,
    pub height: usize,
    pub width: usize,
    pub in_channels: usize,
    pub out_channels: usize,
    /// 1 or 3.
    pub kernel: usize,
    pub stride: usize,
}

impl Conv {
    /// H′ of H, W′ of W.
    pub fn out(&self, len: usize) -> usize {
        len.div_ceil(self.stride)
    }

    /// N·H′·W′
    pub fn out_pixels(&self) -> usize {
        self.pictures * self.out(self.height) * self.out(self.width)
    }
}

/// y ← epilogue(x ∗ w), the epilogue on y as the (N·H′·W′, O) matrix that it is.
pub fn forward(conv: &Conv, x: &[f32], w: &[f32], y: &mut [f32], epilogue: Epilogue) {
    naive::forward(conv, x, w, y);
    let (rows, cols) = (conv.out_pixels(), conv.out_channels);
    let nothing = (Mat::new(&[], rows, 0), Mat::new(&[], 0, cols));
    crate::gemm::naive(1.0, nothing.0, nothing.1, 1.0, MatMut::new(y, rows, cols), epilogue);
}

/// dx ← the gradient of x.
pub fn backward_inputs(conv: &Conv, w: &[f32], dy: &[f32], dx: &mut [f32]) {
    naive::backward_inputs(conv, w, dy, dx);
}

/// dw ← dw + the gradient of w.
pub fn backward_weights(conv: &Conv, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    naive::backward_weights(conv, x, dy, dw);
}
