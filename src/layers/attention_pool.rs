//! Attention pooling (Radford et al. 2021, section 2.4; `AttentionPool2d` in OpenAI's code): the mean of all pixels is
//! the one query, and all pixels and the mean itself are keys and values.
//!
//! ```text
//! token₀ = mean of the pixels + pos₀        tokenᵢ = pixelᵢ + posᵢ
//! q      = token₀ W_qᵀ + b_q
//! k, v   = tokens W_kᵀ + b_k, tokens W_vᵀ + b_v
//! outₕ   = softmax(qₕ kₕᵀ/√c) vₕ            for each head h
//! y      = [out₁|…|out_H] W_cᵀ + b_c
//! ```
//!
//! # One query needs no keys and no values
//! The rows of `W_k` and of `W_v` that belong to a head can go to its one query, and to what it takes home:
//!
//! ```text
//! Sᵢ  = ⟨q, W_k tokenᵢ + b_k⟩/√c = ⟨qw, tokenᵢ⟩ + a constant        qw = W_kᵀ q/√c
//! out = Σᵢ Pᵢ (W_v tokenᵢ + b_v) = W_v z + b_v                      z  = Σᵢ Pᵢ tokenᵢ
//! ```
//!
//! The softmax drops the constant, and with it `b_k`. So the two products with all T tokens become two with B rows, and
//! attention is among the tokens themselves: 2·C² + 2·H·T·C multiplications a picture instead of 2·T·C², 28 times fewer
//! in RN50.
//!
//! # Derivation
//! Backwards along the same way, for each head; `b_k` has the gradient 0.
//!
//! ```text
//! dz       = W_vᵀ dout                  dW_v += dout zᵀ
//! dPᵢ      = ⟨dz, tokenᵢ⟩
//! dSᵢ      = Pᵢ (dPᵢ − Σⱼ Pⱼ dPⱼ)
//! dqw      = Σᵢ dSᵢ tokenᵢ
//! dtokenᵢ += Pᵢ dz + dSᵢ qw
//! dq       = W_k dqw/√c                 dW_k += q dqwᵀ/√c
//! ```

use super::linear::{self, Linear};
use super::{floats, floats_mut};
use crate::params::{Init, Spec};
use crate::tree::{Dim, tree};
use crate::weights::Read;
use kernels::tokens::{self, First};
use kernels::{Epilogue, Mat, MatMut, Write, gemm::gemm, reduce, softmax};
use ndarray::{ArrayView2, ArrayView4, ArrayViewMut2, ArrayViewMut4};

tree! {
    /// The parameters of the pool: three projections map C → C, and `c_proj` maps C → e.
    ///
    /// `positional_embedding` (T,C)
    AttentionPool { positional_embedding, k_proj: Linear, q_proj: Linear, v_proj: Linear, c_proj: Linear }
}

tree! {
    /// What the backward pass needs, in the letters of the derivation.
    ///
    /// `tokens` (B·T,C), `q`, `out` (B,C), `qw`, `z` (B·H,C), `probs` (B·H,T)
    Saved { tokens, q, qw, probs, z, out }
}

tree! {
    /// The gradients that live for one backward pass.
    ///
    /// `dtokens` (B·T,C), `dout`, `dq` (B,C), `dz` (B·H,C), `dprobs` (B·H,T)
    Scratch { dtokens, dout, dq, dz, dprobs }
}

/// The sizes of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The number of a picture's pixels.
    pub pixels: usize,
    /// The number C of a pixel's channels, which all heads share.
    pub channels: usize,
    /// The number H of heads.
    pub heads: usize,
    /// The width e of the output.
    pub embed_dim: usize,
}

impl Shape {
    /// Returns the number of a picture's tokens, T = 1 + pixels.
    pub fn tokens(&self) -> usize {
        1 + self.pixels
    }

    /// Returns the width of a head, c = C/H.
    fn head_width(&self) -> usize {
        self.channels / self.heads
    }

    /// Views the weights (c,C) of head h in a projection (C,C).
    fn head<'a>(&self, weight: &'a [f32], h: usize) -> Mat<'a> {
        let len = self.head_width() * self.channels;
        Mat::new(&weight[h * len..][..len], self.head_width(), self.channels)
    }

    /// Views the gradient (c,C) of head h's weights in that of a projection (C,C).
    fn head_mut<'a>(&self, weight: &'a mut [f32], h: usize) -> MatMut<'a> {
        let len = self.head_width() * self.channels;
        MatMut::new(&mut weight[h * len..][..len], self.head_width(), self.channels)
    }

    /// Returns the parameter table, initialised as OpenAI does.
    pub fn spec(&self) -> AttentionPool<Spec> {
        let Shape { channels, embed_dim, .. } = *self;
        let weight = Init::Normal((channels as f32).powf(-0.5));
        let bias = linear::default_init(channels);
        // A plain layout, because the weights are cut by heads and read both across and along their rows.
        let proj = || Linear { weight: Spec::new(&[channels, channels], weight), bias: Spec::new(&[channels], bias) };
        AttentionPool {
            positional_embedding: Spec::new(&[self.tokens(), channels], weight),
            k_proj: proj(),
            q_proj: proj(),
            v_proj: proj(),
            c_proj: Linear::spec(channels, embed_dim, weight, bias),
        }
    }

    #[track_caller]
    fn check(&self, x: (usize, usize, usize, usize), y: (usize, usize)) {
        assert!(
            self.channels.is_multiple_of(self.heads)
                && (x.1 * x.2, x.3) == (self.pixels, self.channels)
                && y == (x.0, self.embed_dim),
            "attention_pool: {self:?} from x {x:?} to y {y:?}"
        );
    }
}

impl Saved<Dim> {
    /// Returns the sizes for this many pictures.
    pub fn dims(shape: &Shape, pictures: usize) -> Self {
        let &Shape { channels, heads, .. } = shape;
        let (row, heads) = (Dim(pictures, channels), pictures * heads);
        Saved {
            tokens: Dim(pictures * shape.tokens(), channels),
            q: row,
            qw: Dim(heads, channels),
            probs: Dim(heads, shape.tokens()),
            z: Dim(heads, channels),
            out: row,
        }
    }
}

impl Scratch<Dim> {
    /// Returns the sizes for this many pictures.
    pub fn dims(shape: &Shape, pictures: usize) -> Self {
        let Saved { tokens, q, z, probs, .. } = Saved::dims(shape, pictures);
        Scratch { dtokens: tokens, dout: q, dq: q, dz: z, dprobs: probs }
    }
}

/// y = out W_cᵀ + b_c, where out is attention with the mean as its query
///
/// `x` (B,height,width,C), `y` (B,e)
#[track_caller]
pub fn forward(
    p: &AttentionPool<impl Read>,
    shape: &Shape,
    x: ArrayView4<f32>,
    y: ArrayViewMut2<f32>,
    saved: &mut Saved<ArrayViewMut2<f32>>,
) {
    shape.check(x.dim(), y.dim());
    let &Shape { channels, heads, .. } = shape;
    let Saved { tokens, q, qw, probs, z, out } = saved;
    let pictures = q.nrows();
    let pixels = floats(x);
    let positions = p.positional_embedding.rows();
    tokens::forward(First::Mean, pixels, positions, channels, floats_mut(tokens.view_mut()));

    let tokens = floats(tokens.view());
    let (queries, w_q) =
        (every(tokens, shape.tokens(), 0, shape), Mat::new(p.q_proj.weight.rows(), channels, channels));
    let bias = Epilogue::Bias(p.q_proj.bias.rows());
    gemm(1.0, queries, w_q.t(), 0.0, MatMut::new(floats_mut(q.view_mut()), pictures, channels), bias);
    for h in 0..heads {
        let qw = every_mut(floats_mut(qw.view_mut()), heads, h, shape);
        gemm(
            scale(shape),
            columns(floats(q.view()), h, shape),
            shape.head(p.k_proj.weight.rows(), h),
            0.0,
            qw,
            Epilogue::None,
        );
    }
    for n in 0..pictures {
        let (tokens, qw) = (rows(tokens, shape.tokens(), n, shape), rows(floats(qw.view()), heads, n, shape));
        let scores = scores_mut(floats_mut(probs.view_mut()), n, shape);
        gemm(1.0, qw, tokens.t(), 0.0, scores, Epilogue::None);
    }
    softmax::forward(floats_mut(probs.view_mut()), shape.tokens());
    for n in 0..pictures {
        let (tokens, probs) = (rows(tokens, shape.tokens(), n, shape), scores(floats(probs.view()), n, shape));
        gemm(1.0, probs, tokens, 0.0, rows_mut(floats_mut(z.view_mut()), heads, n, shape), Epilogue::None);
    }
    for h in 0..heads {
        let bias = Epilogue::Bias(&p.v_proj.bias.rows()[h * shape.head_width()..][..shape.head_width()]);
        let out = columns_mut(floats_mut(out.view_mut()), h, shape);
        gemm(1.0, every(floats(z.view()), heads, h, shape), shape.head(p.v_proj.weight.rows(), h).t(), 0.0, out, bias);
    }
    linear::forward(&p.c_proj, out.view(), y);
}

/// Computes dx from dy and what [`forward`] saved, and adds the parameters' gradients to `g`.
///
/// `dy` (B,e), `dx` (B,height,width,C)
#[track_caller]
pub fn backward(
    p: &AttentionPool<&[f32]>,
    shape: &Shape,
    dy: ArrayView2<f32>,
    dx: ArrayViewMut4<f32>,
    saved: &Saved<ArrayViewMut2<f32>>,
    scratch: &mut Scratch<ArrayViewMut2<f32>>,
    g: &mut AttentionPool<&mut [f32]>,
) {
    shape.check(dx.dim(), dy.dim());
    // in the forward pass: y = out W_cᵀ + b_c
    linear::backward(&p.c_proj, saved.out.view(), dy, Write::Set, scratch.dout.view_mut(), &mut g.c_proj);
    backward_values(p, shape, saved, scratch, g);
    backward_scores(shape, saved, scratch);
    backward_query(p, shape, saved, scratch, g);

    // in the forward pass: tokens = [mean | pixels] + positions
    let dtokens = floats(scratch.dtokens.view());
    tokens::backward_positions(dtokens, shape.tokens(), shape.channels, g.positional_embedding);
    tokens::backward(First::Mean, dtokens, shape.tokens(), shape.channels, floats_mut(dx));
}

/// Goes back through out = z W_vᵀ + b_v, head by head.
fn backward_values(
    p: &AttentionPool<&[f32]>,
    shape: &Shape,
    saved: &Saved<ArrayViewMut2<f32>>,
    scratch: &mut Scratch<ArrayViewMut2<f32>>,
    g: &mut AttentionPool<&mut [f32]>,
) {
    let (dout, z) = (floats(scratch.dout.view()), floats(saved.z.view()));
    reduce::add_column_sums(dout, g.v_proj.bias);
    for h in 0..shape.heads {
        let dout = columns(dout, h, shape);
        let dz = every_mut(floats_mut(scratch.dz.view_mut()), shape.heads, h, shape);
        gemm(1.0, dout, shape.head(p.v_proj.weight, h), 0.0, dz, Epilogue::None);
        let dweight = shape.head_mut(g.v_proj.weight, h);
        gemm(1.0, dout.t(), every(z, shape.heads, h, shape), 1.0, dweight, Epilogue::None);
    }
}

/// Goes back through z = P tokens and P = softmax(qw·tokens), picture by picture. `dz` holds dqw on return.
fn backward_scores(shape: &Shape, saved: &Saved<ArrayViewMut2<f32>>, scratch: &mut Scratch<ArrayViewMut2<f32>>) {
    let Scratch { dtokens, dz, dprobs, .. } = scratch;
    let (dtokens, dz) = (floats_mut(dtokens.view_mut()), floats_mut(dz.view_mut()));
    let dprobs = floats_mut(dprobs.view_mut());
    let (tokens, probs, qw) = (floats(saved.tokens.view()), floats(saved.probs.view()), floats(saved.qw.view()));
    let pictures = saved.q.nrows();
    for n in 0..pictures {
        let (tokens, probs) = (rows(tokens, shape.tokens(), n, shape), scores(probs, n, shape));
        gemm(1.0, rows(dz, shape.heads, n, shape), tokens.t(), 0.0, scores_mut(dprobs, n, shape), Epilogue::None);
        let dtokens = rows_mut(dtokens, shape.tokens(), n, shape);
        gemm(1.0, probs.t(), rows(dz, shape.heads, n, shape), 0.0, dtokens, Epilogue::None);
    }
    softmax::backward(probs, dprobs, shape.tokens());
    for n in 0..pictures {
        let (tokens, dscores) = (rows(tokens, shape.tokens(), n, shape), scores(dprobs, n, shape));
        gemm(1.0, dscores, tokens, 0.0, rows_mut(dz, shape.heads, n, shape), Epilogue::None);
        let dtokens = rows_mut(dtokens, shape.tokens(), n, shape);
        gemm(1.0, dscores.t(), rows(qw, shape.heads, n, shape), 1.0, dtokens, Epilogue::None);
    }
}

/// Goes back through qw = q W_k/√c, head by head, and q = token₀ W_qᵀ + b_q.
fn backward_query(
    p: &AttentionPool<&[f32]>,
    shape: &Shape,
    saved: &Saved<ArrayViewMut2<f32>>,
    scratch: &mut Scratch<ArrayViewMut2<f32>>,
    g: &mut AttentionPool<&mut [f32]>,
) {
    let Scratch { dtokens, dq, dz: dqw, .. } = scratch;
    let (dq, dqw) = (floats_mut(dq.view_mut()), floats(dqw.view()));
    for h in 0..shape.heads {
        let (dqw, q) = (every(dqw, shape.heads, h, shape), columns(floats(saved.q.view()), h, shape));
        let w_k = shape.head(p.k_proj.weight, h).t();
        gemm(scale(shape), dqw, w_k, 0.0, columns_mut(dq, h, shape), Epilogue::None);
        gemm(scale(shape), q.t(), dqw, 1.0, shape.head_mut(g.k_proj.weight, h), Epilogue::None);
    }
    let &Shape { channels, .. } = shape;
    reduce::add_column_sums(dq, g.q_proj.bias);
    let dq = Mat::new(dq, saved.q.nrows(), channels);
    let queries = every(floats(saved.tokens.view()), shape.tokens(), 0, shape);
    gemm(1.0, dq.t(), queries, 1.0, MatMut::new(g.q_proj.weight, channels, channels), Epilogue::None);
    let dqueries = every_mut(floats_mut(dtokens.view_mut()), shape.tokens(), 0, shape);
    gemm(1.0, dq, Mat::new(p.q_proj.weight, channels, channels), 1.0, dqueries, Epilogue::None);
}

/// Returns the factor of the scores, 1/√c.
fn scale(shape: &Shape) -> f32 {
    (shape.head_width() as f32).powf(-0.5)
}

/// Views the rows of picture n, where `group` rows make a picture.
fn rows<'a>(x: &'a [f32], group: usize, n: usize, shape: &Shape) -> Mat<'a> {
    let len = group * shape.channels;
    Mat::new(&x[n * len..][..len], group, shape.channels)
}

/// Views the rows of picture n, where `group` rows make a picture, to write them.
fn rows_mut<'a>(x: &'a mut [f32], group: usize, n: usize, shape: &Shape) -> MatMut<'a> {
    let len = group * shape.channels;
    MatMut::new(&mut x[n * len..][..len], group, shape.channels)
}

/// Views the i-th row of every picture, where `group` rows make a picture.
fn every<'a>(x: &'a [f32], group: usize, i: usize, shape: &Shape) -> Mat<'a> {
    let (row_stride, cols) = (group * shape.channels, shape.channels);
    Mat { data: &x[(i * cols).min(x.len())..], rows: x.len() / row_stride, cols, row_stride, col_stride: 1 }
}

/// Views the i-th row of every picture, where `group` rows make a picture, to write them.
fn every_mut<'a>(x: &'a mut [f32], group: usize, i: usize, shape: &Shape) -> MatMut<'a> {
    let (row_stride, cols, len) = (group * shape.channels, shape.channels, x.len());
    MatMut { data: &mut x[(i * cols).min(len)..], rows: len / row_stride, cols, row_stride }
}

/// Views the columns that belong to head h.
fn columns<'a>(x: &'a [f32], h: usize, shape: &Shape) -> Mat<'a> {
    let (row_stride, cols) = (shape.channels, shape.head_width());
    Mat { data: &x[(h * cols).min(x.len())..], rows: x.len() / row_stride, cols, row_stride, col_stride: 1 }
}

/// Views the columns that belong to head h, to write them.
fn columns_mut<'a>(x: &'a mut [f32], h: usize, shape: &Shape) -> MatMut<'a> {
    let (row_stride, cols, len) = (shape.channels, shape.head_width(), x.len());
    MatMut { data: &mut x[(h * cols).min(len)..], rows: len / row_stride, cols, row_stride }
}

/// Views the scores (H,T) of picture n.
fn scores<'a>(x: &'a [f32], n: usize, shape: &Shape) -> Mat<'a> {
    let len = shape.heads * shape.tokens();
    Mat::new(&x[n * len..][..len], shape.heads, shape.tokens())
}

/// Views the scores (H,T) of picture n, to write them.
fn scores_mut<'a>(x: &'a mut [f32], n: usize, shape: &Shape) -> MatMut<'a> {
    let len = shape.heads * shape.tokens();
    MatMut::new(&mut x[n * len..][..len], shape.heads, shape.tokens())
}
