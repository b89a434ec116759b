//! Multi-head self-attention over packed sequences (Vaswani et al. 2017, section 3.2.2).
//!
//! One product, `in_proj`, makes all queries, keys and values, which are cut into heads of width c:
//!
//! ```text
//! [q|k|v] = x W_inᵀ + b_in
//! outₕ    = Pₕ vₕ                       Pₕ = softmax(Sₕ), Sₕ = qₕ kₕᵀ/√c, −∞ out of sight
//! y       = [out₁|…|out_H] W_outᵀ + b_out + residual
//! ```
//!
//! A batch of sequences of unequal lengths is one (N,d) matrix; sequence i has rows `ranges[i]`, and no row is padding.
//!
//! # Derivation
//! For each head:
//!
//! ```text
//! dv  = Pᵀ dout
//! dP  = dout vᵀ
//! dSᵢ = Pᵢ ∘ (dPᵢ − Σⱼ Pᵢⱼ dPᵢⱼ)        the softmax of row i
//!     = Pᵢ ∘ (dPᵢ − ⟨doutᵢ, outᵢ⟩)
//! dq  = dS k/√c
//! dk  = dSᵀ q/√c
//! ```
//!
//! The dot product needs no P (Dao et al. 2022, appendix B). P is computed again from the log-sum-exp of each row of
//! scores.
//!
//! In training, probabilities may be [dropped](super::dropout). The dot product stays.
//!
//! ```text
//! out = (m ∘ P) v
//! dv  = (m ∘ P)ᵀ dout
//! dP  = m ∘ (dout vᵀ)
//! ```
//!
//! Only q, k and v are saved: out and the log-sum-exps are computed once more. This costs a hundredth of a training
//! step's time and saves a tenth of a block's kept activations. If [inputs alone](super::Keep::Inputs) are kept, q, k
//! and v are computed once more too.

use super::dropout::{Dropout, Residual};
use super::linear::{self, Linear};
use super::{Keep, floats, floats_mut, mat_mut};
use crate::params::{Init, Spec};
use crate::tree::{Dim, tree};
use crate::weights::Read;
use kernels::attention::{DQkv, Heads, HeadsMut, Layout};
use kernels::gemm::gemm;
use kernels::{Epilogue, Mat, Write, softmax};
use ndarray::{Array2, Array3, ArrayView2, ArrayViewMut2};
use std::ops::Range;

tree! {
    /// The rows of `in_proj_weight` and `in_proj_bias` are those of q, then of k, then of v.
    ///
    /// `in_proj_weight` (3d,d), `in_proj_bias` (3d), `out_proj` d → d
    Attention { in_proj_weight, in_proj_bias, out_proj: Linear }
}

tree! {
    /// The packed q, k and v of each row.
    ///
    /// `qkv` (N,3d), or (0,3d) if the backward pass computes them again
    Saved { qkv }
}

tree! {
    /// `qkv` is used where it is not saved; `out` and `dout` are the input of `out_proj` and its gradient, `lse` the
    /// log-sum-exp of each row of scores.
    ///
    /// `qkv`, `dqkv` (N,3d), `out`, `dout` (N,d), `lse` (H,N)
    Scratch { qkv, out, lse, dout, dqkv }
}

/// How the rows attend to each other.
#[derive(Clone, Copy, Debug)]
pub struct Shape<'a> {
    /// The rows of each sequence.
    pub ranges: &'a [Range<usize>],
    pub heads: usize,
    /// Whether each row sees only itself and the rows before it.
    pub causal: bool,
    /// What is dropped of the probabilities.
    pub dropout: Option<Dropout<'a>>,
}

impl Attention<Spec> {
    /// Returns the parameter table. Both biases start at zero, as in both of OpenAI's towers.
    pub fn spec(width: usize, in_proj: Init, out_proj: Init) -> Self {
        Attention {
            in_proj_weight: Spec::linear(3 * width, width, in_proj).rounds(),
            in_proj_bias: Spec::new(&[3 * width], Init::Const(0.0)),
            out_proj: Linear::spec(width, width, out_proj, Init::Const(0.0)).rounds(),
        }
    }
}

impl Saved<Dim> {
    pub fn dims(rows: usize, width: usize, keep: Keep) -> Self {
        Saved { qkv: Dim(keep.recomputable(rows), 3 * width) }
    }
}

impl Scratch<Dim> {
    pub fn dims(rows: usize, width: usize, heads: usize) -> Self {
        let (qkv, out) = (Dim(rows, 3 * width), Dim(rows, width));
        Scratch { qkv, out, lse: Dim(heads, rows), dout: out, dqkv: qkv }
    }
}

/// y = m ∘ (attention(x) W_outᵀ + b_out) + residual, with m of the residual's [dropout](super::dropout)
///
/// `x`, `residual`, `y` (N,d)
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
    let Scratch { qkv: buffer, out, lse, .. } = scratch;
    let mut qkv = if saved.qkv.is_empty() { buffer.view_mut() } else { saved.qkv.view_mut() };
    linear::forward(&in_proj(p), x, qkv.view_mut());
    attend(shape, qkv.view(), out.view_mut(), lse.view_mut());
    linear::forward_residual(&p.out_proj, out.view(), residual, y);
}

/// out = softmax(q kᵀ/√c) v
fn attend(shape: Shape, qkv: ArrayView2<f32>, out: ArrayViewMut2<f32>, lse: ArrayViewMut2<f32>) {
    let (q, k, v) = split(qkv);
    let width = out.ncols();
    let out = HeadsMut { data: floats_mut(out), row_stride: width };
    kernels::attention::forward(layout(shape, width), q, k, v, out, floats_mut(lse));
}

/// P = softmax(q kᵀ/√c + mask) of every head, which [`forward`] never stores, in one sequence
///
/// `x` (N,d); returns (H,N,N), whose rows add to 1
///
/// This is for those who want to see what attends to what: training and inference do without it.
#[track_caller]
pub fn probabilities(p: &Attention<impl Read>, heads: usize, causal: bool, x: ArrayView2<f32>) -> Array3<f32> {
    let (n, width) = x.dim();
    let mut qkv = Array2::zeros((n, 3 * width));
    linear::forward(&in_proj(p), x, qkv.view_mut());
    let (q, k, _) = split(qkv.view());
    let c = width / heads;
    let head =
        |Heads { data, row_stride }, h| Mat { data: &data[h * c..], rows: n, cols: c, row_stride, col_stride: 1 };
    let mut all = Array3::zeros((heads, n, n));
    for (h, mut probs) in all.outer_iter_mut().enumerate() {
        let scale = (c as f32).powf(-0.5);
        gemm(scale, head(q, h), head(k, h).t(), 0.0, mat_mut(probs.view_mut()), Epilogue::None);
        if causal {
            probs.indexed_iter_mut().filter(|((i, j), _)| j > i).for_each(|(_, score)| *score = f32::NEG_INFINITY);
        }
        softmax::forward(floats_mut(probs), n);
    }
    all
}

/// Estimates the root mean square of the scores q kᵀ/√c of rows that come from a LayerNorm with these gains
///
/// `gain` (d), `in_proj_weight` (3d,d)
///
/// ```text
/// rms(q kᵀ/√c) ≈ rms(q)·rms(k)      rms(q)² = Σᵢⱼ (Wᵢⱼ gainⱼ)²/d over the rows i of W that make q; so for k
/// ```
/// It takes the normalised columns for independent of each other, and queries for independent of keys.
pub fn score_size(gain: &[f32], in_proj_weight: &[f32]) -> f64 {
    let d = gain.len();
    let term = |(w, gain): (&f32, &f32)| f64::from(w * gain).powi(2);
    let square = |rows: &[f32]| rows.chunks_exact(d).flat_map(|row| row.iter().zip(gain)).map(term).sum::<f64>();
    let (q, rest) = in_proj_weight.split_at(d * d);
    (square(q) * square(&rest[..d * d])).sqrt() / d as f64
}

/// Adds to `g` the gradients of all parameters and writes to `dx`, or adds to it, the gradient of x. dy is the gradient
/// of what m is applied to, and the residual has a gradient of its own.
///
/// `x`, `dy`, `dx` (N,d)
#[track_caller]
pub fn backward(
    p: &Attention<&[f32]>,
    shape: Shape,
    x: ArrayView2<f32>,
    saved: &Saved<ArrayViewMut2<f32>>,
    dy: ArrayView2<f32>,
    write: Write,
    dx: ArrayViewMut2<f32>,
    scratch: &mut Scratch<ArrayViewMut2<f32>>,
    g: &mut Attention<&mut [f32]>,
) {
    let Scratch { qkv: buffer, out, lse, dout, dqkv } = scratch;
    let qkv = if saved.qkv.is_empty() {
        linear::forward(&in_proj(p), x, buffer.view_mut());
        buffer.view()
    } else {
        saved.qkv.view()
    };
    attend(shape, qkv, out.view_mut(), lse.view_mut());
    // in the forward pass: y = out W_outᵀ + b_out
    linear::backward(&p.out_proj, out.view(), dy, Write::Set, dout.view_mut(), &mut g.out_proj);
    // in the forward pass: out = softmax(q kᵀ/√c) v
    let (q, k, v) = split(qkv);
    let width = x.ncols();
    let heads = |data| Heads { data, row_stride: width };
    let (out, dout) = (heads(floats(out.view())), heads(floats(dout.view())));
    let packed = DQkv::Packed(floats_mut(dqkv.view_mut()));
    kernels::attention::backward(layout(shape, width), q, k, v, out, floats(lse.view()), dout, packed);
    // in the forward pass: qkv = x W_inᵀ + b_in
    let mut g = Linear { weight: &mut *g.in_proj_weight, bias: &mut *g.in_proj_bias };
    linear::backward(&in_proj(p), x, dqkv.view(), write, dx, &mut g);
}

/// Returns the packed input projection as a linear layer.
fn in_proj<R: Read>(p: &Attention<R>) -> Linear<R> {
    Linear { weight: p.in_proj_weight, bias: p.in_proj_bias }
}

/// Returns the columns of q, k and v in packed rows.
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
        dropout: shape.dropout,
    }
}
