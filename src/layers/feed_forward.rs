//! The second half of a Transformer block, with the mask m of [dropout](mod@super::dropout) if something is dropped:
//!
//! ```text
//! y  = x + m ∘ mlp(ln_2(x))
//! dx = dy + ln_2ᵀ(mlpᵀ(m ∘ dy))        fᵀ is the backward pass of f
//! ```
//!
//! The backward pass works in place: the residual passes dy on unchanged, so the buffer that holds dy on entry holds dx
//! on return.

use super::Keep;
use super::dropout::{self, Dropout, Residual};
use super::layer_norm::{self, LayerNorm};
use super::mlp::{self, Mlp};
use crate::tree::{Dim, tree};
use crate::weights::Read;
use kernels::{Activation, Write};
use ndarray::{ArrayView2, ArrayViewMut2};

tree! {
    /// The statistics of `ln_2`, and the MLP's hidden layer before its activation.
    ///
    /// `preact` (N,hidden), or (0,hidden) if it is not kept
    Saved { ln_2: NormSaved, preact }
}

tree! {
    /// `normed` is the output of `ln_2`, and `act` the MLP's hidden layer after its activation; `preact` is that before it
    /// where it is not kept.
    ///
    /// `normed`, `dnormed` (N,d), `act`, `preact` (N,hidden)
    Scratch { normed, dnormed, act, preact }
}

use layer_norm::Saved as NormSaved;

impl Saved<Dim> {
    pub fn dims(rows: usize, mlp_width: usize, keep: Keep) -> Self {
        Saved { ln_2: NormSaved::dims(rows), preact: Dim(keep.recomputable(rows), mlp_width) }
    }
}

impl Scratch<Dim> {
    pub fn dims(rows: usize, width: usize, mlp_width: usize) -> Self {
        let (normed, act) = (Dim(rows, width), Dim(rows, mlp_width));
        Scratch { normed, dnormed: normed, act, preact: act }
    }
}

/// The two layers of the second half of a block, and what is dropped of its branch.
pub struct FeedForward<'a, T> {
    pub ln_2: &'a LayerNorm<T>,
    pub mlp: &'a Mlp<T>,
    pub activation: Activation,
    /// ε of `ln_2`.
    pub eps: f32,
    pub dropout: Option<Dropout<'a>>,
}

/// y = x + m ∘ mlp(ln_2(x))
///
/// `x`, `y` (N,d)
#[track_caller]
pub fn forward(
    p: FeedForward<impl Read>,
    x: ArrayView2<f32>,
    y: ArrayViewMut2<f32>,
    saved: &mut Saved<ArrayViewMut2<f32>>,
    scratch: &mut Scratch<ArrayViewMut2<f32>>,
) {
    layer_norm::forward(p.ln_2, p.eps, x, scratch.normed.view_mut(), &mut saved.ln_2);
    let (normed, act) = (scratch.normed.view(), scratch.act.view_mut());
    let residual = Residual { x, dropout: p.dropout };
    mlp::forward(p.mlp, p.activation, normed, residual, y, saved.preact.view_mut(), act);
}

/// dx = dy + ln_2ᵀ(mlpᵀ(m ∘ dy))
///
/// `x`, `dx`, `buffer` (N,d)
///
/// `dx` holds dy on entry; `buffer` is scratch. The gradients of the parameters are added to `g_ln_2` and `g_mlp`.
#[track_caller]
pub fn backward(
    p: FeedForward<&[f32]>,
    x: ArrayView2<f32>,
    mut dx: ArrayViewMut2<f32>,
    buffer: ArrayViewMut2<f32>,
    saved: &Saved<ArrayViewMut2<f32>>,
    scratch: &mut Scratch<ArrayViewMut2<f32>>,
    g_ln_2: &mut LayerNorm<&mut [f32]>,
    g_mlp: &mut Mlp<&mut [f32]>,
) {
    layer_norm::recompute(p.ln_2, x, &saved.ln_2, scratch.normed.view_mut());
    let Scratch { normed, dnormed, act, preact: spare } = scratch;
    mlp::backward(
        p.mlp,
        p.activation,
        normed.view(),
        saved.preact.view(),
        dropout::branch(p.dropout, dx.view(), buffer),
        Write::Set,
        dnormed.view_mut(),
        act.view_mut(),
        spare.view_mut(),
        g_mlp,
    );
    layer_norm::backward(p.ln_2, x, &saved.ln_2, dnormed.view(), Write::Add, dx.view_mut(), g_ln_2);
}
