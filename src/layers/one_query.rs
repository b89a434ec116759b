//! Attention of one query a sequence, among the tokens themselves: without keys and without values.
//!
//! The rows of `W_k` and of `W_v` that belong to a head can go to its one query, and to what it takes home:
//!
//! ```text
//! k, v   = tokens W_kᵀ + b_k, tokens W_vᵀ + b_v
//! outₕ   = softmax(qₕ kₕᵀ/√c) vₕ            for each head h
//!
//! Sᵢ  = ⟨q, W_k tokenᵢ + b_k⟩/√c = ⟨qw, tokenᵢ⟩ + a constant        qw = W_kᵀ q/√c
//! out = Σᵢ Pᵢ (W_v tokenᵢ + b_v) = W_v z + b_v                      z  = Σᵢ Pᵢ tokenᵢ
//! ```
//!
//! The softmax drops the constant, and with it `b_k`. So the two products with all T tokens become two with B rows, and
//! attention is among the tokens themselves: 2·d² + 2·H·T·d multiplications a sequence instead of 2·T·d².
//!
//! # Derivation
//! Backwards along the same way, for each head; `b_k` has the gradient 0.
//!
//! ```text
//! dz       = W_vᵀ dout                  dW_v += dout zᵀ
//! dPᵢ      = ⟨dz, tokenᵢ⟩
//! dSᵢ      = Pᵢ (dPᵢ − Σⱼ Pⱼ dPⱼ)
//! dqw      = Σᵢ dSᵢ tokenᵢ
//! dtokenᵢ  = Pᵢ dz + dSᵢ qw
//! dq       = W_k dqw/√c                 dW_k += q dqwᵀ/√c
//! ```
//!
//! If all sequences are asked the same, there is one q, and its dqw is the sum over them.

use super::{floats, floats_mut};
use crate::tree::{Dim, tree};
use kernels::{Epilogue, Mat, MatMut, gemm::gemm, reduce, softmax};
use ndarray::{ArrayView2, ArrayViewMut2};

tree! {
    /// The projections of keys and values, but for the bias of the keys.
    ///
    /// `k`, `v` (d,d), `v_bias` (d)
    KeyValue { k, v, v_bias }
}

tree! {
    /// What the backward pass needs, in the letters of the derivation. The caller has put q there, of each sequence or
    /// one for all.
    ///
    /// `q` (B,d) or (1,d), `qw` (B·H,d) or (H,d), `probs` (B·H,T), `z` (B·H,d), `out` (B,d)
    Saved { q, qw, probs, z, out }
}

tree! {
    /// The gradients that live for one backward pass.
    ///
    /// `dout` (B,d), `dq` (B,d) or (1,d), `dqw` (B·H,d) or (H,d), `dz` (B·H,d), `dprobs` (B·H,T)
    Scratch { dout, dq, dqw, dz, dprobs }
}

/// The sizes of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The number T of its tokens.
    pub tokens: usize,
    /// The width d of a token, which all heads share.
    pub width: usize,
    /// The number H of heads.
    pub heads: usize,
}

impl Saved<Dim> {
    /// Returns the sizes for so many sequences, which are asked by so many queries: as many, or one.
    pub fn dims(shape: &Shape, sequences: usize, queries: usize) -> Self {
        let &Shape { tokens, width, heads } = shape;
        Saved {
            q: Dim(queries, width),
            qw: Dim(queries * heads, width),
            probs: Dim(sequences * heads, tokens),
            z: Dim(sequences * heads, width),
            out: Dim(sequences, width),
        }
    }
}

impl Scratch<Dim> {
    /// Returns the sizes for so many sequences and queries.
    pub fn dims(shape: &Shape, sequences: usize, queries: usize) -> Self {
        let Saved { q, qw, probs, z, out } = Saved::dims(shape, sequences, queries);
        Scratch { dout: out, dq: q, dqw: qw, dz: z, dprobs: probs }
    }
}

/// `saved.out` = softmax(q kᵀ/√c) v, for the queries in `saved.q`
///
/// `tokens` (B·T,d)
#[track_caller]
pub fn forward(p: KeyValue<&[f32]>, shape: &Shape, tokens: ArrayView2<f32>, saved: &mut Saved<ArrayViewMut2<f32>>) {
    let (sequences, queries) = shape.check(tokens, saved);
    let &Shape { heads, .. } = shape;
    let Saved { q, qw, probs, z, out } = saved;
    let (tokens, q, z_floats) = (floats(tokens), floats(q.view()), floats_mut(z.view_mut()));
    for h in 0..heads {
        let qw = shape.every_mut(floats_mut(qw.view_mut()), heads, h);
        gemm(shape.scale(), shape.columns(q, h), shape.head(p.k, h), 0.0, qw, Epilogue::None);
    }
    let qw = floats(qw.view());
    let probs = floats_mut(probs.view_mut());
    for n in 0..sequences {
        let (tokens, qw) = (shape.rows(tokens, shape.tokens, n), shape.rows(qw, heads, n % queries));
        gemm(1.0, qw, tokens.t(), 0.0, shape.scores_mut(probs, n), Epilogue::None);
    }
    softmax::forward(probs, shape.tokens);
    for n in 0..sequences {
        let (tokens, probs) = (shape.rows(tokens, shape.tokens, n), shape.scores(probs, n));
        gemm(1.0, probs, tokens, 0.0, shape.rows_mut(z_floats, heads, n), Epilogue::None);
    }
    for h in 0..heads {
        let bias = Epilogue::Bias(&p.v_bias[h * shape.head_width()..][..shape.head_width()]);
        let out = shape.columns_mut(floats_mut(out.view_mut()), h);
        gemm(1.0, shape.every(z_floats, heads, h), shape.head(p.v, h).t(), 0.0, out, bias);
    }
}

/// Computes dtokens, and dq in `scratch.dq`, from `scratch.dout` and what [`forward`] saved, and adds the parameters'
/// gradients to `g`.
///
/// `tokens`, `dtokens` (B·T,d)
#[track_caller]
pub fn backward(
    p: KeyValue<&[f32]>,
    shape: &Shape,
    tokens: ArrayView2<f32>,
    dtokens: ArrayViewMut2<f32>,
    saved: &Saved<ArrayViewMut2<f32>>,
    scratch: &mut Scratch<ArrayViewMut2<f32>>,
    g: KeyValue<&mut [f32]>,
) {
    shape.check(tokens, saved);
    let KeyValue { k: dk, v: dv, v_bias } = g;
    // in the forward pass: out = z W_vᵀ + b_v, head by head
    let (dout, z) = (floats(scratch.dout.view()), floats(saved.z.view()));
    reduce::add_column_sums(dout, v_bias);
    for h in 0..shape.heads {
        let (dout, dz) = (shape.columns(dout, h), floats_mut(scratch.dz.view_mut()));
        gemm(1.0, dout, shape.head(p.v, h), 0.0, shape.every_mut(dz, shape.heads, h), Epilogue::None);
        gemm(1.0, dout.t(), shape.every(z, shape.heads, h), 1.0, shape.head_mut(dv, h), Epilogue::None);
    }
    backward_scores(shape, floats(tokens), floats_mut(dtokens), saved, scratch);
    // in the forward pass: qw = q W_k/√c, head by head
    let (q, dqw) = (floats(saved.q.view()), floats(scratch.dqw.view()));
    for h in 0..shape.heads {
        let (dqw, dq) = (shape.every(dqw, shape.heads, h), floats_mut(scratch.dq.view_mut()));
        gemm(shape.scale(), dqw, shape.head(p.k, h).t(), 0.0, shape.columns_mut(dq, h), Epilogue::None);
        gemm(shape.scale(), shape.columns(q, h).t(), dqw, 1.0, shape.head_mut(dk, h), Epilogue::None);
    }
}

/// Goes back through z = P tokens and P = softmax(qw·tokens), sequence by sequence.
fn backward_scores(
    shape: &Shape,
    tokens: &[f32],
    dtokens: &mut [f32],
    saved: &Saved<ArrayViewMut2<f32>>,
    scratch: &mut Scratch<ArrayViewMut2<f32>>,
) {
    let Scratch { dz, dqw, dprobs, .. } = scratch;
    let (dz, dqw) = (floats(dz.view()), floats_mut(dqw.view_mut()));
    let dprobs = floats_mut(dprobs.view_mut());
    let (probs, qw) = (floats(saved.probs.view()), floats(saved.qw.view()));
    let (sequences, queries, heads) = (saved.out.nrows(), saved.q.nrows(), shape.heads);
    for n in 0..sequences {
        let (tokens, probs) = (shape.rows(tokens, shape.tokens, n), shape.scores(probs, n));
        gemm(1.0, shape.rows(dz, heads, n), tokens.t(), 0.0, shape.scores_mut(dprobs, n), Epilogue::None);
        let dtokens = shape.rows_mut(dtokens, shape.tokens, n);
        gemm(1.0, probs.t(), shape.rows(dz, heads, n), 0.0, dtokens, Epilogue::None);
    }
    softmax::backward(probs, dprobs, shape.tokens);
    for n in 0..sequences {
        let (tokens, dscores) = (shape.rows(tokens, shape.tokens, n), shape.scores(dprobs, n));
        // The first sequence of a query sets, the others add.
        let beta = if n < queries { 0.0 } else { 1.0 };
        gemm(1.0, dscores, tokens, beta, shape.rows_mut(dqw, heads, n % queries), Epilogue::None);
        let dtokens = shape.rows_mut(dtokens, shape.tokens, n);
        gemm(1.0, dscores.t(), shape.rows(qw, heads, n % queries), 1.0, dtokens, Epilogue::None);
    }
}

impl Shape {
    /// Returns the numbers of sequences and of queries.
    #[track_caller]
    fn check(&self, tokens: ArrayView2<f32>, saved: &Saved<ArrayViewMut2<f32>>) -> (usize, usize) {
        let (sequences, queries) = (saved.out.nrows(), saved.q.nrows());
        let fits = self.width.is_multiple_of(self.heads)
            && tokens.dim() == (sequences * self.tokens, self.width)
            && (queries == 1 || queries == sequences);
        assert!(fits, "one_query: {self:?} of tokens {:?}, {queries} queries of {sequences}", tokens.dim());
        (sequences, queries)
    }

    /// Returns the width of a head, c = d/H.
    fn head_width(&self) -> usize {
        self.width / self.heads
    }

    /// Returns the factor of the scores, 1/√c.
    fn scale(&self) -> f32 {
        (self.head_width() as f32).powf(-0.5)
    }

    /// Views the weights (c,d) of head h in a projection (d,d).
    fn head<'a>(&self, weight: &'a [f32], h: usize) -> Mat<'a> {
        let len = self.head_width() * self.width;
        Mat::new(&weight[h * len..][..len], self.head_width(), self.width)
    }

    /// Views the gradient (c,d) of head h's weights in that of a projection (d,d).
    fn head_mut<'a>(&self, weight: &'a mut [f32], h: usize) -> MatMut<'a> {
        let len = self.head_width() * self.width;
        MatMut::new(&mut weight[h * len..][..len], self.head_width(), self.width)
    }

    /// Views the rows of sequence n, where `group` rows make a sequence.
    fn rows<'a>(&self, x: &'a [f32], group: usize, n: usize) -> Mat<'a> {
        let len = group * self.width;
        Mat::new(&x[n * len..][..len], group, self.width)
    }

    /// Views the rows of sequence n, where `group` rows make a sequence, to write them.
    fn rows_mut<'a>(&self, x: &'a mut [f32], group: usize, n: usize) -> MatMut<'a> {
        let len = group * self.width;
        MatMut::new(&mut x[n * len..][..len], group, self.width)
    }

    /// Views the i-th row of every sequence, where `group` rows make a sequence.
    pub(super) fn every<'a>(&self, x: &'a [f32], group: usize, i: usize) -> Mat<'a> {
        let (row_stride, cols) = (group * self.width, self.width);
        Mat { data: &x[(i * cols).min(x.len())..], rows: x.len() / row_stride, cols, row_stride, col_stride: 1 }
    }

    /// Views the i-th row of every sequence, where `group` rows make a sequence, to write them.
    pub(super) fn every_mut<'a>(&self, x: &'a mut [f32], group: usize, i: usize) -> MatMut<'a> {
        let (row_stride, cols, len) = (group * self.width, self.width, x.len());
        MatMut { data: &mut x[(i * cols).min(len)..], rows: len / row_stride, cols, row_stride }
    }

    /// Views the columns that belong to head h.
    fn columns<'a>(&self, x: &'a [f32], h: usize) -> Mat<'a> {
        let (row_stride, cols) = (self.width, self.head_width());
        Mat { data: &x[(h * cols).min(x.len())..], rows: x.len() / row_stride, cols, row_stride, col_stride: 1 }
    }

    /// Views the columns that belong to head h, to write them.
    fn columns_mut<'a>(&self, x: &'a mut [f32], h: usize) -> MatMut<'a> {
        let (row_stride, cols, len) = (self.width, self.head_width(), x.len());
        MatMut { data: &mut x[(h * cols).min(len)..], rows: len / row_stride, cols, row_stride }
    }

    /// Views the scores (H,T) of sequence n.
    fn scores<'a>(&self, x: &'a [f32], n: usize) -> Mat<'a> {
        let len = self.heads * self.tokens;
        Mat::new(&x[n * len..][..len], self.heads, self.tokens)
    }

    /// Views the scores (H,T) of sequence n, to write them.
    fn scores_mut<'a>(&self, x: &'a mut [f32], n: usize) -> MatMut<'a> {
        let len = self.heads * self.tokens;
        MatMut::new(&mut x[n * len..][..len], self.heads, self.tokens)
    }
}
