//! Multi-head cross-attention: texts look at pictures (Vaswani et al. 2017, section 3.2.3; Li et al. 2022, section 3.1).
//!
//! Queries come from the rows x of the texts, keys and values from the rows u of the source, which may have another
//! width.
//!
//! ```text
//! q     = x W_qᵀ + b_q
//! [k|v] = u W_kvᵀ + b_kv
//! outₕ  = Pₕ vₕ                       Pₕ = softmax(qₕ kₕᵀ/√c)
//! y     = [out₁|…|out_H] W_outᵀ + b_out + residual
//! ```
//!
//! Nothing is masked: every text sees all rows of its picture.
//!
//! Keys and values depend on the picture alone. So [`keys`] computes them once, for every text, beam and step that
//! looks at the picture. Sequence i here is a picture: its queries are the rows of all texts that look at it, end to
//! end.
//!
//! # Derivation
//! For each head as in [self-attention](super::attention), then
//!
//! ```text
//! dx  = dq W_q
//! du += [dk|dv] W_kv
//! ```
//!
//! The source is read by every layer and by other losses as well, so its gradient is added to what they have left
//! there. The sums over all queries of a picture make dk and dv, however many texts there are; so it costs one product
//! a picture.

use super::dropout::{Dropout, Residual};
use super::linear::{self, Linear};
use super::pooled_attention::heads;
use super::{floats, floats_mut};
use crate::params::{Init, Spec};
use crate::tree::{Dim, tree};
use crate::weights::Read;
use kernels::Write;
use kernels::attention::{DQkv, Heads, HeadsMut, Layout};
use ndarray::{ArrayView2, ArrayViewMut2};
use std::ops::Range;

tree! {
    /// The rows of `key_value` are those of k, then of v.
    ///
    /// `query` d → d, `key_value` D → 2d, `out` d → d
    CrossAttention { query: Linear, key_value: Linear, out: Linear }
}

tree! {
    /// The queries, the input of the output projection, and the log-sum-exp of each row of scores.
    ///
    /// `q`, `out` (N,d), `lse` (H,N)
    Saved { q, out, lse }
}

tree! {
    /// The gradients of `out` and `q`.
    ///
    /// `dout`, `dq` (N,d)
    Scratch { dout, dq }
}

/// Which rows look at which.
#[derive(Clone, Copy, Debug)]
pub struct Shape<'a> {
    /// The rows of all texts that look at each picture.
    pub queries: &'a [Range<usize>],
    /// The rows of each picture in the source.
    pub source: &'a [Range<usize>],
    pub heads: usize,
    /// What is dropped of the probabilities.
    pub dropout: Option<Dropout<'a>>,
}

impl CrossAttention<Spec> {
    /// Returns the parameter table. All biases start at zero.
    pub fn spec(width: usize, source: usize, init: Init) -> Self {
        let linear = |inputs, outputs| Linear::spec(inputs, outputs, init, Init::Const(0.0));
        CrossAttention { query: linear(width, width), key_value: linear(source, 2 * width), out: linear(width, width) }
    }
}

impl Saved<Dim> {
    pub fn dims(rows: usize, width: usize, heads: usize) -> Self {
        Saved { q: Dim(rows, width), out: Dim(rows, width), lse: Dim(heads, rows) }
    }
}

impl Scratch<Dim> {
    pub fn dims(rows: usize, width: usize) -> Self {
        Scratch { dout: Dim(rows, width), dq: Dim(rows, width) }
    }
}

/// kv = u W_kvᵀ + b_kv
///
/// `source` u (M,D), `kv` (M,2d)
#[track_caller]
pub fn keys(p: &CrossAttention<impl Read>, source: ArrayView2<f32>, kv: ArrayViewMut2<f32>) {
    linear::forward(&p.key_value, source, kv);
}

/// du = dkv W_kv, dW_kv += dkvᵀ u, db_kv += Σ dkv over the rows
///
/// `source` u, `dsource` (M,D), `dkv` (M,2d)
///
/// du is added to what the other layers and losses that read the source have left in `dsource`.
#[track_caller]
pub fn backward_keys(
    p: &CrossAttention<&[f32]>,
    source: ArrayView2<f32>,
    dkv: ArrayView2<f32>,
    dsource: ArrayViewMut2<f32>,
    g: &mut CrossAttention<&mut [f32]>,
) {
    linear::backward(&p.key_value, source, dkv, Write::Add, dsource, &mut g.key_value);
}

/// y = m ∘ (softmax(q kᵀ/√c) v W_outᵀ + b_out) + residual, with m of the residual's [dropout](super::dropout)
///
/// `x`, `residual`, `y` (N,d), `kv` (M,2d)
#[track_caller]
pub fn forward<'a>(
    p: &CrossAttention<impl Read>,
    shape: Shape,
    x: ArrayView2<f32>,
    kv: ArrayView2<f32>,
    residual: impl Into<Residual<'a>>,
    y: ArrayViewMut2<f32>,
    saved: &mut Saved<ArrayViewMut2<f32>>,
) {
    let width = x.ncols();
    linear::forward(&p.query, x, saved.q.view_mut());
    let (q, k, v) = heads(saved.q.view(), kv);
    let out = HeadsMut { data: floats_mut(saved.out.view_mut()), row_stride: width };
    kernels::attention::forward(layout(shape, width), q, k, v, out, floats_mut(saved.lse.view_mut()));
    linear::forward_residual(&p.out, saved.out.view(), residual, y);
}

/// Writes `dx`, or adds to it, adds to `dkv` or sets it, and adds to `g` the gradients of `query` and `out`. Those of
/// `key_value` are left to [`backward_keys`]. dy is the gradient of what m is applied to, and the residual has a
/// gradient of its own.
///
/// `x`, `dy`, `dx` (N,d), `kv`, `dkv` (M,2d)
#[track_caller]
pub fn backward(
    p: &CrossAttention<&[f32]>,
    shape: Shape,
    x: ArrayView2<f32>,
    kv: ArrayView2<f32>,
    saved: &Saved<ArrayViewMut2<f32>>,
    dy: ArrayView2<f32>,
    (write, dx): (Write, ArrayViewMut2<f32>),
    (write_kv, dkv): (Write, ArrayViewMut2<f32>),
    scratch: &mut Scratch<ArrayViewMut2<f32>>,
    g: &mut CrossAttention<&mut [f32]>,
) {
    let Scratch { dout, dq } = scratch;
    // in the forward pass: y = out W_outᵀ + b_out + residual
    linear::backward(&p.out, saved.out.view(), dy, Write::Set, dout.view_mut(), &mut g.out);
    // in the forward pass: out = softmax(q kᵀ/√c) v
    let (q, k, v) = heads(saved.q.view(), kv);
    let rows = |data| Heads { data, row_stride: x.ncols() };
    let (out, dout) = (rows(floats(saved.out.view())), rows(floats(dout.view())));
    let dqkv = DQkv::Split { dq: (floats_mut(dq.view_mut()), Write::Set), dkv: (floats_mut(dkv), write_kv) };
    kernels::attention::backward(layout(shape, x.ncols()), q, k, v, out, floats(saved.lse.view()), dout, dqkv);
    // in the forward pass: q = x W_qᵀ + b_q
    linear::backward(&p.query, x, dq.view(), write, dx, &mut g.query);
}

fn layout(shape: Shape<'_>, width: usize) -> Layout<'_> {
    let Shape { queries, source, heads, dropout } = shape;
    assert_eq!(width % heads, 0, "a width of {width} cannot be cut into {heads} heads");
    Layout { q: queries, kv: source, heads, head_dim: width / heads, causal: false, dropout }
}
