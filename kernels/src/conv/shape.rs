//! The shape of a convolution.

use crate::gemm::{Filters, Mat, Patches, Tiling, Weight};

/// A convolution with a square kernel, padded by half of it.
///
/// pictures (B,height,width,I), weights (O,I,kernel,kernel), result (B,height′,width′,O)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv {
    pub pictures: usize,
    pub height: usize,
    pub width: usize,
    pub in_channels: usize,
    pub out_channels: usize,
    /// The edge of the kernel, 1 or 3.
    pub kernel: usize,
    /// The step from one output pixel to the next as seen in the input.
    pub stride: usize,
}

impl Conv {
    /// Returns height′ of the output for a height, or width′ for a width.
    pub fn out(&self, len: usize) -> usize {
        len.div_ceil(self.stride)
    }

    /// Returns the number of pixels of all outputs, B·height′·width′.
    pub fn out_pixels(&self) -> usize {
        self.pictures * self.out(self.height) * self.out(self.width)
    }

    /// Returns the number of pixels of all inputs, B·height·width.
    pub(super) fn pixels(&self) -> usize {
        self.pictures * self.height * self.width
    }

    /// Returns the number of taps of the kernel, k².
    pub(super) fn taps(&self) -> usize {
        self.kernel * self.kernel
    }

    /// Whether a patch is one pixel, and every pixel is a patch.
    pub(super) fn is_pointwise(&self) -> bool {
        self.kernel == 1 && self.stride == 1
    }

    /// Panics unless the kernel and the stride are supported and the slices have these lengths.
    #[track_caller]
    pub(super) fn check(&self, x: &[f32], weights: usize, y: &[f32]) {
        assert!(matches!(self.kernel, 1 | 3) && self.stride > 0, "{self:?}: kernels of 1 or 3 pixels");
        let expected = (
            self.pixels() * self.in_channels,
            self.out_channels * self.in_channels * self.taps(),
            self.out_pixels() * self.out_channels,
        );
        assert_eq!((x.len(), weights, y.len()), expected, "{self:?}: elements of x, w and y");
    }

    /// Cuts the output into tiles, if it can be computed by tiles and that is faster.
    pub(super) fn tiling(&self) -> Option<Tiling> {
        let &Conv { pictures, height, width, in_channels, out_channels, kernel, stride } = self;
        let tiling = Tiling { pictures, height, width };
        (kernel == 3 && stride == 1 && tiling.pays(in_channels, out_channels)).then_some(tiling)
    }

    /// Views `x` as the patches that the output pixels see.
    pub(super) fn patches<'a>(&self, x: &'a [f32]) -> Patches<'a> {
        Patches::new(x, (self.height, self.width, self.in_channels), self.kernel, self.stride, false)
    }

    /// Views the weights as filters of a forward pass.
    pub(super) fn filters<'a>(&self, w: Weight<'a>) -> Filters<'a> {
        Filters::new(w, (self.out_channels, self.in_channels), self.taps())
    }

    /// Views the weights of a pointwise convolution as a matrix (O,I).
    pub(super) fn weight<'a>(&self, w: &'a [f32]) -> Mat<'a> {
        Mat::new(w, self.out_channels, self.in_channels)
    }
}
