//! Convolution over channels-last pictures: y\[n, p, o\] = Σₜ Σᵢ x\[n, s·p + t, i\]·w\[o, i, t\].
//!
//! A picture (N, H, W, C) is a matrix of N·H·W rows. With a kernel of one pixel the convolution is the product of that
//! matrix with the weights. With a larger one it is the product of the *patches* with them, which the matrix product
//! gathers while it packs its operands; there is no matrix of patches, which would be nine times as large as x. Where
//! pixels and channels are many, 3 × 3 pixels at stride 1 take a quarter of the multiplications (Winograd 1980); sums then
//! are off by some millionths of their size, in an order of their own.

pub mod naive;
#[cfg(test)]
mod tests;

pub use crate::gemm::Weights;
use crate::gemm::{
    Epilogue, Filters, Mat, MatMut, Patches, Tiling, filter, gemm_on, gemm_panels_on, patch_gradient, winograd,
};
use crate::isa::{Isa, multiversion};
use crate::scratch::{self, Scratch};
use rayon::prelude::*;

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

    /// N·H·W
    fn pixels(&self) -> usize {
        self.pictures * self.height * self.width
    }

    fn taps(&self) -> usize {
        self.kernel * self.kernel
    }

    /// Whether a patch is one pixel, and every pixel is one.
    fn is_pointwise(&self) -> bool {
        self.kernel == 1 && self.stride == 1
    }

    #[track_caller]
    fn check(&self, x: &[f32], weights: usize, y: &[f32]) {
        assert!(matches!(self.kernel, 1 | 3) && self.stride > 0, "{self:?}: kernels of 1 or 3 pixels");
        let expected = (
            self.pixels() * self.in_channels,
            self.out_channels * self.in_channels * self.taps(),
            self.out_pixels() * self.out_channels,
        );
        assert_eq!((x.len(), weights, y.len()), expected, "{self:?}: elements of x, w and y");
    }

    /// As tiles of its output, if it can be computed by tiles and that is faster.
    fn tiling(&self) -> Option<Tiling> {
        let &Conv { pictures, height, width, in_channels, out_channels, kernel, stride } = self;
        let tiling = Tiling { pictures, height, width };
        (kernel == 3 && stride == 1 && tiling.pays(in_channels, out_channels)).then_some(tiling)
    }

    fn patches<'a>(&self, x: &'a [f32]) -> Patches<'a> {
        Patches::new(x, (self.height, self.width, self.in_channels), self.kernel, self.stride, false)
    }

    fn filters<'a>(&self, w: Weights<'a>) -> Filters<'a> {
        Filters::new(w, (self.out_channels, self.in_channels), self.taps())
    }

    fn weight<'a>(&self, w: &'a [f32]) -> Mat<'a> {
        Mat::new(w, self.out_channels, self.in_channels)
    }
}

/// y ← epilogue(x ∗ w), the epilogue on y as the (N·H′·W′, O) matrix that it is.
#[track_caller]
pub fn forward(conv: &Conv, x: &[f32], w: Weights, y: &mut [f32], epilogue: Epilogue) {
    forward_on(Isa::best(), conv, x, w, y, epilogue);
}

/// [`forward`] on a given instruction set.
#[track_caller]
pub fn forward_on(isa: Isa, conv: &Conv, x: &[f32], w: Weights, y: &mut [f32], epilogue: Epilogue) {
    conv.check(x, w.len(), y);
    let c = MatMut::new(y, conv.out_pixels(), conv.out_channels);
    if conv.is_pointwise() {
        let x = Mat::new(x, conv.pixels(), conv.in_channels);
        match w {
            Weights::Plain(w) => gemm_on(isa, 1.0, x, conv.weight(w).t(), 0.0, c, epilogue),
            Weights::Panels(w) => gemm_panels_on(isa, x, w, c, epilogue),
        }
    } else if let Some(tiling) = conv.tiling() {
        winograd(isa, tiling, x, conv.filters(w), false, c, epilogue);
    } else {
        filter(isa, conv.patches(x), conv.filters(w), c, epilogue);
    }
}

/// dx ← Σ over the outputs that x went to of dy·w
#[track_caller]
pub fn backward_inputs(conv: &Conv, w: &[f32], dy: &[f32], dx: &mut [f32]) {
    backward_inputs_on(Isa::best(), conv, w, dy, dx);
}

/// [`backward_inputs`] on a given instruction set.
///
/// At stride 1, a convolution of dy with the flipped kernel. At a larger one the same after dy has been spread out, a
/// picture at a time, with zeros where the stride stepped over a pixel.
#[track_caller]
pub fn backward_inputs_on(isa: Isa, conv: &Conv, w: &[f32], dy: &[f32], dx: &mut [f32]) {
    conv.check(dx, w.len(), dy);
    if dx.is_empty() {
        return;
    }
    if conv.is_pointwise() {
        let (dy, rows) = (Mat::new(dy, conv.pixels(), conv.out_channels), conv.pixels());
        gemm_on(isa, 1.0, dy, conv.weight(w), 0.0, MatMut::new(dx, rows, conv.in_channels), Epilogue::None);
        return;
    }
    if let Some(tiling) = conv.tiling() {
        let dx = MatMut::new(dx, conv.pixels(), conv.in_channels);
        winograd(isa, tiling, dy, conv.filters(Weights::Plain(w)).t(), true, dx, Epilogue::None);
        return;
    }
    let shape = (conv.height, conv.width, conv.out_channels);
    let gather = |dy: &[f32], dx: &mut [f32]| {
        let dx = MatMut {
            rows: dx.len() / conv.in_channels,
            cols: conv.in_channels,
            row_stride: conv.in_channels,
            data: dx,
        };
        filter(
            isa,
            Patches::new(dy, shape, conv.kernel, 1, true),
            conv.filters(Weights::Plain(w)).t(),
            dx,
            Epilogue::None,
        );
    };
    if conv.stride == 1 {
        return gather(dy, dx);
    }
    let (inputs, outputs) = (dx.len() / conv.pictures.max(1), dy.len() / conv.pictures.max(1));
    scratch::with(&SPREAD, conv.height * conv.width * conv.out_channels, |spread| {
        spread.fill(0.0);
        for (dx, dy) in dx.chunks_exact_mut(inputs).zip(dy.chunks_exact(outputs)) {
            spread_out(conv, dy, spread);
            gather(spread, dx);
        }
    });
}

/// Puts the pixels of one picture of dy where the forward pass saw them: every `stride`-th pixel of x.
fn spread_out(conv: &Conv, dy: &[f32], spread: &mut [f32]) {
    let (channels, step) = (conv.out_channels, conv.stride * conv.out_channels);
    let lines = spread.chunks_exact_mut(conv.width * channels).step_by(conv.stride);
    for (line, dy) in lines.zip(dy.chunks_exact(conv.out(conv.width) * channels)) {
        for (pixel, dy) in line.chunks_mut(step).zip(dy.chunks_exact(channels)) {
            pixel[..channels].copy_from_slice(dy);
        }
    }
}

thread_local! {
    /// One picture of dy, spread out.
    static SPREAD: Scratch = const { Scratch::new(0) };

    /// The gradients of the weights, (O, taps, I), from some of the pixels each.
    static PARTIALS: Scratch = const { Scratch::new(MAX_PARTIALS) };
}

/// Elements of all partial gradients together, if there is more than one: 4 MB, which L2 can hold.
const MAX_PARTIALS: usize = 1 << 20;

/// The fewest pixels that are worth a sum of their own.
const MIN_PIXELS: usize = 1024;

/// dw ← dw + Σ over pictures and pixels of dy ⊗ x
#[track_caller]
pub fn backward_weights(conv: &Conv, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    backward_weights_on(Isa::best(), conv, x, dy, dw);
}

/// [`backward_weights`] on a given instruction set.
///
/// There are few weights and many pixels: the pixels are cut into stretches, by the shape alone, each of which has a
/// gradient of its own; their sum is taken in order.
#[track_caller]
pub fn backward_weights_on(isa: Isa, conv: &Conv, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    conv.check(x, dw.len(), dy);
    let (pixels, outputs, size) = (conv.out_pixels(), conv.out_channels, conv.taps() * conv.in_channels);
    if dw.is_empty() || pixels == 0 {
        return;
    }
    let stretches = (MAX_PARTIALS / dw.len()).clamp(1, pixels.div_ceil(MIN_PIXELS));
    let stretch = pixels.div_ceil(stretches);
    let stretches = pixels.div_ceil(stretch);
    let few = stretches < 4 * rayon::current_num_threads();
    scratch::with(&PARTIALS, stretches * dw.len(), |partials| {
        partials.par_chunks_mut(dw.len()).zip(dy.par_chunks(stretch * outputs)).enumerate().for_each(
            |(s, (dw, dy))| {
                let dy = Mat::new(dy, dy.len() / outputs, outputs);
                let patches = conv.patches(x).from(s * stretch);
                patch_gradient(isa, dy, patches, MatMut::new(dw, outputs, size), few);
            },
        );
        let add = |(o, dw): (usize, &mut [f32])| add_filter(isa, partials, o * size, outputs * size, conv.taps(), dw);
        dw.par_chunks_mut(size).enumerate().for_each(add);
    });
}

/// Channels whose sums are on the stack.
const CHANNELS: usize = 64;

multiversion! {
    /// dw ← dw + Σ partials for one filter, (taps, I) in the partials, which begin at `first` and are `stride` apart, and
    /// (I, taps) in dw.
    fn add_filter(partials: &[f32], first: usize, stride: usize, taps: usize, dw: &mut [f32]) {
        let channels = dw.len() / taps;
        for (block, dw) in dw.chunks_mut(CHANNELS * taps).enumerate() {
            let n = dw.len() / taps;
            for tap in 0..taps {
                let at = first + tap * channels + block * CHANNELS;
                let mut sums = [0.0f32; CHANNELS];
                for partial in partials[at..].chunks(stride) {
                    for (sum, x) in sums.iter_mut().zip(&partial[..n]) {
                        *sum += x;
                    }
                }
                for (dw, sum) in dw[tap..].iter_mut().step_by(taps).zip(&sums) {
                    *dw += sum;
                }
            }
        }
    }
}
