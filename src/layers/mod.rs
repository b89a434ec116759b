//! The layers of CLIP and BLIP, each a forward/backward pair of functions without state.
//!
//! * A parameter tree comes first, then inputs, then outputs. `dx` is ∂loss/∂x.
//! * Gradients of activations are overwritten (`=`), gradients of parameters accumulate (`+=`).
//! * The caller owns every buffer; matrices are row-major and whole.
//! * A shape that does not fit is a programmer's error and panics with the shapes.

pub mod attention;
pub mod attention_pool;
pub mod avg_pool;
pub mod batch_norm;
pub mod block;
pub mod bottleneck;
pub mod conv2d;
pub mod conv_norm;
pub mod cross_attention;
pub mod dropout;
pub mod feed_forward;
pub mod keyless_attention;
pub mod layer_norm;
pub mod linear;
pub mod map_head;
pub mod mlp;
pub mod normalize;
pub mod one_query;
pub mod patch_dropout;
pub mod patch_embed;
pub mod pooled_attention;
pub mod pooled_block;
pub mod post_norm;
pub mod projection;
pub mod sequences;
pub mod stem;
pub mod token_embed;

use kernels::{Mat, MatMut};
use ndarray::{ArrayView, ArrayView2, ArrayView4, ArrayViewMut, ArrayViewMut2, ArrayViewMut4, Axis, Dimension, Slice};
use std::ops::Range;

/// What a forward pass keeps, which depends on whether its backward pass follows.
///
/// | of a Transformer's block, in widths a row | x | q, k, v | mid | hidden | in all | more arithmetic in a step |
/// |---|--:|--:|--:|--:|--:|--:|
/// | [`Keep::All`] | 1 | 3 | 1 | 4 | 9 | |
/// | [`Keep::Inputs`] | 1 | | 1 | | 2 | 19 % |
///
/// x and mid are the inputs of attention and of the MLP, whose hidden layer is the last. Products with the input
/// projections give q, k, v and that layer again, bit for bit. (Chen et al. 2016; only where it pays: Korthikanti et
/// al. 2022, section 5.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// The activations of every block are kept for the backward pass.
    All,
    /// The inputs of attention and of the MLP are kept in every block of a Transformer, and the backward pass computes
    /// what follows them once more. ResNets keep all.
    Inputs,
    /// Nothing is kept: all blocks take turns in the memory of two, as inference does.
    #[default]
    Nothing,
}

impl Keep {
    /// Returns what is kept if activations are checkpointed: the inputs instead of all.
    pub fn checkpointed(self, checkpointing: bool) -> Self {
        if checkpointing && self == Keep::All { Keep::Inputs } else { self }
    }

    /// Returns how many of these rows are kept of what can be computed from the inputs again.
    pub(crate) fn recomputable(self, rows: usize) -> usize {
        if self == Keep::All { rows } else { 0 }
    }
}

/// Returns the floats of a whole row-major array, a matrix or pictures.
#[track_caller]
pub(crate) fn floats<'a, D: Dimension>(x: ArrayView<'a, f32, D>) -> &'a [f32] {
    let dim = x.raw_dim();
    x.to_slice().unwrap_or_else(|| panic!("{dim:?} numbers must be whole and row-major"))
}

/// Returns the writable floats of a whole row-major array.
#[track_caller]
pub(crate) fn floats_mut<'a, D: Dimension>(x: ArrayViewMut<'a, f32, D>) -> &'a mut [f32] {
    let dim = x.raw_dim();
    x.into_slice().unwrap_or_else(|| panic!("{dim:?} numbers must be whole and row-major"))
}

/// The sizes of pictures (B,height,width,C): how many, rows, columns and channels.
pub type Dim4 = (usize, usize, usize, usize);

/// Views the first floats of a buffer as pictures of these sizes.
#[track_caller]
pub fn pictures<'a>(buffer: ArrayView2<'a, f32>, dim: Dim4) -> ArrayView4<'a, f32> {
    let len = dim.0 * dim.1 * dim.2 * dim.3;
    let floats = floats(buffer);
    assert!(len <= floats.len(), "pictures {dim:?} in a buffer of {} floats", floats.len());
    ArrayView4::from_shape(dim, &floats[..len]).expect("len floats")
}

/// Views the first floats of a buffer as writable pictures of these sizes.
#[track_caller]
pub fn pictures_mut<'a>(buffer: ArrayViewMut2<'a, f32>, dim: Dim4) -> ArrayViewMut4<'a, f32> {
    let len = dim.0 * dim.1 * dim.2 * dim.3;
    let floats = floats_mut(buffer);
    assert!(len <= floats.len(), "pictures {dim:?} in a buffer of {} floats", floats.len());
    ArrayViewMut4::from_shape(dim, &mut floats[..len]).expect("len floats")
}

/// Views a matrix as the kernels do.
#[track_caller]
pub(crate) fn mat<'a>(x: ArrayView2<'a, f32>) -> Mat<'a> {
    let (rows, cols) = x.dim();
    Mat::new(floats(x), rows, cols)
}

/// Views a writable matrix as the kernels do.
#[track_caller]
pub(crate) fn mat_mut<'a>(x: ArrayViewMut2<'a, f32>) -> MatMut<'a> {
    let (rows, cols) = x.dim();
    MatMut::new(floats_mut(x), rows, cols)
}

/// Views some rows of a matrix.
pub(crate) fn rows<'a>(mut x: ArrayView2<'a, f32>, range: &Range<usize>) -> ArrayView2<'a, f32> {
    x.slice_axis_inplace(Axis(0), Slice::from(range.clone()));
    x
}

/// Views some rows of a writable matrix.
pub(crate) fn rows_mut<'a>(mut x: ArrayViewMut2<'a, f32>, range: &Range<usize>) -> ArrayViewMut2<'a, f32> {
    x.slice_axis_inplace(Axis(0), Slice::from(range.clone()));
    x
}
