//! Layers of pictures: chapters 7 and 14.

use super::layer::{Fast, Layer, Term, of, read, row, with, write, zeros};
use super::rows::{add_to, along_term, mean_term, weighted};
use crate::layers::attention_pool::{self, AttentionPool};
use crate::layers::batch_norm::{self, BatchNorm, Gate, Residual};
use crate::layers::conv2d::{self, Conv2d, Shape};
use crate::layers::linear::Linear;
use crate::layers::patch_embed::{self, PatchEmbed, Scratch};
use crate::layers::{pictures, pictures_mut};
use crate::tour;
use crate::tour::chain_rule::{Matrix, matrix};
use crate::tour::convolution::{Conv, Pool, batch_norm_backward, conv, conv_backward, transposed};
use crate::tour::patches::{Embed, Grid, patch_embed_backward};
use kernels::batch_norm::EPS;
use ndarray::{Array2, ArrayView2};

/// Two pictures of 3 colours, 4 × 4 pixels, in patches of 2 × 2.
const GRID: Grid = Grid { channels: 3, height: 4, width: 4, patch: 2 };

pub(super) const PATCHES: Layer = Layer {
    name: "patches",
    chapter: "7, tour::patches",
    formula: "x₀ = class + pos₀, xₜ = W patchₜ + b + posₜ",
    tensors: &[("images", 2, 48), ("weight", 3, 12), ("bias", 1, 3), ("class", 1, 3), ("positions", 5, 3)],
    forward: |at| tour::patches::patch_embed(&embed(at), GRID, &at[0]),
    backward: |at, dy| {
        let (dimages, g) = patch_embed_backward(&embed(at), GRID, &at[0], dy);
        vec![dimages, g.weight, row(g.bias), row(g.class), g.positions]
    },
    fast: |at, dy| {
        let ([images, weight, bias, class, positions], mut gradients) = (of(at), zeros::<5>(of(at)));
        let p = PatchEmbed {
            class_embedding: Some(read(class)),
            positional_embedding: read(positions),
            conv1_weight: read(weight),
            conv1_bias: Some(read(bias)),
        };
        let [dimages, dweight, dbias, dclass, dpositions] = &mut gradients;
        let g = &mut PatchEmbed {
            class_embedding: Some(write(dclass)),
            positional_embedding: write(dpositions),
            conv1_weight: write(dweight),
            conv1_bias: Some(write(dbias)),
        };
        let (grid, mut y) = (patch_embed::Grid::square(GRID.height, GRID.patch), Array2::zeros(dy.raw_dim()));
        with(&Scratch::dims(grid, images.nrows() * grid.patches(), dy.ncols()), |scratch| {
            patch_embed::forward(&p, grid, None, images.view(), y.view_mut(), scratch);
            patch_embed::backward(grid, None, images.view(), dy, scratch, g);
            patch_embed::backward_images(&p, grid, dy, dimages.view_mut(), scratch);
        });
        (y, gradients.into())
    },
    terms: &[
        Term {
            name: "pictures-of-positions",
            formula: "the sum over pictures in dposₜ = Σ dxₜ: the first picture alone",
            leave_out: |at, dy, g| g[4] = of_first_picture(at, dy).positions,
        },
        Term {
            name: "pictures-of-class",
            formula: "the sum over pictures in dclass = Σ dx₀: the first picture alone",
            leave_out: |at, dy, g| g[3] = row(of_first_picture(at, dy).class),
        },
    ],
};

fn embed(at: &[Matrix]) -> Embed {
    let [_, weight, bias, class, positions] = of(at);
    let (weight, positions) = (weight.clone(), positions.clone());
    Embed { weight, bias: bias[0].clone(), class: class[0].clone(), positions }
}

fn of_first_picture(at: &[Matrix], dy: &Matrix) -> Embed {
    patch_embed_backward(&embed(at), GRID, &at[0][..1].to_vec(), &dy[..at[4].len()].to_vec()).1
}

/// Two pictures of 4 × 3 pixels, through windows of 3 × 3.
const CONV: Conv = Conv { height: 4, width: 3, kernel: 3, stride: 1 };
const PIXELS: usize = CONV.height * CONV.width;
/// The number of the place in the middle of a window.
const MIDDLE: usize = 4;

pub(super) const CONVOLUTION: Layer = Layer {
    name: "convolution",
    chapter: "14, tour::convolution",
    formula: "yₙₒ = Σ xₗᵢ Wₒᵢₜ over all places t of the window on pixel n",
    tensors: &[("x", 2 * PIXELS, 2), ("weight", 3, 18)],
    forward: |at| conv(CONV, &at[0], &at[1]),
    backward: |at, dy| {
        let (dx, dweight) = conv_backward(CONV, &at[0], &at[1], dy);
        vec![dx, dweight]
    },
    fast: |at, dy| {
        let ([x, weight], [mut dx, mut dweight]) = (of(at), zeros(of(at)));
        let dims = |channels| (2, CONV.height, CONV.width, channels);
        let shape = Shape { in_channels: 2, out_channels: 3, kernel: CONV.kernel, stride: CONV.stride };
        let (p, mut y) = (Conv2d { weight: read(weight) }, Array2::zeros(dy.raw_dim()));
        let x = pictures(x.view(), dims(2));
        conv2d::forward(&p, &shape, x, pictures_mut(y.view_mut(), dims(3)));
        let (dx_pictures, g) = (pictures_mut(dx.view_mut(), dims(2)), &mut Conv2d { weight: write(&mut dweight) });
        conv2d::backward(&p, &shape, x, pictures(dy, dims(3)), Some(dx_pictures), g);
        (y, vec![dx, dweight])
    },
    terms: &[
        Term {
            name: "neighbours",
            formula: "all places t but the middle one in dxₗᵢ = Σ dyₙₒ Wₒᵢₜ",
            leave_out: |at, dy, g| {
                let area = CONV.kernel * CONV.kernel;
                let kept = |i: usize| if i % area == MIDDLE { 1.0 } else { 0.0 };
                let middle = matrix(at[1].len(), at[1][0].len(), |o, i| kept(i) * at[1][o][i]);
                g[0] = conv_backward(CONV, &at[0], &middle, dy).0;
            },
        },
        Term {
            name: "pictures",
            formula: "the sum over pictures in dWₒᵢₜ = Σ dyₙₒ xₗᵢ: the first picture alone",
            leave_out: |at, dy, g| {
                g[1] = conv_backward(CONV, &at[0][..PIXELS].to_vec(), &at[1], &dy[..PIXELS].to_vec()).1;
            },
        },
    ],
};

pub(super) const BATCH_NORM: Layer = Layer {
    name: "batch_norm",
    chapter: "14, tour::convolution",
    formula: "y = x̂∘weight + bias, where x̂ is normalised over all pixels of a channel",
    tensors: &[("x", 12, 3), ("weight", 1, 3), ("bias", 1, 3)],
    forward: |at| tour::convolution::batch_norm(&at[0], &at[1][0], &at[2][0], f64::from(EPS)),
    backward: |at, dy| {
        let (dx, dweight, dbias) = batch_norm_backward(&at[0], &at[1][0], f64::from(EPS), dy);
        vec![dx, row(dweight), row(dbias)]
    },
    fast: batch_norm_fast,
    terms: &[
        Term {
            name: "mean",
            formula: "− mean(dx̂) in dx = r (dx̂ − mean(dx̂) − x̂ mean(dx̂∘x̂)) of each channel",
            leave_out: |at, dy, g| add_to(&mut g[0], &by_channel(mean_term, at, dy)),
        },
        Term {
            name: "along",
            formula: "− x̂ mean(dx̂∘x̂) in dx = r (dx̂ − mean(dx̂) − x̂ mean(dx̂∘x̂)) of each channel",
            leave_out: |at, dy, g| add_to(&mut g[0], &by_channel(along_term, at, dy)),
        },
    ],
};

/// Returns a term of LayerNorm with rows and columns exchanged, which makes it one of BatchNorm.
fn by_channel(term: fn(&Matrix, f64, &Matrix) -> Matrix, at: &[Matrix], dy: &Matrix) -> Matrix {
    transposed(&term(&transposed(&at[0]), f64::from(EPS), &transposed(&weighted(dy, &at[1]))))
}

fn batch_norm_fast(at: &[Array2<f32>], dy: ArrayView2<f32>) -> Fast {
    let ([x, weight, bias], [mut dx, mut dweight, mut dbias]) = (of(at), zeros(of(at)));
    let (dim, channels) = ((2, 2, 3, x.ncols()), x.ncols());
    let running = [vec![0.0; channels], vec![0.0; channels], vec![0.0]];
    let [running_mean, running_var, num_batches_tracked] = running.each_ref().map(|buffer| &buffer[..]);
    let p = BatchNorm { weight: read(weight), bias: read(bias), running_mean, running_var, num_batches_tracked };
    let mut slots = running.clone();
    let [running_mean, running_var, num_batches_tracked] = slots.each_mut().map(|buffer| &mut buffer[..]);
    let (weight, bias) = (write(&mut dweight), write(&mut dbias));
    let g = &mut BatchNorm { weight, bias, running_mean, running_var, num_batches_tracked };
    let (mut y, mut dy) = (Array2::zeros(dy.raw_dim()), dy.to_owned());
    dx.assign(x);
    with(&batch_norm::Saved::dims(channels), |saved| {
        with(&batch_norm::Scratch::dims(channels), |scratch| {
            let x = pictures(x.view(), dim);
            batch_norm::statistics(x, saved, scratch);
            batch_norm::normalize(&p, saved, x, Residual::None, false, pictures_mut(y.view_mut(), dim));
            let (dx, dy) = (pictures_mut(dx.view_mut(), dim), pictures_mut(dy.view_mut(), dim));
            batch_norm::backward(&p, saved, Gate::Open, dx, dy, g, scratch);
        });
    });
    (y, vec![dx, dweight, dbias])
}

/// A picture of 2 × 2 pixels and 4 channels, which becomes 3 numbers.
const POOL: attention_pool::Shape = attention_pool::Shape { pixels: 4, channels: 4, heads: 1, embed_dim: 3 };

pub(super) const ATTENTION_POOL: Layer = Layer {
    name: "attention_pool",
    chapter: "14, tour::convolution",
    formula: "y = attention with the mean of the pixels as its only query",
    tensors: &[
        ("x", 4, 4),
        ("positions", 5, 4),
        ("q.weight", 4, 4),
        ("q.bias", 1, 4),
        ("k.weight", 4, 4),
        ("k.bias", 1, 4),
        ("v.weight", 4, 4),
        ("v.bias", 1, 4),
        ("c.weight", 3, 4),
        ("c.bias", 1, 3),
    ],
    forward: |at| tour::convolution::attention_pool(&pool(at), &at[0]),
    backward: |at, dy| {
        let (dx, Pool { positions, q, k, v, out }) = tour::convolution::attention_pool_backward(&pool(at), &at[0], dy);
        vec![dx, positions, q.0, row(q.1), k.0, row(k.1), v.0, row(v.1), out.0, row(out.1)]
    },
    fast: pool_fast,
    terms: &[Term {
        name: "mean",
        formula: "dt₀ / pixels in dx of pixel n = dtₙ + dt₀ / pixels: the mean saw every pixel",
        leave_out: |_, _, g| {
            // The gradient of the positions is that of the tokens.
            let pixels = g[0].len();
            let less = matrix(pixels, g[0][0].len(), |_, j| -g[1][0][j] / pixels as f64);
            add_to(&mut g[0], &less);
        },
    }],
};

fn pool(at: &[Matrix]) -> Pool {
    let [_, positions, q, q_bias, k, k_bias, v, v_bias, out, out_bias] = of(at);
    let linear = |weight: &Matrix, bias: &Matrix| (weight.clone(), bias[0].clone());
    let (q, k) = (linear(q, q_bias), linear(k, k_bias));
    Pool { positions: positions.clone(), q, k, v: linear(v, v_bias), out: linear(out, out_bias) }
}

fn pool_fast(at: &[Array2<f32>], dy: ArrayView2<f32>) -> Fast {
    let [x, positions, q, q_bias, k, k_bias, v, v_bias, c, c_bias] = of(at);
    let linear = |weight, bias| Linear { weight: read(weight), bias: read(bias) };
    let p = AttentionPool {
        positional_embedding: read(positions),
        k_proj: linear(k, k_bias),
        q_proj: linear(q, q_bias),
        v_proj: linear(v, v_bias),
        c_proj: linear(c, c_bias),
    };
    let mut gradients = zeros::<10>(of(at));
    let [dx, dpositions, dq, dq_bias, dk, dk_bias, dv, dv_bias, dc, dc_bias] = &mut gradients;
    let g = &mut AttentionPool {
        positional_embedding: write(dpositions),
        k_proj: Linear { weight: write(dk), bias: write(dk_bias) },
        q_proj: Linear { weight: write(dq), bias: write(dq_bias) },
        v_proj: Linear { weight: write(dv), bias: write(dv_bias) },
        c_proj: Linear { weight: write(dc), bias: write(dc_bias) },
    };
    let (dim, mut y) = ((1, 2, 2, POOL.channels), Array2::zeros(dy.raw_dim()));
    with(&attention_pool::Saved::dims(&POOL, 1), |saved| {
        with(&attention_pool::Scratch::dims(&POOL, 1), |scratch| {
            attention_pool::forward(&p, &POOL, pictures(x.view(), dim), y.view_mut(), saved);
            attention_pool::backward(&p, &POOL, dy, pictures_mut(dx.view_mut(), dim), saved, scratch, g);
        });
    });
    (y, gradients.into())
}
