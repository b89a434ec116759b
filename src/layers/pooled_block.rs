//! The last [block](super::block) of a tower, computed for one row of each sequence only.
//!
//! Of the last block's output nothing leaves the tower but the class token (images) or the end-of-text token
//! (captions). So attention is a [pooled one](super::pooled_attention), and the MLP is needed for that one row. The
//! result is the plain block's, without the work that cannot matter.
//!
//! # Derivation
//! To pick the pooled rows becomes a scatter backwards. The rest is the plain block on B rows.
//!
//! ```text
//! mid = pick(x) + pooled_attention(ln_1(x))
//! dx  = ln_1ᵀ(pooled_attentionᵀ(dmid)) + pickᵀ(dmid)
//! ```

use super::Keep;
use super::block::{Block, Size};
use super::dropout::{self, Dropout, Residual, Site};
use super::feed_forward::{self, Saved as FeedForwardSaved, Scratch as FeedForwardScratch};
use super::layer_norm::{self, Saved as NormSaved};
use super::pooled_attention::{self, Saved as AttentionSaved, Scratch as AttentionScratch, Shape, gather, scatter_add};
use super::sequences::Sequences;
use crate::tree::{Dim, tree};
use crate::weights::Read;
use kernels::Write;
use ndarray::{ArrayView2, ArrayViewMut2};

tree! {
    /// What the backward pass needs beside x; `mid` is that of the formula.
    ///
    /// `mid` (B,d)
    Saved { ln_1: NormSaved, attn: AttentionSaved, mid, ff: FeedForwardSaved }
}

tree! {
    /// `normed` and `dnormed` are the output of `ln_1` and its gradient; `residual` is pick(x).
    ///
    /// `normed`, `dnormed` (N,d), `residual` (B,d)
    Scratch { normed, dnormed, residual, attn: AttentionScratch, ff: FeedForwardScratch }
}

impl Saved<Dim> {
    pub fn dims(size: &Size, rows: usize, sequences: usize, keep: Keep) -> Self {
        Saved {
            ln_1: NormSaved::dims(rows),
            attn: AttentionSaved::dims(rows, sequences, size.width, size.heads),
            mid: Dim(sequences, size.width),
            ff: FeedForwardSaved::dims(sequences, size.mlp_width, keep),
        }
    }
}

impl Scratch<Dim> {
    pub fn dims(size: &Size, rows: usize, sequences: usize) -> Self {
        let all = Dim(rows, size.width);
        Scratch {
            normed: all,
            dnormed: all,
            residual: Dim(sequences, size.width),
            attn: AttentionScratch::dims(rows, sequences, size.width),
            ff: FeedForwardScratch::dims(sequences, size.width, size.mlp_width),
        }
    }
}

/// y = the pooled rows of block(x)
///
/// `x` (N,d), `y` (B,d)
#[track_caller]
pub fn forward(
    p: &Block<impl Read>,
    size: &Size,
    sequences: &Sequences,
    dropout: Option<Dropout>,
    x: ArrayView2<f32>,
    y: ArrayViewMut2<f32>,
    saved: &mut Saved<ArrayViewMut2<f32>>,
    scratch: &mut Scratch<ArrayViewMut2<f32>>,
) {
    let Scratch { normed, residual, attn, ff: ff_scratch, .. } = scratch;
    layer_norm::forward(&p.ln_1, size.eps, x, normed.view_mut(), &mut saved.ln_1);
    gather(x, sequences, residual.view_mut());
    let (x, mid) = (normed.view(), saved.mid.view_mut());
    let residual = Residual { x: residual.view(), dropout: dropout::at(dropout, Site::AttentionOutput) };
    pooled_attention::forward(&p.attn, shape(size, sequences), x, residual, mid, &mut saved.attn, attn);
    feed_forward::forward(p.feed_forward(size, dropout), saved.mid.view(), y, &mut saved.ff, ff_scratch);
}

/// dx = the gradient of x, from that of y
///
/// `x`, `dx` (N,d), `dy` (B,d)
///
/// `dy` is used up: it holds dmid on return.
#[track_caller]
pub fn backward(
    p: &Block<&[f32]>,
    size: &Size,
    sequences: &Sequences,
    dropout: Option<Dropout>,
    x: ArrayView2<f32>,
    mut dy: ArrayViewMut2<f32>,
    mut dx: ArrayViewMut2<f32>,
    saved: &Saved<ArrayViewMut2<f32>>,
    scratch: &mut Scratch<ArrayViewMut2<f32>>,
    g: &mut Block<&mut [f32]>,
) {
    let Scratch { normed, dnormed, residual: buffer, attn, ff: ff_scratch } = scratch;
    // in the forward pass: y = mid + mlp(ln_2(mid))
    let ff = p.feed_forward(size, dropout);
    let (mid, dmid, spare) = (saved.mid.view(), dy.view_mut(), buffer.view_mut());
    feed_forward::backward(ff, mid, dmid, spare, &saved.ff, ff_scratch, &mut g.ln_2, &mut g.mlp);
    let dmid = dy;
    // in the forward pass: mid = pick(x) + pooled_attention(ln_1(x))
    let dbranch = dropout::at(dropout, Site::AttentionOutput);
    let dbranch = dropout::branch(dbranch, dmid.view(), buffer.view_mut());
    layer_norm::recompute(&p.ln_1, x, &saved.ln_1, normed.view_mut());
    pooled_attention::backward(
        &p.attn,
        shape(size, sequences),
        normed.view(),
        &saved.attn,
        dbranch,
        dnormed.view_mut(),
        attn,
        &mut g.attn,
    );
    layer_norm::backward(&p.ln_1, x, &saved.ln_1, dnormed.view(), Write::Set, dx.view_mut(), &mut g.ln_1);
    scatter_add(dmid.view(), sequences, dx);
}

/// Returns the shape of the block's attention.
fn shape<'a>(size: &Size, sequences: &'a Sequences) -> Shape<'a> {
    Shape { sequences, heads: size.heads, causal: size.causal, dropout: None }
}
