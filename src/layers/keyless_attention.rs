//! [Cross-attention](super::cross_attention) without keys and values, for inference, where few rows look at many.
//!
//! As in an [attention pool](super::attention_pool), each head of a row asks the rows u of the source themselves:
//!
//! ```text
//! Sⱼ  = ⟨q, W_k uⱼ + b_k⟩/√c = ⟨qw, uⱼ⟩ + a constant        qw = W_kᵀ q/√c
//! out = Σⱼ Pⱼ (W_v uⱼ + b_v) = W_v z + b_v                  z  = Σⱼ Pⱼ uⱼ
//! ```
//!
//! The softmax drops the constant, and with it `b_k`.
//!
//! # When it pays
//! N rows look at M rows. Keys and values take 2·M·D·d multiply-adds and attention to them 2·N·M·d. Without them `W_k`
//! and `W_v` take 2·N·D·d, and attention 2·N·H·M·D, for each head is as wide as the source. That is less for
//! N < M·D·d/(D·d + H·M·D − M·d): 62 rows in BLIP-base, where M is 577, d and D are 768 and H is 12.

use super::cross_attention::{CrossAttention, Saved, Shape};
use super::dropout::Residual;
use super::{floats, floats_mut, linear, mat, rows, rows_mut};
use crate::tree::{Dim, tree};
use crate::weights::Read;
use kernels::{Epilogue, Mat, MatMut, gemm::gemm, softmax};
use ndarray::{ArrayView2, ArrayViewMut2};

tree! {
    /// What the rows ask, and what they are told, in the letters of the formulas. Row n·H + h belongs to head h of row
    /// n.
    ///
    /// `qw`, `z` (N·H,D), `probs` (N·H,M)
    Scratch { qw, probs, z }
}

impl Scratch<Dim> {
    /// Returns the sizes for N rows that look at a source (M,D) each, or at less.
    pub fn dims(rows: usize, heads: usize, source: Dim) -> Self {
        let Dim(tokens, inputs) = source;
        let asked = Dim(rows * heads, inputs);
        Scratch { qw: asked, probs: Dim(rows * heads, tokens), z: asked }
    }
}

/// Whether all rows together take fewer multiply-adds without keys and values, at the width d of the queries and D of
/// the source.
pub fn pays(shape: Shape, width: usize, inputs: usize) -> bool {
    let Shape { queries, source, heads, .. } = shape;
    let rows: usize = queries.iter().map(|queries| queries.len()).sum();
    let tokens: usize = source.iter().map(|source| source.len()).sum();
    let pairs: usize = queries.iter().zip(source).map(|(queries, source)| queries.len() * source.len()).sum();
    rows * inputs * width + heads * pairs * inputs < tokens * inputs * width + pairs * width
}

/// y = softmax(q kᵀ/√c) v W_outᵀ + b_out + residual
///
/// `x`, `residual`, `y` (N,d), `source` u (M,D)
///
/// That is what [`cross_attention::forward`](super::cross_attention::forward) computes.
///
/// # Panics
/// If anything is to be dropped: this has no backward pass, and no probabilities to drop were tried.
#[track_caller]
pub fn forward<'a>(
    p: &CrossAttention<impl Read>,
    shape: Shape,
    x: ArrayView2<f32>,
    source: ArrayView2<f32>,
    residual: impl Into<Residual<'a>>,
    y: ArrayViewMut2<f32>,
    saved: &mut Saved<ArrayViewMut2<f32>>,
    scratch: &mut Scratch<ArrayViewMut2<f32>>,
) {
    let (width, heads) = (x.ncols(), shape.heads);
    assert_eq!(width % heads, 0, "a width of {width} cannot be cut into {heads} heads");
    assert!(shape.dropout.is_none(), "attention without keys is for inference");
    linear::forward(&p.query, x, saved.q.view_mut());
    ask(p, heads, saved.q.view(), scratch.qw.view_mut());
    for (queries, tokens) in shape.queries.iter().zip(shape.source) {
        let some = queries.start * heads..queries.end * heads;
        look(
            rows(scratch.qw.view(), &some),
            rows(source, tokens),
            scratch.probs.view_mut(),
            rows_mut(scratch.z.view_mut(), &some),
        );
    }
    answer(p, heads, scratch.z.view(), saved.out.view_mut());
    linear::forward_residual(&p.out, saved.out.view(), residual, y);
}

/// qw = qₕ W_kₕ/√c, for each head h
///
/// `q` (N,d), `qw` (N·H,D)
fn ask(p: &CrossAttention<impl Read>, heads: usize, q: ArrayView2<f32>, qw: ArrayViewMut2<f32>) {
    let (n, width) = q.dim();
    let (c, inputs) = (width / heads, qw.ncols());
    let (q, qw, scale) = (floats(q), floats_mut(qw), (c as f32).powf(-0.5));
    for h in 0..heads {
        for (columns, w) in p.key_value.weight.weight().matrices(h * c..(h + 1) * c, inputs) {
            // The first panel of a head sets, the others add.
            let beta = if columns.start == h * c { 0.0 } else { 1.0 };
            let q = Mat {
                data: q.get(columns.start..).unwrap_or(&[]),
                rows: n,
                cols: w.rows,
                row_stride: width,
                col_stride: 1,
            };
            let qw = MatMut {
                data: qw.get_mut(h * inputs..).unwrap_or(&mut []),
                rows: n,
                cols: inputs,
                row_stride: heads * inputs,
            };
            gemm(scale, q, w, beta, qw, Epilogue::None);
        }
    }
}

/// z = softmax(qw uᵀ) u
///
/// `qw`, `z` (N,D), `u` (M,D), `probs` (N,M) or longer
fn look(qw: ArrayView2<f32>, u: ArrayView2<f32>, probs: ArrayViewMut2<f32>, z: ArrayViewMut2<f32>) {
    let (n, m) = (qw.nrows(), u.nrows());
    let probs = &mut floats_mut(probs)[..n * m];
    gemm(1.0, mat(qw), mat(u).t(), 0.0, MatMut::new(probs, n, m), Epilogue::None);
    softmax::forward(probs, m);
    gemm(1.0, Mat::new(probs, n, m), mat(u), 0.0, super::mat_mut(z), Epilogue::None);
}

/// outₕ = zₕ W_vₕᵀ + b_vₕ, for each head h
///
/// `z` (N·H,D), `out` (N,d)
fn answer(p: &CrossAttention<impl Read>, heads: usize, z: ArrayView2<f32>, out: ArrayViewMut2<f32>) {
    let (n, width) = out.dim();
    let (c, inputs) = (width / heads, z.ncols());
    let (z, out, bias) = (floats(z), floats_mut(out), &p.key_value.bias.rows()[width..]);
    for h in 0..heads {
        for (rows, w) in p.key_value.weight.weight().matrices(width + h * c..width + (h + 1) * c, inputs) {
            let columns = rows.start - width..rows.end - width;
            let z = Mat {
                data: z.get(h * inputs..).unwrap_or(&[]),
                rows: n,
                cols: inputs,
                row_stride: heads * inputs,
                col_stride: 1,
            };
            let bias = Epilogue::Bias(&bias[columns.clone()]);
            let out = MatMut {
                data: out.get_mut(columns.start..).unwrap_or(&mut []),
                rows: n,
                cols: w.rows,
                row_stride: width,
            };
            gemm(1.0, z, w.t(), 0.0, out, bias);
        }
    }
}
