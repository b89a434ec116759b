//! The last [block](super::block) of a tower, computed for one row of each sequence only.
//!
//! Of the last block's output nothing leaves the tower but the class token (images) or the end-of-text token
//! (captions). Every row is still a key and a value, but queries, the output projection and the MLP are needed for
//! that one row. The result is the plain block's, without the work that cannot matter.
//!
//! # Derivation
//! With R picking the pooled rows and n = ln_1(x): k|v = n W_kvᵀ, q = R n W_qᵀ, m = R x + attention, and the rest is the
//! plain block on B rows. Backwards R becomes a scatter: dn = dkv W_kv + Rᵀ(dq W_q), dx = ln_1ᵀ(dn) + Rᵀ dm.

use super::block::{Block, Size};
use super::feed_forward::{self, Saved as FeedForwardSaved, Scratch as FeedForwardScratch};
use super::layer_norm::{self, Saved as NormSaved};
use super::linear::{self, Linear};
use super::sequences::Sequences;
use super::{Keep, floats, floats_mut};
use crate::tree::{Dim, tree};
use crate::weights::Read;
use kernels::attention::{DQkv, Heads, HeadsMut, Layout};
use kernels::{Write, embedding};
use ndarray::{ArrayView2, ArrayViewMut2};

tree! {
    /// `kv` (N,2d), `q` and `out` (B,d), `lse` (H,B), `mid` (B,d).
    Saved { ln_1: NormSaved, kv, q, out, lse, mid, ff: FeedForwardSaved }
}

tree! {
    /// `normed`, `dnormed` (N,d), `dkv` (N,2d); `pooled`, `dout`, `dq` (B,d).
    Scratch { normed, dnormed, dkv, pooled, dout, dq, ff: FeedForwardScratch }
}

impl Saved<Dim> {
    pub fn dims(size: &Size, rows: usize, sequences: usize, keep: Keep) -> Self {
        let pooled = Dim(sequences, size.width);
        Saved {
            ln_1: NormSaved::dims(rows),
            kv: Dim(rows, 2 * size.width),
            q: pooled,
            out: pooled,
            lse: Dim(size.heads, sequences),
            mid: pooled,
            ff: FeedForwardSaved::dims(sequences, size.mlp_width, keep),
        }
    }
}

impl Scratch<Dim> {
    pub fn dims(size: &Size, rows: usize, sequences: usize) -> Self {
        let (all, pooled) = (Dim(rows, size.width), Dim(sequences, size.width));
        Scratch {
            normed: all,
            dnormed: all,
            dkv: Dim(rows, 2 * size.width),
            pooled,
            dout: pooled,
            dq: pooled,
            ff: FeedForwardScratch::dims(sequences, size.width, size.mlp_width),
        }
    }
}

/// y = the pooled rows of block(x)          x (N,d)  y (B,d)
#[track_caller]
pub fn forward(
    p: &Block<impl Read>,
    size: &Size,
    sequences: &Sequences,
    x: ArrayView2<f32>,
    y: ArrayViewMut2<f32>,
    saved: &mut Saved<ArrayViewMut2<f32>>,
    scratch: &mut Scratch<ArrayViewMut2<f32>>,
) {
    let (in_q, in_kv) = in_proj(p, size.width);
    layer_norm::forward(&p.ln_1, size.eps, x, scratch.normed.view_mut(), &mut saved.ln_1);
    linear::forward(&in_kv, scratch.normed.view(), saved.kv.view_mut());
    gather(scratch.normed.view(), sequences, scratch.pooled.view_mut());
    linear::forward(&in_q, scratch.pooled.view(), saved.q.view_mut());

    let (q, k, v) = heads(saved.q.view(), saved.kv.view());
    let out = HeadsMut { data: floats_mut(saved.out.view_mut()), row_stride: size.width };
    kernels::attention::forward(layout(size, sequences), q, k, v, out, floats_mut(saved.lse.view_mut()));

    gather(x, sequences, scratch.pooled.view_mut());
    linear::forward_residual(&p.attn.out_proj, saved.out.view(), scratch.pooled.view(), saved.mid.view_mut());
    let ff = p.feed_forward(size);
    feed_forward::forward(ff, saved.mid.view(), y, &mut saved.ff, &mut scratch.ff);
}

/// dx (N,d) from dy (B,d), which is used up: it holds ∂loss/∂m on return.
#[track_caller]
pub fn backward(
    p: &Block<&[f32]>,
    size: &Size,
    sequences: &Sequences,
    x: ArrayView2<f32>,
    mut dy: ArrayViewMut2<f32>,
    mut dx: ArrayViewMut2<f32>,
    saved: &Saved<ArrayViewMut2<f32>>,
    scratch: &mut Scratch<ArrayViewMut2<f32>>,
    g: &mut Block<&mut [f32]>,
) {
    let Scratch { normed, dnormed, dkv, pooled, dout, dq, ff: ff_scratch } = scratch;
    // in the forward pass: y = m + mlp(ln_2(m))
    let ff = p.feed_forward(size);
    feed_forward::backward(ff, saved.mid.view(), dy.view_mut(), &saved.ff, ff_scratch, &mut g.ln_2, &mut g.mlp);
    let dmid = dy;
    // in the forward pass: m = R x + out W_outᵀ + b_out
    linear::backward(&p.attn.out_proj, saved.out.view(), dmid.view(), dout.view_mut(), &mut g.attn.out_proj);
    // in the forward pass: out = softmax(q kᵀ/√c) v
    let (q, k, v) = heads(saved.q.view(), saved.kv.view());
    let rows = |data| Heads { data, row_stride: size.width };
    let (out, dout) = (rows(floats(saved.out.view())), rows(floats(dout.view())));
    let dqkv =
        DQkv::Split { dq: (floats_mut(dq.view_mut()), Write::Set), dkv: (floats_mut(dkv.view_mut()), Write::Set) };
    kernels::attention::backward(layout(size, sequences), q, k, v, out, floats(saved.lse.view()), dout, dqkv);
    // in the forward pass: k|v = n W_kvᵀ + b_kv and q = R n W_qᵀ + b_q with n = ln_1(x)
    let (in_q, in_kv) = in_proj(p, size.width);
    let (mut g_q, mut g_kv) = in_proj_gradients(g.attn.in_proj_weight, g.attn.in_proj_bias, size.width);
    layer_norm::recompute(&p.ln_1, x, &saved.ln_1, normed.view_mut());
    linear::backward(&in_kv, normed.view(), dkv.view(), dnormed.view_mut(), &mut g_kv);
    gather(normed.view(), sequences, pooled.view_mut());
    // dq W_q takes the place of dout, which is used up
    let mut dpooled = scratch.dout.view_mut();
    linear::backward(&in_q, pooled.view(), dq.view(), dpooled.view_mut(), &mut g_q);
    scatter_add(dpooled.view(), sequences, dnormed.view_mut());
    layer_norm::backward(&p.ln_1, x, &saved.ln_1, dnormed.view(), Write::Set, dx.view_mut(), &mut g.ln_1);
    // the residual: R x
    scatter_add(dmid.view(), sequences, dx);
}

/// y = R x: the pooled row of each sequence.
fn gather(x: ArrayView2<f32>, sequences: &Sequences, y: ArrayViewMut2<f32>) {
    embedding::gather(floats(x), sequences.pooled(), x.ncols(), floats_mut(y));
}

/// dx += Rᵀ dy
fn scatter_add(dy: ArrayView2<f32>, sequences: &Sequences, dx: ArrayViewMut2<f32>) {
    embedding::scatter_add(floats(dy), sequences.pooled(), dy.ncols(), floats_mut(dx));
}

/// The packed input projection as two linear layers: queries, then keys and values.
fn in_proj<R: Read>(p: &Block<R>, width: usize) -> (Linear<R>, Linear<R>) {
    let (w_q, w_kv) = p.attn.in_proj_weight.cut(width * width);
    let (b_q, b_kv) = p.attn.in_proj_bias.cut(width);
    (Linear { weight: w_q, bias: b_q }, Linear { weight: w_kv, bias: b_kv })
}

fn in_proj_gradients<'a>(
    weight: &'a mut [f32],
    bias: &'a mut [f32],
    width: usize,
) -> (Linear<&'a mut [f32]>, Linear<&'a mut [f32]>) {
    let (w_q, w_kv) = weight.split_at_mut(width * width);
    let (b_q, b_kv) = bias.split_at_mut(width);
    (Linear { weight: w_q, bias: b_q }, Linear { weight: w_kv, bias: b_kv })
}

fn heads<'a>(q: ArrayView2<'a, f32>, kv: ArrayView2<'a, f32>) -> (Heads<'a>, Heads<'a>, Heads<'a>) {
    let width = q.ncols();
    let (q, kv) = (floats(q), floats(kv));
    let columns = |i: usize| Heads { data: &kv[i * width..], row_stride: 2 * width };
    (Heads { data: q, row_stride: width }, columns(0), columns(1))
}

/// One query a sequence, which sees every row of it: the class token attends to all, and the end-of-text token is the
/// last row, so the causal mask hides nothing from it.
#[track_caller]
fn layout<'a>(size: &Size, sequences: &'a Sequences) -> Layout<'a> {
    let last = || sequences.ranges().iter().map(|rows| rows.end as u32 - 1);
    let sees_all = !size.causal || last().eq(sequences.pooled().iter().copied());
    assert!(sees_all, "under a causal mask only the last row of a sequence sees all of it");
    Layout {
        q: sequences.singles(),
        kv: sequences.ranges(),
        heads: size.heads,
        head_dim: size.width / size.heads,
        causal: false,
    }
}
