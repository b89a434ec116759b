//! [Self-attention](super::attention) whose output has one row of each sequence only.
//!
//! Every row is still a key and a value, but queries and the output projection are needed for that one row. The result
//! is the plain layer's, without the work that cannot matter.
//!
//! # Derivation
//! To pick the pooled rows becomes a scatter backwards. The rest is plain attention of B queries.
//!
//! ```text
//! [k|v] = x W_kvᵀ + b_kv
//! q     = pick(x) W_qᵀ + b_q
//! dx    = [dk|dv] W_kv + pickᵀ(dq W_q)
//! ```

use super::attention::Attention;
use super::dropout::{Dropout, Residual};
use super::linear::{self, Linear};
use super::sequences::Sequences;
use super::{floats, floats_mut};
use crate::tree::{Dim, tree};
use crate::weights::Read;
use kernels::attention::{DQkv, Heads, HeadsMut, Layout};
use kernels::{Write, embedding};
use ndarray::{ArrayView2, ArrayViewMut2};

tree! {
    /// What the backward pass needs; `out` is the input of the output projection, `lse` the log-sum-exp of each row of
    /// scores.
    ///
    /// `kv` (N,2d), `q`, `out` (B,d), `lse` (H,B)
    Saved { kv, q, out, lse }
}

tree! {
    /// `pooled` are the pooled rows of x, and then their gradients.
    ///
    /// `dkv` (N,2d), `pooled`, `dout`, `dq` (B,d)
    Scratch { dkv, pooled, dout, dq }
}

/// How the rows attend to each other, and which of them leave.
#[derive(Clone, Copy, Debug)]
pub struct Shape<'a> {
    pub sequences: &'a Sequences,
    pub heads: usize,
    /// Whether each row sees only itself and the rows before it.
    pub causal: bool,
    /// What is dropped of the probabilities.
    pub dropout: Option<Dropout<'a>>,
}

impl Saved<Dim> {
    pub fn dims(rows: usize, sequences: usize, width: usize, heads: usize) -> Self {
        let pooled = Dim(sequences, width);
        Saved { kv: Dim(rows, 2 * width), q: pooled, out: pooled, lse: Dim(heads, sequences) }
    }
}

impl Scratch<Dim> {
    pub fn dims(rows: usize, sequences: usize, width: usize) -> Self {
        let pooled = Dim(sequences, width);
        Scratch { dkv: Dim(rows, 2 * width), pooled, dout: pooled, dq: pooled }
    }
}

/// y = m ∘ (pick(attention(x)) W_outᵀ + b_out) + residual, with m of the residual's [dropout](super::dropout)
///
/// `x` (N,d), `residual`, `y` (B,d)
#[track_caller]
pub fn forward<'a>(
    p: &Attention<impl Read>,
    shape: Shape,
    x: ArrayView2<f32>,
    residual: impl Into<Residual<'a>>,
    y: ArrayViewMut2<f32>,
    saved: &mut Saved<ArrayViewMut2<f32>>,
    scratch: &mut Scratch<ArrayViewMut2<f32>>,
) {
    let width = x.ncols();
    let (in_q, in_kv) = in_proj(p, width);
    linear::forward(&in_kv, x, saved.kv.view_mut());
    gather(x, shape.sequences, scratch.pooled.view_mut());
    linear::forward(&in_q, scratch.pooled.view(), saved.q.view_mut());

    let (q, k, v) = heads(saved.q.view(), saved.kv.view());
    let out = HeadsMut { data: floats_mut(saved.out.view_mut()), row_stride: width };
    kernels::attention::forward(layout(shape, width), q, k, v, out, floats_mut(saved.lse.view_mut()));
    linear::forward_residual(&p.out_proj, saved.out.view(), residual, y);
}

/// Adds to `g` the gradients of all parameters and writes to `dx` the gradient of x. dy is the gradient of what m is
/// applied to, and the residual has a gradient of its own.
///
/// `x`, `dx` (N,d), `dy` (B,d)
#[track_caller]
pub fn backward(
    p: &Attention<&[f32]>,
    shape: Shape,
    x: ArrayView2<f32>,
    saved: &Saved<ArrayViewMut2<f32>>,
    dy: ArrayView2<f32>,
    mut dx: ArrayViewMut2<f32>,
    scratch: &mut Scratch<ArrayViewMut2<f32>>,
    g: &mut Attention<&mut [f32]>,
) {
    let Scratch { dkv, pooled, dout, dq } = scratch;
    let width = x.ncols();
    // in the forward pass: y = out W_outᵀ + b_out + residual
    linear::backward(&p.out_proj, saved.out.view(), dy, Write::Set, dout.view_mut(), &mut g.out_proj);
    // in the forward pass: out = softmax(q kᵀ/√c) v
    let (q, k, v) = heads(saved.q.view(), saved.kv.view());
    let rows = |data| Heads { data, row_stride: width };
    let (out, d_out) = (rows(floats(saved.out.view())), rows(floats(dout.view())));
    let dqkv =
        DQkv::Split { dq: (floats_mut(dq.view_mut()), Write::Set), dkv: (floats_mut(dkv.view_mut()), Write::Set) };
    kernels::attention::backward(layout(shape, width), q, k, v, out, floats(saved.lse.view()), d_out, dqkv);
    // in the forward pass: [k|v] = x W_kvᵀ + b_kv and q = pick(x) W_qᵀ + b_q
    let (in_q, in_kv) = in_proj(p, width);
    let (mut g_q, mut g_kv) = in_proj_gradients(g.in_proj_weight, g.in_proj_bias, width);
    linear::backward(&in_kv, x, dkv.view(), Write::Set, dx.view_mut(), &mut g_kv);
    gather(x, shape.sequences, pooled.view_mut());
    // dq W_q takes the place of dout, which is used up
    linear::backward(&in_q, pooled.view(), dq.view(), Write::Set, dout.view_mut(), &mut g_q);
    scatter_add(dout.view(), shape.sequences, dx);
}

/// y = pick(x), the pooled row of each sequence
pub(super) fn gather(x: ArrayView2<f32>, sequences: &Sequences, y: ArrayViewMut2<f32>) {
    embedding::gather(floats(x), sequences.pooled(), x.ncols(), floats_mut(y));
}

/// dx += pickᵀ(dy)
pub(super) fn scatter_add(dy: ArrayView2<f32>, sequences: &Sequences, dx: ArrayViewMut2<f32>) {
    embedding::scatter_add(floats(dy), sequences.pooled(), dy.ncols(), floats_mut(dx));
}

/// Returns the packed input projection as two linear layers: queries, then keys and values.
pub(crate) fn in_proj<R: Read>(p: &Attention<R>, width: usize) -> (Linear<R>, Linear<R>) {
    let (w_q, w_kv) = p.in_proj_weight.cut(width * width);
    let (b_q, b_kv) = p.in_proj_bias.cut(width);
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

/// Returns the columns of q, and those of k and v in rows that hold both.
pub(crate) fn heads<'a>(q: ArrayView2<'a, f32>, kv: ArrayView2<'a, f32>) -> (Heads<'a>, Heads<'a>, Heads<'a>) {
    let width = q.ncols();
    let (q, kv) = (floats(q), floats(kv));
    let columns = |i: usize| Heads { data: kv.get(i * width..).unwrap_or(&[]), row_stride: 2 * width };
    (Heads { data: q, row_stride: width }, columns(0), columns(1))
}

/// One query a sequence, which sees every row of it: the class token attends to all, and the end-of-text token is the
/// last row, so the causal mask hides nothing from it.
#[track_caller]
fn layout<'a>(shape: Shape<'a>, width: usize) -> Layout<'a> {
    let Shape { sequences, heads, causal, dropout } = shape;
    let last = || sequences.ranges().iter().map(|rows| rows.end as u32 - 1);
    let sees_all = !causal || last().eq(sequences.pooled().iter().copied());
    assert!(sees_all, "under a causal mask only the last row of a sequence sees all of it");
    Layout { q: sequences.singles(), kv: sequences.ranges(), heads, head_dim: width / heads, causal: false, dropout }
}
