//! Dropout (Srivastava et al. 2014) and stochastic depth (Huang et al. 2016), in training alone.
//!
//! A residual branch is dropped in part or as a whole:
//!
//! ```text
//! y       = residual + m ∘ branch        m = 0 with the probability `rate`, else 1/(1 − rate)
//! dbranch = m ∘ dy
//! ```
//!
//! The mean of y is what inference computes. m does not depend on the branch, and the gradient of the residual is dy
//! itself. No mask is stored: the backward pass [draws it again](kernels::dropout).

use super::{floats, floats_mut};
use crate::random::mix;
use kernels::dropout;
use ndarray::{ArrayView2, ArrayViewMut2};

pub use kernels::dropout::{Dropout, Unit};

/// What one training pass over a batch drops.
#[derive(Clone, Copy, Debug)]
pub struct Pass<'a> {
    /// The probability with which a value is dropped, rounded to a multiple of 2⁻¹⁶. With 0 nothing is computed.
    pub rate: f32,
    /// The pass's own stream, [named](crate::random::key) by seed, step and use.
    pub key: u64,
    /// The place of each sequence in the batch of the whole step, so that any micro-batches draw the same.
    pub places: &'a [u32],
}

/// Where a block drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// The probabilities of self-attention.
    Attention,
    /// The output of self-attention.
    AttentionOutput,
    /// The probabilities of cross-attention.
    Cross,
    /// The output of cross-attention.
    CrossOutput,
    /// The output of the MLP.
    Mlp,
    /// The rows behind an embedding.
    Embedding,
}

/// Returns what a block drops at a site.
pub fn at(dropout: Option<Dropout>, site: Site) -> Option<Dropout> {
    dropout.map(|dropout| Dropout { key: mix(dropout.key ^ site as u64), ..dropout })
}

/// What is added to a branch, and what is dropped of that branch.
#[derive(Clone, Copy)]
pub struct Residual<'a> {
    /// `x` (N,d)
    pub x: ArrayView2<'a, f32>,
    pub dropout: Option<Dropout<'a>>,
}

impl<'a> From<ArrayView2<'a, f32>> for Residual<'a> {
    fn from(x: ArrayView2<'a, f32>) -> Self {
        Residual { x, dropout: None }
    }
}

/// x ← m ∘ x
///
/// `x` (N,d)
#[track_caller]
pub fn apply(dropout: Option<Dropout>, x: ArrayViewMut2<f32>) {
    if let Some(dropout) = dropout {
        dropout::apply(dropout, x.ncols(), floats_mut(x));
    }
}

/// Returns dbranch: m ∘ dy in `buffer`, or dy itself if nothing is dropped.
///
/// `dy`, `buffer` (N,d)
#[track_caller]
pub(super) fn branch<'a>(
    dropout: Option<Dropout>,
    dy: ArrayView2<'a, f32>,
    buffer: ArrayViewMut2<'a, f32>,
) -> ArrayView2<'a, f32> {
    let Some(dropout) = dropout else { return dy };
    let (dim, buffer) = (dy.dim(), floats_mut(buffer));
    buffer.copy_from_slice(floats(dy));
    dropout::apply(dropout, dim.1, buffer);
    ArrayView2::from_shape(dim, buffer).expect("a buffer of dy's size")
}
