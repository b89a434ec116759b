//! Convolution over channels-last pictures.
//!
//! ```text
//! yₙₒ = Σₜ Σᵢ xₗᵢ·Wₒᵢₜ        l: the pixel under tap t when the kernel lies on output pixel n
//! ```
//!
//! Pictures are a matrix too, whose rows are their pixels. With a kernel of one pixel the convolution is the product of
//! that matrix with the weights. With a larger one it is the product of the *patches* with them, which the matrix
//! product gathers while it packs its operands; there is no matrix of patches, which would be nine times as large as x.
//! Where pixels and channels are many, 3 × 3 pixels at stride 1 take a quarter of the multiplications (Winograd 1980);
//! sums then are off by some millionths of their size, in an order of their own.
//!
//! The passes are here, the sizes of a convolution are in `shape`, and the definition is in `naive`.

#[doc(hidden)]
pub mod naive;
mod shape;
#[cfg(test)]
mod tests;

pub use crate::gemm::Weight;
pub use shape::Conv;

use crate::gemm::{Epilogue, Mat, MatMut, Patches, filter, gemm_on, gemm_panels_on, patch_gradient, winograd};
use crate::isa::{Isa, multiversion};
use crate::scratch::{self, Scratch};
use rayon::prelude::*;

/// y ← epilogue(x ∗ W)
///
/// `x` (B,height,width,I), `W` (O,I,kernel,kernel), `y` (B,height′,width′,O)
///
/// The epilogue sees y as a matrix with a row a pixel.
#[track_caller]
pub fn forward(conv: &Conv, x: &[f32], w: Weight, y: &mut [f32], epilogue: Epilogue) {
    forward_on(Isa::best(), conv, x, w, y, epilogue);
}

/// Computes [`forward`] on a given instruction set.
#[track_caller]
pub fn forward_on(isa: Isa, conv: &Conv, x: &[f32], w: Weight, y: &mut [f32], epilogue: Epilogue) {
    conv.check(x, w.len(), y);
    let c = MatMut::new(y, conv.out_pixels(), conv.out_channels);
    if conv.is_pointwise() {
        let x = Mat::new(x, conv.pixels(), conv.in_channels);
        match w {
            Weight::Plain(w) => gemm_on(isa, 1.0, x, conv.weight(w).t(), 0.0, c, epilogue),
            Weight::Panels(w) => gemm_panels_on(isa, x, w, c, epilogue),
            Weight::Half(_) | Weight::Int8(_) | Weight::Fetched(_) => {
                panic!("convolutions have plain weights or panels")
            }
        }
    } else if let Some(tiling) = conv.tiling() {
        winograd(isa, tiling, x, conv.filters(w), false, c, epilogue);
    } else {
        filter(isa, conv.patches(x), conv.filters(w), c, epilogue);
    }
}

/// dx ← Σ over the outputs that x went to of dy·W
///
/// `W` (O,I,kernel,kernel), `dy` (B,height′,width′,O), `dx` (B,height,width,I)
#[track_caller]
pub fn backward_inputs(conv: &Conv, w: &[f32], dy: &[f32], dx: &mut [f32]) {
    backward_inputs_on(Isa::best(), conv, w, dy, dx);
}

/// Computes [`backward_inputs`] on a given instruction set.
///
/// At stride 1 this is a convolution of dy with the flipped kernel. At a larger one dy is first spread out, a picture
/// at a time, with zeros where the stride stepped over a pixel.
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
        winograd(isa, tiling, dy, conv.filters(Weight::Plain(w)).t(), true, dx, Epilogue::None);
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
            conv.filters(Weight::Plain(w)).t(),
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

    /// The gradients of the weights, (O,taps,I), from some of the pixels each.
    static PARTIALS: Scratch = const { Scratch::new(MAX_PARTIALS) };
}

/// All partial gradients together have at most this many elements, if there is more than one: 4 MB, which L2 can hold.
const MAX_PARTIALS: usize = 1 << 20;

/// A partial gradient is a sum over at least this many pixels; for fewer it is not worth while.
const MIN_PIXELS: usize = 1024;

/// dW += Σₙ dyₙ ⊗ xₗ over the pixels n of all pictures
///
/// `x` (B,height,width,I), `dy` (B,height′,width′,O), `dW` (O,I,kernel,kernel)
#[track_caller]
pub fn backward_weights(conv: &Conv, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    backward_weights_on(Isa::best(), conv, x, dy, dw);
}

/// Computes [`backward_weights`] on a given instruction set.
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

/// This many channels have their sums on the stack at a time.
const CHANNELS: usize = 64;

multiversion! {
    /// dW += Σ partials, for one filter
    ///
    /// a partial (taps,I), dW (I,taps); the partials begin at `first` and are `stride` apart
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
