//! Patch embedding (Dosovitskiy et al. 2021, eq. 1): the picture's patches through one linear map, a class token in
//! front, and a learnt vector for each position.
//!
//! A convolution whose kernel is as large as its stride sees every pixel once, so it is a matrix product: the patches
//! of a picture, written as rows (3·patch² numbers in the order of `conv1.weight`), times the kernel. CLIP has no bias,
//! BLIP has one, and SigLIP has one and no class token.
//!
//! # Derivation
//! ```text
//! embedded  = patches Wᵀ + b
//! x₀        = class + pos₀                 xₜ        = embeddedₜ + posₜ
//! dclass    = Σ dx₀ over pictures          dposₜ     = Σ dxₜ over pictures
//! dembedded = dx without the class rows    dpatches  = dembedded W
//! dW        = dembeddedᵀ patches           db        = Σ dembedded over all patches
//! ```
//!
//! Without a class token the patches are x₀, x₁, …, and there is nothing between embedded and x but the positions.
//!
//! dpatches goes back to the pixels by the same map that cut them.
//!
//! Where [patches are dropped](super::patch_dropout), there is a row for each patch that is kept and none for the
//! others. A row that is patch t of its picture gets posₜ, and dposₜ its dx.

use super::{floats, floats_mut, mat, mat_mut};
use crate::tree::{Dim, tree};
use crate::weights::Read;
use kernels::tokens::{self, First};
use kernels::{Epilogue, Mat, MatMut, embedding, gemm::gemm, patchify, reduce};
use ndarray::{ArrayView2, ArrayViewMut2};

/// A pixel has this many colours.
pub const CHANNELS: usize = 3;

tree! {
    /// The weights of the patches, the class token, and the vectors of the positions.
    ///
    /// `conv1_weight` (d,3,patch,patch), `conv1_bias` (d), `class_embedding` (d), `positional_embedding` (1+grid²,d), or
    /// (grid²,d) without a class token
    PatchEmbed {
        class_embedding: [_?],
        positional_embedding,
        conv1_weight as "conv1.weight",
        conv1_bias as "conv1.bias": [_?],
    }
}

tree! {
    /// The K patches of each picture that are embedded, as rows, and what the linear map makes of them. K is grid²
    /// unless patches are dropped.
    ///
    /// `patches` (B·K,3·patch²), `embedded` (B·K,d)
    Scratch { patches, embedded }
}

/// The sizes of a picture that is cut into a grid of patches: grid × grid of them if the picture is square.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// The number of the picture's rows of pixels.
    pub height: usize,
    /// The number of the picture's columns of pixels.
    pub width: usize,
    /// The edge of a patch, in pixels. Pixels at the right and at the bottom that fill no patch are not looked at.
    pub patch_size: usize,
}

impl Grid {
    /// Returns the grid of a square picture with this edge.
    pub fn square(image_size: usize, patch_size: usize) -> Self {
        Grid { height: image_size, width: image_size, patch_size }
    }

    /// Returns the number of a picture's patches, grid² of a square one.
    pub fn patches(self) -> usize {
        self.kernel().patches()
    }

    /// Returns the number of a picture's tokens, 1 + grid² of a square one: the class token and the patches.
    pub fn tokens(self) -> usize {
        1 + self.patches()
    }

    /// Returns the number of a patch's floats, 3·patch².
    pub fn patch_len(self) -> usize {
        self.kernel().patch_len()
    }

    /// Returns the number of a picture's floats, 3·edge² of a square one.
    pub fn image_len(self) -> usize {
        self.kernel().image_len()
    }

    /// Returns the grid as the kernels know it.
    fn kernel(self) -> patchify::Grid {
        let Grid { height, width, patch_size } = self;
        patchify::Grid { channels: CHANNELS, height, width, patch_size }
    }
}

impl Scratch<Dim> {
    /// Returns the sizes for this many patches of all pictures together.
    pub fn dims(grid: Grid, patches: usize, width: usize) -> Self {
        Scratch { patches: Dim(patches, grid.patch_len()), embedded: Dim(patches, width) }
    }
}

/// x₀ = class + pos₀, xₜ = embeddedₜ + posₜ, for every picture
///
/// `images` (B,3·edge²), `kept` (B·K), `x` (B·(1+K),d), or (B·K,d) without a class token
///
/// `kept` are the indices of the patches that each picture keeps, if they are not all.
#[track_caller]
pub fn forward(
    p: &PatchEmbed<impl Read>,
    grid: Grid,
    kept: Option<&[u32]>,
    images: ArrayView2<f32>,
    x: ArrayViewMut2<f32>,
    scratch: &mut Scratch<ArrayViewMut2<f32>>,
) {
    let width = x.ncols();
    cut(grid, kept, images, scratch.patches.view_mut());
    let weight = Mat::new(p.conv1_weight.rows(), width, grid.patch_len());
    let (patches, positions) = (mat(scratch.patches.view()), p.positional_embedding.rows());
    let epilogue = p.conv1_bias.as_ref().map_or(Epilogue::None, |bias| Epilogue::Bias(bias.rows()));
    let Some(class) = &p.class_embedding else {
        // The product is added to the positions.
        let x = floats_mut(x);
        match kept {
            None => x.chunks_exact_mut(positions.len()).for_each(|x| x.copy_from_slice(positions)),
            Some(kept) => embedding::gather(positions, kept, width, x),
        }
        return gemm(1.0, patches, weight.t(), 1.0, MatMut::new(x, patches.rows, width), epilogue);
    };
    gemm(1.0, patches, weight.t(), 0.0, mat_mut(scratch.embedded.view_mut()), epilogue);

    let (embedded, class) = (floats(scratch.embedded.view()), class.rows());
    match kept {
        None => tokens::forward(First::Class(class), embedded, positions, width, floats_mut(x)),
        Some(kept) => tokens::forward_kept(class, (embedded, kept), positions, width, floats_mut(x)),
    }
}

/// dW += dembeddedᵀ patches, db += Σ dembedded, dpos += Σ dx, dclass += Σ dx₀
///
/// `images` (B,3·edge²), `kept` (B·K), `dx` (B·(1+K),d), or (B·K,d) without a class token
#[track_caller]
pub fn backward(
    grid: Grid,
    kept: Option<&[u32]>,
    images: ArrayView2<f32>,
    dx: ArrayView2<f32>,
    scratch: &mut Scratch<ArrayViewMut2<f32>>,
    g: &mut PatchEmbed<&mut [f32]>,
) {
    let (width, tokens) = (dx.ncols(), dx.nrows() / images.nrows());
    let dx = floats(dx);
    cut(grid, kept, images, scratch.patches.view_mut());
    let dembedded = match &mut g.class_embedding {
        Some(dclass) => {
            // in the forward pass: x₀ = class + pos₀
            tokens::backward_positions(dx, tokens, width, dclass);
            // in the forward pass: embedded = patches Wᵀ + b, and x without its class rows is embedded + …
            tokens::backward(First::Class(&[]), dx, tokens, width, floats_mut(scratch.embedded.view_mut()));
            floats(scratch.embedded.view())
        }
        None => dx,
    };
    match kept {
        // in the forward pass: xₜ = … + posₜ, for every picture
        None => tokens::backward_positions(dx, tokens, width, g.positional_embedding),
        // in the forward pass: x₀ = … + pos₀, and a row of embedded gets the position of the patch that it is
        Some(kept) => {
            let first = if g.class_embedding.is_some() { width } else { 0 };
            let (first, others) = g.positional_embedding.split_at_mut(first);
            tokens::backward_positions(dx, tokens, width, first);
            embedding::scatter_add(dembedded, kept, width, others);
        }
    }
    if let Some(dbias) = &mut g.conv1_bias {
        reduce::add_column_sums(dembedded, dbias);
    }
    let dweight = MatMut::new(g.conv1_weight, width, grid.patch_len());
    let dembedded = Mat::new(dembedded, dembedded.len() / width, width);
    gemm(1.0, dembedded.t(), mat(scratch.patches.view()), 1.0, dweight, Epilogue::None);
}

/// dpatches = dembedded W, put back where the patches were cut, which shows what in a picture moves its embedding
///
/// `dx` (B·(1+grid²),d), `dimages` (B,3·edge²)
///
/// No patch was dropped in the forward pass.
#[track_caller]
pub fn backward_images(
    p: &PatchEmbed<&[f32]>,
    grid: Grid,
    dx: ArrayView2<f32>,
    dimages: ArrayViewMut2<f32>,
    scratch: &mut Scratch<ArrayViewMut2<f32>>,
) {
    let width = dx.ncols();
    let dembedded = if p.class_embedding.is_some() {
        let dembedded = floats_mut(scratch.embedded.view_mut());
        tokens::backward(First::Class(&[]), floats(dx), grid.tokens(), width, dembedded);
        mat(scratch.embedded.view())
    } else {
        mat(dx)
    };
    let weight = Mat::new(p.conv1_weight, width, grid.patch_len());
    gemm(1.0, dembedded, weight, 0.0, mat_mut(scratch.patches.view_mut()), Epilogue::None);

    patchify::paste(grid.kernel(), floats(scratch.patches.view()), floats_mut(dimages));
}

/// Writes the patches of each picture that are embedded as rows.
#[track_caller]
fn cut(grid: Grid, kept: Option<&[u32]>, images: ArrayView2<f32>, rows: ArrayViewMut2<f32>) {
    assert_eq!(images.ncols(), grid.image_len(), "pixels of a picture of {} × {}", grid.height, grid.width);
    patchify::cut(grid.kernel(), floats(images), kept, floats_mut(rows));
}
