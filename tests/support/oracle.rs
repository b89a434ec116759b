//! Every layer's forward pass in f64, written as plainly as possible: the specification by which outputs and gradients
//! of the fast code are checked. Layers that have a chapter in the [tour] are computed by the functions of that chapter.

use super::philox::{at, dropped, mask};
use clipwright::layers::attention::{Attention, Shape};
use clipwright::layers::attention_pool::{self, AttentionPool};
use clipwright::layers::batch_norm::BatchNorm;
use clipwright::layers::block::{Block, Size};
use clipwright::layers::bottleneck::{self, Bottleneck};
use clipwright::layers::conv2d::{self, Conv2d};
use clipwright::layers::cross_attention::{self, CrossAttention};
use clipwright::layers::dropout::{Dropout, Site};
use clipwright::layers::layer_norm::LayerNorm;
use clipwright::layers::linear::Linear;
use clipwright::layers::map_head::MapHead;
use clipwright::layers::mlp::Mlp;
use clipwright::layers::patch_embed::{CHANNELS, Grid, PatchEmbed};
use clipwright::layers::post_norm::{Rest, SelfAttention};
use clipwright::layers::sequences::Sequences;
use clipwright::tour::bridge::plain;
use clipwright::tour::chain_rule::Matrix;
use clipwright::tour::{self, convolution, gelu};
use kernels::Activation;
use ndarray::{Array2, ArrayView1, ArrayView2, Axis, Zip, s};
use std::cell::{Cell, RefCell};
use std::ops::Range;

/// y = x Wᵀ + b
pub fn linear(p: &Linear<&[f64]>, x: ArrayView2<f64>) -> Array2<f64> {
    array(&tour::linear::linear(&plain(x), &plain(matrix(p.weight, x.ncols())), p.bias))
}

/// y = x W, W stored (inputs, outputs)
pub fn projection(weight: &[f64], x: ArrayView2<f64>) -> Array2<f64> {
    let w = matrix(weight, weight.len() / x.ncols());
    Array2::from_shape_fn((x.nrows(), w.ncols()), |(n, o)| dot(x.row(n), w.column(o)))
}

/// y = (x − μ) / √(σ² + ε) ∘ weight + bias, μ and σ² over each row; σ² divides by d, not d − 1
pub fn layer_norm(p: &LayerNorm<&[f64]>, eps: f32, x: ArrayView2<f64>) -> Array2<f64> {
    array(&tour::layer_norm::layer_norm(&plain(x), p.weight, p.bias, f64::from(eps)))
}

/// y = x / |x|, row by row
pub fn normalize(x: ArrayView2<f64>) -> Array2<f64> {
    array(&tour::unit_length::unit(&plain(x)))
}

/// GELU: x·Φ(x), Φ the normal distribution. QuickGELU: x·sigmoid(1.702 x). The tanh form of GELU is spelt out
pub fn activation(activation: Activation, x: &Array2<f64>) -> Array2<f64> {
    match activation {
        Activation::Gelu => x.mapv(gelu::gelu),
        Activation::QuickGelu => x.mapv(gelu::quick_gelu),
        Activation::GeluTanh => x.mapv(|x| {
            let cubic = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
            0.5 * x * (1.0 + cubic.tanh())
        }),
    }
}

/// y = attention(x) W_outᵀ + b_out, for every sequence and every head separately
pub fn attention(p: &Attention<&[f64]>, shape: Shape, x: ArrayView2<f64>) -> Array2<f64> {
    let (rows, width) = x.dim();
    let qkv = linear(&Linear { weight: p.in_proj_weight, bias: p.in_proj_bias }, x);
    let mut out = Array2::zeros((rows, width));
    for rows in shape.ranges {
        for head in 0..shape.heads {
            let c = width / shape.heads;
            let columns = |third: usize| third * width + head * c..third * width + (head + 1) * c;
            let part = |third| qkv.slice(s![rows.clone(), columns(third)]);
            let m = |i: usize, j| shape.dropout.map_or(1.0, |dropout| mask(dropout, rows.start + i, head, j));
            let y = dropped_attention(part(0), part(1), part(2), shape.causal, m);
            out.slice_mut(s![rows.clone(), columns(0)]).assign(&y);
        }
    }
    linear(&p.out_proj, out.view())
}

/// y = cross-attention(x, source) W_outᵀ + b_out, for every picture and every head separately
pub fn cross_attention(
    p: &CrossAttention<&[f64]>,
    shape: cross_attention::Shape,
    x: ArrayView2<f64>,
    source: ArrayView2<f64>,
) -> Array2<f64> {
    let width = x.ncols();
    let (q, kv) = (linear(&p.query, x), linear(&p.key_value, source));
    let mut out = Array2::zeros(x.dim());
    for (queries, keys) in shape.queries.iter().zip(shape.source) {
        for head in 0..shape.heads {
            let c = width / shape.heads;
            let columns = head * c..(head + 1) * c;
            let part = |half| kv.slice(s![keys.clone(), half * width + columns.start..half * width + columns.end]);
            let q = q.slice(s![queries.clone(), columns.clone()]);
            let m = |i: usize, j| shape.dropout.map_or(1.0, |dropout| mask(dropout, queries.start + i, head, j));
            let y = dropped_attention(q, part(0), part(1), false, m);
            out.slice_mut(s![queries.clone(), columns]).assign(&y);
        }
    }
    linear(&p.out, out.view())
}

/// A post-norm block of which every row leaves.
///
/// ```text
/// own  = ln(x + m ∘ attention(x))
/// seen = cross_ln(own + m ∘ cross_attention(own))
/// y    = mlp_ln(seen + m ∘ mlp(seen))
/// ```
pub fn post_norm(
    attention: &SelfAttention<&[f64]>,
    rest: &Rest<&[f64]>,
    size: &Size,
    ranges: &[Range<usize>],
    look: Option<(cross_attention::Shape, ArrayView2<f64>)>,
    dropout: Option<Dropout>,
    x: ArrayView2<f64>,
) -> Array2<f64> {
    let shape = Shape { dropout: at(dropout, Site::Attention), ..size.attention(ranges) };
    let sum = dropped(dropout, Site::AttentionOutput, self::attention(&attention.attn, shape, x)) + x;
    let mut c = layer_norm(&attention.ln, size.eps, sum.view());
    if let Some((shape, source)) = look {
        let shape = cross_attention::Shape { dropout: at(dropout, Site::Cross), ..shape };
        let sum = dropped(dropout, Site::CrossOutput, cross_attention(&rest.cross, shape, c.view(), source)) + &c;
        c = layer_norm(&rest.cross_ln, size.eps, sum.view());
    }
    let sum = dropped(dropout, Site::Mlp, mlp(&rest.mlp, size.activation, c.view())) + &c;
    layer_norm(&rest.mlp_ln, size.eps, sum.view())
}

/// softmax(q kᵀ/√c) v. With `causal`, row i sees the rows 0..=i.
pub fn softmax_attention(q: ArrayView2<f64>, k: ArrayView2<f64>, v: ArrayView2<f64>, causal: bool) -> Array2<f64> {
    dropped_attention(q, k, v, causal, |_, _| 1.0)
}

/// (m ∘ softmax(q kᵀ/√c)) v, where `mask` gives m of a query and a key. With `causal`, row i sees the rows 0..=i.
fn dropped_attention(
    q: ArrayView2<f64>,
    k: ArrayView2<f64>,
    v: ArrayView2<f64>,
    causal: bool,
    mask: impl Fn(usize, usize) -> f64,
) -> Array2<f64> {
    if q.is_empty() {
        return Array2::zeros((0, v.ncols())); // a sequence that does not ask
    }
    let mut p = tour::attention::shares(&plain(q), &plain(k), causal);
    for (i, row) in p.iter_mut().enumerate() {
        row.iter_mut().enumerate().for_each(|(j, share)| *share *= mask(i, j));
    }
    array(&tour::attention::mix(&p, &plain(v)))
}

/// y = act(x W₁ᵀ + b₁) W₂ᵀ + b₂
pub fn mlp(p: &Mlp<&[f64]>, act: Activation, x: ArrayView2<f64>) -> Array2<f64> {
    linear(&p.c_proj, activation(act, &linear(&p.c_fc, x)).view())
}

/// y = x + mlp(ln_2(x))
pub fn feed_forward(ln_2: &LayerNorm<&[f64]>, p: &Mlp<&[f64]>, size: &Size, x: ArrayView2<f64>) -> Array2<f64> {
    mlp(p, size.activation, layer_norm(ln_2, size.eps, x).view()) + x
}

/// mid = x + m ∘ attention(ln_1(x)), y = mid + m ∘ mlp(ln_2(mid))
pub fn block(
    p: &Block<&[f64]>,
    size: &Size,
    ranges: &[Range<usize>],
    dropout: Option<Dropout>,
    x: ArrayView2<f64>,
) -> Array2<f64> {
    let branch = attention(&p.attn, size.attention(ranges), layer_norm(&p.ln_1, size.eps, x).view());
    let mid = dropped(dropout, Site::AttentionOutput, branch) + x;
    let branch = mlp(&p.mlp, size.activation, layer_norm(&p.ln_2, size.eps, mid.view()).view());
    dropped(dropout, Site::Mlp, branch) + mid
}

/// Returns the rows of x that leave the Transformer.
pub fn pooled(sequences: &Sequences, x: &Array2<f64>) -> Array2<f64> {
    Array2::from_shape_fn((sequences.pooled().len(), x.ncols()), |(s, i)| x[[sequences.pooled()[s] as usize, i]])
}

/// y\[r\] = table\[idᵣ\] + positional\[place of r in its sequence\]
pub fn token_embed(table: &[f64], positional: &[f64], width: usize, ids: &[u32], sequences: &Sequences) -> Array2<f64> {
    let [table, positional] = [table, positional].map(|table| plain(matrix(table, width)));
    let [ids, places] = [ids, sequences.positions()].map(|list| list.iter().map(|&i| i as usize).collect::<Vec<_>>());
    array(&tour::tokens::token_embed(&table, &positional, &ids, &places))
}

/// A linear layer of the patches; a class token in front; plus positions
pub fn patch_embed(p: &PatchEmbed<&[f64]>, grid: Grid, images: ArrayView2<f64>) -> Array2<f64> {
    let Grid { height, width: columns, patch_size: patch } = grid;
    let width = p.conv1_weight.len() / (CHANNELS * patch * patch);
    let Some(class) = p.class_embedding else { return bare_patches(p, grid, images) };
    let embed = tour::patches::Embed {
        weight: plain(matrix(p.conv1_weight, CHANNELS * patch * patch)),
        bias: p.conv1_bias.map_or(vec![0.0; width], <[f64]>::to_vec),
        class: class.to_vec(),
        positions: plain(matrix(p.positional_embedding, width)),
    };
    let grid = tour::patches::Grid { channels: CHANNELS, height, width: columns, patch };
    array(&tour::patches::patch_embed(&embed, grid, &plain(images)))
}

/// The patches through the linear map plus their positions, where pixels at the right and at the bottom may be left over
fn bare_patches(p: &PatchEmbed<&[f64]>, grid: Grid, images: ArrayView2<f64>) -> Array2<f64> {
    let Grid { height, width: columns, patch_size: patch } = grid;
    let len = CHANNELS * patch * patch;
    let (weight, across, patches) = (matrix(p.conv1_weight, len), columns / patch, grid.patches());
    let width = weight.nrows();
    Array2::from_shape_fn((images.nrows() * patches, width), |(row, o)| {
        let (picture, at) = (row / patches, row % patches);
        let pixel = |i: usize| {
            let (c, y, x) = (i / (patch * patch), i / patch % patch, i % patch);
            images[[picture, (c * height + at / across * patch + y) * columns + at % across * patch + x]]
        };
        let sum: f64 = (0..len).map(|i| weight[[o, i]] * pixel(i)).sum();
        sum + p.conv1_bias.map_or(0.0, |bias| bias[o]) + p.positional_embedding[at * width + o]
    })
}

/// y = x ∗ W; x has (n, y, x) in its rows
pub fn conv2d(
    p: &Conv2d<&[f64]>,
    shape: &conv2d::Shape,
    (_, height, width): Pictures,
    x: ArrayView2<f64>,
) -> Array2<f64> {
    let &conv2d::Shape { out_channels, kernel, stride, .. } = shape;
    let weight = plain(matrix(p.weight, p.weight.len() / out_channels));
    array(&convolution::conv(convolution::Conv { height, width, kernel, stride }, &plain(x), &weight))
}

/// Returns the numbers of a matrix of the tour.
fn array(x: &Matrix) -> Array2<f64> {
    Array2::from_shape_fn((x.len(), x[0].len()), |(i, j)| x[i][j])
}

/// A row-major matrix of `cols` columns.
fn matrix(x: &[f64], cols: usize) -> ArrayView2<'_, f64> {
    ArrayView2::from_shape((x.len() / cols, cols), x).expect("whole rows")
}

fn dot(a: ArrayView1<f64>, b: ArrayView1<f64>) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// y = (x − μ) / √(σ² + ε) ∘ weight + bias, μ and σ² over each column; σ² divides by N
pub fn batch_norm(p: &BatchNorm<&[f64]>, x: ArrayView2<f64>) -> Array2<f64> {
    array(&convolution::batch_norm(&plain(x), p.weight, p.bias, 1e-5))
}

/// y = (x − μ) / √(σ² + ε) ∘ weight + bias, μ and σ² from the running statistics
pub fn batch_norm_running(p: &BatchNorm<&[f64]>, x: ArrayView2<f64>) -> Array2<f64> {
    Array2::from_shape_fn(x.dim(), |(n, j)| {
        (x[[n, j]] - p.running_mean[j]) / (p.running_var[j] + 1e-5).sqrt() * p.weight[j] + p.bias[j]
    })
}

/// The ReLUs of a network, each of which stays open or shut as at the first point of evaluation.
///
/// The gradient at that point is the same, while a difference across a kink would be no derivative.
#[derive(Default)]
pub struct Relus {
    open: RefCell<Vec<Array2<bool>>>,
    next: Cell<usize>,
    margin: Cell<Option<f64>>,
}

impl Relus {
    /// The smallest |x| at the first point. An x that f32 rounds across 0 is open in one computation and shut in the
    /// other.
    pub fn margin(&self) -> f64 {
        self.margin.get().unwrap_or(f64::INFINITY)
    }

    /// Starts an evaluation; it must be called before each.
    pub fn restart(&self) -> &Self {
        self.next.set(0);
        self
    }

    /// max(0, x) at the first point
    pub fn apply(&self, x: Array2<f64>) -> Array2<f64> {
        let mut open = self.open.borrow_mut();
        let i = self.next.replace(self.next.get() + 1);
        if i == open.len() {
            open.push(x.mapv(|x| x > 0.0));
            self.margin.set(Some(x.iter().fold(self.margin(), |margin, x| margin.min(x.abs()))));
        }
        Zip::from(&x).and(&open[i]).map_collect(|&x, &open| if open { x } else { 0.0 })
    }
}

/// Each pixel is the mean of a square of pixels; pixels beyond the last square are dropped. x has (n, y, x) in its
/// rows.
pub fn avg_pool(k: usize, (pictures, height, width): Pictures, x: ArrayView2<f64>) -> Array2<f64> {
    let (out_height, out_width) = (height / k, width / k);
    Array2::from_shape_fn((pictures * out_height * out_width, x.ncols()), |(row, c)| {
        let (n, oy, ox) = (row / (out_height * out_width), row / out_width % out_height, row % out_width);
        let square = (0..k).flat_map(|dy| (0..k).map(move |dx| (oy * k + dy, ox * k + dx)));
        square.map(|(y, x_)| x[[(n * height + y) * width + x_, c]]).sum::<f64>() / (k * k) as f64
    })
}

/// One query, the mean of the pixels, in multi-head attention over the mean and the pixels, each plus its position
pub fn attention_pool(p: &AttentionPool<&[f64]>, shape: &attention_pool::Shape, x: ArrayView2<f64>) -> Array2<f64> {
    let (pixels, channels) = (shape.pixels, shape.channels);
    let c = channels / shape.heads;
    let mut out = Array2::zeros((x.nrows() / pixels, channels));
    for (n, mut out) in out.rows_mut().into_iter().enumerate() {
        let x = x.slice(s![n * pixels..(n + 1) * pixels, ..]);
        let mut tokens = Array2::zeros((1 + pixels, channels));
        tokens.row_mut(0).assign(&x.mean_axis(Axis(0)).expect("a pixel"));
        tokens.slice_mut(s![1.., ..]).assign(&x);
        tokens += &matrix(p.positional_embedding, channels);
        let q = linear(&p.q_proj, tokens.slice(s![..1, ..]));
        let (k, v) = (linear(&p.k_proj, tokens.view()), linear(&p.v_proj, tokens.view()));
        for head in 0..shape.heads {
            let part = s![.., head * c..(head + 1) * c];
            let y = softmax_attention(q.slice(part), k.slice(part), v.slice(part), false);
            out.slice_mut(s![head * c..(head + 1) * c]).assign(&y.row(0));
        }
    }
    linear(&p.c_proj, out.view())
}

/// z = attention of the probe to each picture's tokens, y = z + mlp(ln_2(z))
pub fn map_head(p: &MapHead<&[f64]>, size: &Size, tokens: usize, x: ArrayView2<f64>) -> Array2<f64> {
    let (d, c) = (size.width, size.width / size.heads);
    let project = |third: usize, x: ArrayView2<f64>| {
        let (weight, bias) = (&p.attn.in_proj_weight[third * d * d..], &p.attn.in_proj_bias[third * d..]);
        linear(&Linear { weight: &weight[..d * d], bias: &bias[..d] }, x)
    };
    let q = project(0, matrix(p.probe, d));
    let mut out = Array2::zeros((x.nrows() / tokens, d));
    for (n, mut out) in out.rows_mut().into_iter().enumerate() {
        let x = x.slice(s![n * tokens..(n + 1) * tokens, ..]);
        let (k, v) = (project(1, x), project(2, x));
        for head in 0..size.heads {
            let part = s![.., head * c..(head + 1) * c];
            let y = softmax_attention(q.slice(part), k.slice(part), v.slice(part), false);
            out.slice_mut(s![head * c..(head + 1) * c]).assign(&y.row(0));
        }
    }
    feed_forward(&p.ln_2, &p.mlp, size, linear(&p.attn.out_proj, out.view()).view())
}

/// Sizes of a batch: pictures, height, width.
pub type Pictures = (usize, usize, usize);

/// A BatchNorm with the statistics of the batch or the running ones.
pub type Norm = fn(&BatchNorm<&[f64]>, ArrayView2<f64>) -> Array2<f64>;

/// relu(bn3(W₃ ∗ pool(relu(bn2(W₂ ∗ relu(bn1(W₁ ∗ x)))))) + shortcut), shortcut = x or bn(W ∗ pool(x))
pub fn bottleneck(
    p: &Bottleneck<&[f64]>,
    shape: &bottleneck::Shape,
    norm: Norm,
    relus: &Relus,
    pixels: Pictures,
    x: ArrayView2<f64>,
) -> Array2<f64> {
    let relu = |x| relus.apply(x);
    let conv = |p: &Conv2d<&[f64]>, kernel: usize, pixels: Pictures, x: ArrayView2<f64>| {
        let (in_channels, out_channels) = (x.ncols(), p.weight.len() / x.ncols() / (kernel * kernel));
        conv2d(p, &conv2d::Shape { in_channels, out_channels, kernel, stride: 1 }, pixels, x)
    };
    let pooled = (pixels.0, pixels.1 / shape.stride, pixels.2 / shape.stride);
    let a = relu(norm(&p.bn1, conv(&p.conv1, 1, pixels, x).view()));
    let b = relu(norm(&p.bn2, conv(&p.conv2, 3, pixels, a.view()).view()));
    let r = avg_pool(shape.stride, pixels, b.view());
    let c = norm(&p.bn3, conv(&p.conv3, 1, pooled, r.view()).view());
    let shortcut = match &p.downsample {
        Some(downsample) => {
            let x = avg_pool(shape.stride, pixels, x);
            norm(&downsample.bn, conv(&downsample.conv, 1, pooled, x.view()).view())
        }
        None => x.to_owned(),
    };
    relu(c + shortcut)
}
