//! Patch embedding (Dosovitskiy et al. 2021, eq. 1): the picture's patches through one linear map, a class token in
//! front, and a learnt vector for each position.
//!
//! A convolution whose kernel is as large as its stride sees every pixel once, so it is a matrix product: the patches
//! of a picture, written as rows (C·p·p, the order of `conv1.weight`), times the kernel. There is no bias.
//!
//! # Derivation
//! With P the patch rows and E = P Wᵀ: x₀ = class + pos₀ and xᵢ = Eᵢ + posᵢ, so dE is dx without the class rows,
//! dW = dEᵀ P, dpos = Σ over pictures of dx, dclass = Σ over pictures of dx₀, and dP = dE W goes back to the pixels by
//! the same map that cut them.

use super::{floats, floats_mut, mat, mat_mut};
use crate::tree::{Dim, tree};
use crate::weights::Read;
use kernels::{Epilogue, Mat, MatMut, gemm::gemm};
use ndarray::{ArrayView2, ArrayViewMut2};
use rayon::prelude::*;

/// Pixels have three colours.
pub const CHANNELS: usize = 3;

tree! {
    /// `conv1_weight` (d,3,p,p), `class_embedding` (d), `positional_embedding` (1+g²,d)
    PatchEmbed { class_embedding, positional_embedding, conv1_weight as "conv1.weight" }
}

tree! {
    /// `patches` (B·g²,3p²), `embedded` (B·g²,d).
    Scratch { patches, embedded }
}

/// A square picture cut into a square grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Pixels along an edge of the picture.
    pub image_size: usize,
    /// Pixels along an edge of a patch; divides `image_size`.
    pub patch_size: usize,
}

impl Grid {
    /// g², how many patches a picture has.
    pub fn patches(self) -> usize {
        (self.image_size / self.patch_size).pow(2)
    }

    /// 1 + g²: the class token and the patches.
    pub fn tokens(self) -> usize {
        1 + self.patches()
    }

    /// 3p²
    pub fn patch_len(self) -> usize {
        CHANNELS * self.patch_size.pow(2)
    }

    /// 3·S²
    pub fn image_len(self) -> usize {
        CHANNELS * self.image_size.pow(2)
    }

    /// Start of each of the patch's 3p lines in the picture, in the order of `conv1.weight`.
    fn lines(self, patch: usize) -> impl Iterator<Item = usize> {
        let (s, p) = (self.image_size, self.patch_size);
        let (top, left) = (patch / (s / p) * p, patch % (s / p) * p);
        (0..CHANNELS).flat_map(move |c| (0..p).map(move |y| (c * s + top + y) * s + left))
    }
}

impl Scratch<Dim> {
    pub fn dims(grid: Grid, pictures: usize, width: usize) -> Self {
        let rows = pictures * grid.patches();
        Scratch { patches: Dim(rows, grid.patch_len()), embedded: Dim(rows, width) }
    }
}

/// x = class token and embedded patches, each plus its position       images (B,3S²)  x (B·(1+g²),d)
#[track_caller]
pub fn forward(
    p: &PatchEmbed<impl Read>,
    grid: Grid,
    images: ArrayView2<f32>,
    x: ArrayViewMut2<f32>,
    scratch: &mut Scratch<ArrayViewMut2<f32>>,
) {
    let width = x.ncols();
    cut(grid, images, scratch.patches.view_mut());
    let weight = Mat::new(p.conv1_weight.rows(), width, grid.patch_len());
    gemm(1.0, mat(scratch.patches.view()), weight.t(), 0.0, mat_mut(scratch.embedded.view_mut()), Epilogue::None);

    let embedded = floats(scratch.embedded.view()).par_chunks(grid.patches() * width);
    floats_mut(x).par_chunks_mut(grid.tokens() * width).zip(embedded).for_each(|(x, embedded)| {
        let (class, patches) = x.split_at_mut(width);
        class.copy_from_slice(p.class_embedding.rows());
        patches.copy_from_slice(embedded);
        x.iter_mut().zip(p.positional_embedding.rows()).for_each(|(x, position)| *x += position);
    });
}

/// dW += dEᵀ P,  dpos += Σ dx,  dclass += Σ dx₀
#[track_caller]
pub fn backward(
    grid: Grid,
    images: ArrayView2<f32>,
    dx: ArrayView2<f32>,
    scratch: &mut Scratch<ArrayViewMut2<f32>>,
    g: &mut PatchEmbed<&mut [f32]>,
) {
    let (width, tokens) = (dx.ncols(), grid.tokens());
    let dx = floats(dx);
    // in the forward pass: xₜ = … + posₜ, for every picture
    g.positional_embedding.par_chunks_mut(width).enumerate().for_each(|(token, dpos)| {
        dx.chunks_exact(width).skip(token).step_by(tokens).for_each(|dx| add(dx, dpos));
    });
    // in the forward pass: x₀ = class + pos₀
    dx.chunks_exact(width).step_by(tokens).for_each(|dx| add(dx, g.class_embedding));
    // in the forward pass: E = P Wᵀ
    drop_class_rows(dx, grid, scratch.embedded.view_mut());
    cut(grid, images, scratch.patches.view_mut());
    let dweight = MatMut::new(g.conv1_weight, width, grid.patch_len());
    gemm(1.0, mat(scratch.embedded.view()).t(), mat(scratch.patches.view()), 1.0, dweight, Epilogue::None);
}

/// ∂loss/∂pixels = dE W, put back where the patches were cut: what in a picture moves its embedding.
#[track_caller]
pub fn backward_images(
    p: &PatchEmbed<&[f32]>,
    grid: Grid,
    dx: ArrayView2<f32>,
    dimages: ArrayViewMut2<f32>,
    scratch: &mut Scratch<ArrayViewMut2<f32>>,
) {
    let width = dx.ncols();
    drop_class_rows(floats(dx), grid, scratch.embedded.view_mut());
    let weight = Mat::new(p.conv1_weight, width, grid.patch_len());
    let dpatches = mat_mut(scratch.patches.view_mut());
    gemm(1.0, mat(scratch.embedded.view()), weight, 0.0, dpatches, Epilogue::None);

    let dpatches = floats(scratch.patches.view()).par_chunks(grid.patches() * grid.patch_len());
    floats_mut(dimages).par_chunks_mut(grid.image_len()).zip(dpatches).for_each(|(image, patches)| {
        for (i, patch) in patches.chunks_exact(grid.patch_len()).enumerate() {
            for (start, line) in grid.lines(i).zip(patch.chunks_exact(grid.patch_size)) {
                image[start..start + grid.patch_size].copy_from_slice(line);
            }
        }
    });
}

/// The patches of each picture as rows.
#[track_caller]
fn cut(grid: Grid, images: ArrayView2<f32>, patches: ArrayViewMut2<f32>) {
    assert_eq!(images.ncols(), grid.image_len(), "pixels of a picture of {} × {0}", grid.image_size);
    let images = floats(images).par_chunks(grid.image_len());
    floats_mut(patches).par_chunks_mut(grid.patches() * grid.patch_len()).zip(images).for_each(|(patches, image)| {
        for (i, patch) in patches.chunks_exact_mut(grid.patch_len()).enumerate() {
            for (start, line) in grid.lines(i).zip(patch.chunks_exact_mut(grid.patch_size)) {
                line.copy_from_slice(&image[start..start + grid.patch_size]);
            }
        }
    });
}

/// dE: the rows of dx that are patches.
fn drop_class_rows(dx: &[f32], grid: Grid, dembedded: ArrayViewMut2<f32>) {
    let width = dembedded.ncols();
    let dx = dx.par_chunks(grid.tokens() * width);
    let dembedded = floats_mut(dembedded).par_chunks_mut(grid.patches() * width);
    dembedded.zip(dx).for_each(|(dembedded, dx)| dembedded.copy_from_slice(&dx[width..]));
}

fn add(x: &[f32], sum: &mut [f32]) {
    sum.iter_mut().zip(x).for_each(|(sum, x)| *sum += x);
}
