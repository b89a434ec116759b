//! The pre-norm residual block of both Transformers:
//!
//! ```text
//! mid = x + attention(ln_1(x))
//! y   = mid + mlp(ln_2(mid))
//! ```
//!
//! In training either branch may be [dropped](super::dropout).
//!
//! # Derivation
//! The gradient of a residual y = x + f(x) is dx = dy + fᵀ(dy), where fᵀ is the backward pass of f. So one buffer
//! suffices, to which each half adds: `dx` holds dy on entry, dmid between the halves, and dx on return.

use super::Keep;
use super::attention::{self, Attention, Saved as AttentionSaved, Scratch as AttentionScratch};
use super::dropout::{self, Dropout, Residual, Site};
use super::feed_forward::{self, FeedForward, Saved as FeedForwardSaved, Scratch as FeedForwardScratch};
use super::layer_norm::{self, LayerNorm, Saved as NormSaved};
use super::mlp::Mlp;
use crate::params::{Init, Spec};
use crate::tree::{Dim, tree};
use crate::weights::Read;
use kernels::{Activation, Write};
use ndarray::{ArrayView2, ArrayViewMut2};
use std::ops::Range;

tree! {
    /// One residual block, named as in OpenAI's checkpoints.
    Block { ln_1: LayerNorm, attn: Attention, ln_2: LayerNorm, mlp: Mlp }
}

tree! {
    /// What the backward pass needs beside x; `mid` is that of the formula.
    ///
    /// `mid` (N,d)
    Saved { ln_1: NormSaved, attn: AttentionSaved, mid, ff: FeedForwardSaved }
}

tree! {
    /// `normed` and `dnormed` are the output of `ln_1` and its gradient.
    ///
    /// `normed`, `dnormed` (N,d)
    Scratch { normed, dnormed, attn: AttentionScratch, ff: FeedForwardScratch }
}

/// The sizes of a Transformer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size {
    pub width: usize,
    pub mlp_width: usize,
    pub heads: usize,
    pub layers: usize,
    pub activation: Activation,
    /// Whether each row sees only itself and the rows before it.
    pub causal: bool,
    /// ε of every LayerNorm.
    pub eps: f32,
}

impl Size {
    /// Returns the shape of this Transformer's attention over sequences with these rows.
    pub fn attention<'a>(&self, ranges: &'a [Range<usize>]) -> attention::Shape<'a> {
        attention::Shape { ranges, heads: self.heads, causal: self.causal, dropout: None }
    }
}

/// The initialisers of the four weight matrices of a block.
#[derive(Clone, Copy, Debug)]
pub struct BlockInit {
    pub in_proj: Init,
    pub out_proj: Init,
    pub c_fc: Init,
    pub c_proj: Init,
}

impl Block<Spec> {
    pub fn spec(size: &Size, init: &BlockInit) -> Self {
        Block {
            ln_1: LayerNorm::spec(size.width),
            attn: Attention::spec(size.width, init.in_proj, init.out_proj),
            ln_2: LayerNorm::spec(size.width),
            mlp: Mlp::spec(size.width, size.mlp_width, init.c_fc, init.c_proj),
        }
    }
}

impl Block<&mut [f32]> {
    /// Evens out what each LayerNorm and the linear layer behind it multiply.
    pub fn balance(&mut self) {
        layer_norm::balance(&mut self.ln_1, self.attn.in_proj_weight);
        layer_norm::balance(&mut self.ln_2, self.mlp.c_fc.weight);
    }

    /// Returns how large the scores of attention are, as [`attention::score_size`] estimates it.
    pub fn score_size(&self) -> f64 {
        attention::score_size(self.ln_1.weight, self.attn.in_proj_weight)
    }
}

impl<T> Block<T> {
    /// Returns the second half of the block.
    pub(super) fn feed_forward<'a>(&'a self, size: &Size, dropout: Option<Dropout<'a>>) -> FeedForward<'a, T> {
        let dropout = dropout::at(dropout, Site::Mlp);
        FeedForward { ln_2: &self.ln_2, mlp: &self.mlp, activation: size.activation, eps: size.eps, dropout }
    }
}

impl Saved<Dim> {
    pub fn dims(size: &Size, rows: usize, keep: Keep) -> Self {
        Saved {
            ln_1: NormSaved::dims(rows),
            attn: AttentionSaved::dims(rows, size.width, keep),
            mid: Dim(rows, size.width),
            ff: FeedForwardSaved::dims(rows, size.mlp_width, keep),
        }
    }
}

impl Scratch<Dim> {
    pub fn dims(size: &Size, rows: usize) -> Self {
        Scratch {
            normed: Dim(rows, size.width),
            dnormed: Dim(rows, size.width),
            attn: AttentionScratch::dims(rows, size.width, size.heads),
            ff: FeedForwardScratch::dims(rows, size.width, size.mlp_width),
        }
    }
}

/// y = mid + mlp(ln_2(mid)) with mid = x + attention(ln_1(x))
///
/// `x`, `y` (N,d)
#[track_caller]
pub fn forward(
    p: &Block<impl Read>,
    size: &Size,
    ranges: &[Range<usize>],
    dropout: Option<Dropout>,
    x: ArrayView2<f32>,
    y: ArrayViewMut2<f32>,
    saved: &mut Saved<ArrayViewMut2<f32>>,
    scratch: &mut Scratch<ArrayViewMut2<f32>>,
) {
    let Scratch { normed, attn, ff: ff_scratch, .. } = scratch;
    layer_norm::forward(&p.ln_1, size.eps, x, normed.view_mut(), &mut saved.ln_1);
    let shape = size.attention(ranges);
    let residual = Residual { x, dropout: dropout::at(dropout, Site::AttentionOutput) };
    attention::forward(&p.attn, shape, normed.view(), residual, saved.mid.view_mut(), &mut saved.attn, attn);
    let ff = p.feed_forward(size, dropout);
    feed_forward::forward(ff, saved.mid.view(), y, &mut saved.ff, ff_scratch);
}

/// Adds to `g` the gradients of all parameters; `dx` holds dy on entry and dx on return.
///
/// `x`, `dx` (N,d)
#[track_caller]
pub fn backward(
    p: &Block<&[f32]>,
    size: &Size,
    ranges: &[Range<usize>],
    dropout: Option<Dropout>,
    x: ArrayView2<f32>,
    mut dx: ArrayViewMut2<f32>,
    saved: &Saved<ArrayViewMut2<f32>>,
    scratch: &mut Scratch<ArrayViewMut2<f32>>,
    g: &mut Block<&mut [f32]>,
) {
    // in the forward pass: y = mid + mlp(ln_2(mid))
    let ff = p.feed_forward(size, dropout);
    let Scratch { normed, dnormed, attn, ff: ff_scratch } = scratch;
    let (mid, dmid, buffer) = (saved.mid.view(), dx.view_mut(), normed.view_mut());
    feed_forward::backward(ff, mid, dmid, buffer, &saved.ff, ff_scratch, &mut g.ln_2, &mut g.mlp);
    // in the forward pass: mid = x + attention(ln_1(x))
    let dbranch = dropout::at(dropout, Site::AttentionOutput);
    let dbranch = dropout::branch(dbranch, dx.view(), ff_scratch.dnormed.view_mut());
    layer_norm::recompute(&p.ln_1, x, &saved.ln_1, normed.view_mut());
    attention::backward(
        &p.attn,
        size.attention(ranges),
        normed.view(),
        &saved.attn,
        dbranch,
        Write::Set,
        dnormed.view_mut(),
        attn,
        &mut g.attn,
    );
    layer_norm::backward(&p.ln_1, x, &saved.ln_1, dnormed.view(), Write::Add, dx.view_mut(), &mut g.ln_1);
}
