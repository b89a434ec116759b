//! Multi-head self-attention over packed sequences (Vaswani et al. 2017, section 3.2.2).
//!
//! With [q|k|v] = x W_inᵀ + b_in (one product, `in_proj`), cut into heads of width c,
//! outₕ = softmax(qₕ kₕᵀ/√c + mask) vₕ and y = [out₁|…|out_H] W_outᵀ + b_out + residual.
//!
//! A batch of sequences of unequal lengths is one (N,d) matrix; sequence s has rows `ranges[s]`, and no row is padding.
//!
//! # Derivation
//! Per head, with P the probabilities and dO the gradient of its output: dV = Pᵀ dO, dP = dO Vᵀ, and the softmax gives
//! dS = P ∘ (dP − Σⱼ P dP). That sum is Σ dO ∘ O per row, so it needs no P (Dao et al. 2022, appendix B). Then
//! dQ = dS K/√c, dK = dSᵀ Q/√c. P comes back from the log-sum-exp of each row of scores.
//!
//! Saved are q, k and v alone: attending once more gives out and the log-sum-exps again, for a hundredth of a training
//! step's time and a tenth of a block's activations.

use super::linear::{self, Linear};
use super::{floats, floats_mut};
use crate::params::{Init, Spec};
use crate::tree::{Dim, tree};
use crate::weights::Read;
use kernels::attention::{DQkv, Heads, HeadsMut, Layout};
use ndarray::{ArrayView2, ArrayViewMut2};
use std::ops::Range;

tree! {
    /// `in_proj_weight` (3d,d): the rows of q, then k, then v. `out_proj` d → d.
    Attention { in_proj_weight, in_proj_bias, out_proj: Linear }
}

tree! {
    /// `qkv` (N,3d)
    Saved { qkv }
}

tree! {
    /// `out`, `dout` (N,d) before `out_proj`, `lse` (H,N), `dqkv` (N,3d).
    Scratch { out, lse, dout, dqkv }
}

/// How the rows attend to each other.
#[derive(Clone, Copy, Debug)]
pub struct Shape<'a> {
    /// The rows of each sequence.
    pub ranges: &'a [Range<usize>],
    pub heads: usize,
    /// Each row sees only itself and the rows before it.
    pub causal: bool,
}

impl Attention<Spec> {
    /// Both biases start at zero in both of OpenAI's towers.
    pub fn spec(width: usize, in_proj: Init, out_proj: Init) -> Self {
        Attention {
            in_proj_weight: Spec::linear(3 * width, width, in_proj),
            in_proj_bias: Spec::new(&[3 * width], Init::Const(0.0)),
            out_proj: Linear::spec(width, width, out_proj, Init::Const(0.0)),
        }
    }
}

impl Saved<Dim> {
    pub fn dims(rows: usize, width: usize) -> Self {
        Saved { qkv: Dim(rows, 3 * width) }
    }
}

impl Scratch<Dim> {
    pub fn dims(rows: usize, width: usize, heads: usize) -> Self {
        let out = Dim(rows, width);
        Scratch { out, lse: Dim(heads, rows), dout: out, dqkv: Dim(rows, 3 * width) }
    }
}

/// y = attention(x) W_outᵀ + b_out + residual      x, residual, y (N,d)
#[track_caller]
pub fn forward(
    p: &Attention<impl Read>,
    shape: Shape,
    x: ArrayView2<f32>,
    residual: ArrayView2<f32>,
    y: ArrayViewMut2<f32>,
    saved: &mut Saved<ArrayViewMut2<f32>>,
    scratch: &mut Scratch<ArrayViewMut2<f32>>,
) {
    linear::forward(&in_proj(p), x, saved.qkv.view_mut());
    attend(shape, saved.qkv.view(), scratch);
    linear::forward_residual(&p.out_proj, scratch.out.view(), residual, y);
}

/// out = softmax(q kᵀ/√c) v
fn attend(shape: Shape, qkv: ArrayView2<f32>, scratch: &mut Scratch<ArrayViewMut2<f32>>) {
    let (q, k, v) = split(qkv);
    let width = scratch.out.ncols();
    let out = HeadsMut { data: floats_mut(scratch.out.view_mut()), row_stride: width };
    kernels::attention::forward(layout(shape, width), q, k, v, out, floats_mut(scratch.lse.view_mut()));
}

/// dx through the attention; the residual's own gradient is dy, which the caller has.
#[track_caller]
pub fn backward(
    p: &Attention<&[f32]>,
    shape: Shape,
    x: ArrayView2<f32>,
    saved: &Saved<ArrayViewMut2<f32>>,
    dy: ArrayView2<f32>,
    dx: ArrayViewMut2<f32>,
    scratch: &mut Scratch<ArrayViewMut2<f32>>,
    g: &mut Attention<&mut [f32]>,
) {
    attend(shape, saved.qkv.view(), scratch);
    // in the forward pass: y = out W_outᵀ + b_out
    linear::backward(&p.out_proj, scratch.out.view(), dy, scratch.dout.view_mut(), &mut g.out_proj);
    // in the forward pass: out = softmax(q kᵀ/√c) v
    let (q, k, v) = split(saved.qkv.view());
    let width = x.ncols();
    let heads = |data| Heads { data, row_stride: width };
    let (out, dout) = (heads(floats(scratch.out.view())), heads(floats(scratch.dout.view())));
    let dqkv = DQkv::Packed(floats_mut(scratch.dqkv.view_mut()));
    kernels::attention::backward(layout(shape, width), q, k, v, out, floats(scratch.lse.view()), dout, dqkv);
    // in the forward pass: qkv = x W_inᵀ + b_in
    let mut g = Linear { weight: &mut *g.in_proj_weight, bias: &mut *g.in_proj_bias };
    linear::backward(&in_proj(p), x, scratch.dqkv.view(), dx, &mut g);
}

/// The packed input projection as the linear layer it is.
fn in_proj<R: Read>(p: &Attention<R>) -> Linear<R> {
    Linear { weight: p.in_proj_weight, bias: p.in_proj_bias }
}

/// The q, k and v columns of packed rows.
fn split<'a>(qkv: ArrayView2<'a, f32>) -> (Heads<'a>, Heads<'a>, Heads<'a>) {
    let (row_stride, data) = (qkv.ncols(), floats(qkv));
    let columns = |i: usize| Heads { data: data.get(i * row_stride / 3..).unwrap_or(&[]), row_stride };
    (columns(0), columns(1), columns(2))
}

fn layout(shape: Shape<'_>, width: usize) -> Layout<'_> {
    assert_eq!(width % shape.heads, 0, "a width of {width} cannot be cut into {} heads", shape.heads);
    Layout {
        q: shape.ranges,
        kv: shape.ranges,
        heads: shape.heads,
        head_dim: width / shape.heads,
        causal: shape.causal,
    }
}
