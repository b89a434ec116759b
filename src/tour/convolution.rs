#![doc = include_str!("convolution.md")]

use super::attention::{attend, attend_backward};
use super::block::add;
use super::chain_rule::{Matrix, matrix, sum};
use super::layer_norm::{normalised, normalised_backward};
use super::linear::{linear, linear_backward};

/// The sizes of the pictures, the edge of the window, and the step from one of its places to the next.
#[derive(Clone, Copy)]
pub struct Conv {
    pub height: usize,
    pub width: usize,
    pub kernel: usize,
    pub stride: usize,
}

/// All meetings of pictures with the window: a pixel of y, the pixel of x, and the place in the window where they meet.
pub fn meetings(sizes: Conv, pictures: usize) -> Vec<(usize, usize, usize)> {
    let (height, width) = (sizes.height.div_ceil(sizes.stride), sizes.width.div_ceil(sizes.stride));
    let mut meetings = vec![];
    for n in 0..pictures * height * width {
        let (picture, top, left) = (n / (height * width), n / width % height * sizes.stride, n % width * sizes.stride);
        for t in 0..sizes.kernel * sizes.kernel {
            let (row, col, half) = (top + t / sizes.kernel, left + t % sizes.kernel, sizes.kernel / 2);
            if (half..half + sizes.height).contains(&row) && (half..half + sizes.width).contains(&col) {
                meetings.push((n, (picture * sizes.height + row - half) * sizes.width + col - half, t));
            }
        }
    }
    meetings
}

/// yₙₒ = Σ xₗᵢ Wₒᵢₜ over all meetings (n, l, t) of n and all channels i
pub fn conv(sizes: Conv, x: &Matrix, weight: &Matrix) -> Matrix {
    let (pictures, area) = (x.len() / (sizes.height * sizes.width), sizes.kernel * sizes.kernel);
    let pixels = pictures * sizes.height.div_ceil(sizes.stride) * sizes.width.div_ceil(sizes.stride);
    let mut y = matrix(pixels, weight.len(), |_, _| 0.0);
    for (n, l, t) in meetings(sizes, pictures) {
        for o in 0..weight.len() {
            y[n][o] += sum(x[l].len(), |i| x[l][i] * weight[o][i * area + t]);
        }
    }
    y
}

/// dxₗᵢ = Σ dyₙₒ Wₒᵢₜ and dWₒᵢₜ = Σ dyₙₒ xₗᵢ, over the same meetings
pub fn conv_backward(sizes: Conv, x: &Matrix, weight: &Matrix, dy: &Matrix) -> (Matrix, Matrix) {
    let (pictures, area) = (x.len() / (sizes.height * sizes.width), sizes.kernel * sizes.kernel);
    let mut dx = matrix(x.len(), x[0].len(), |_, _| 0.0);
    let mut dweight = matrix(weight.len(), weight[0].len(), |_, _| 0.0);
    for (n, l, t) in meetings(sizes, pictures) {
        for (o, i) in (0..weight.len()).flat_map(|o| (0..x[l].len()).map(move |i| (o, i))) {
            dx[l][i] += dy[n][o] * weight[o][i * area + t];
            dweight[o][i * area + t] += dy[n][o] * x[l][i];
        }
    }
    (dx, dweight)
}

/// Rows become columns.
pub fn transposed(x: &Matrix) -> Matrix {
    matrix(x[0].len(), x.len(), |i, j| x[j][i])
}

/// x̂ of each column: LayerNorm's x̂, with rows and columns exchanged
pub fn column_normalised(x: &Matrix, eps: f64) -> Matrix {
    transposed(&normalised(&transposed(x), eps))
}

/// yₙⱼ = x̂ₙⱼ weightⱼ + biasⱼ
pub fn batch_norm(x: &Matrix, weight: &[f64], bias: &[f64], eps: f64) -> Matrix {
    let x_hat = column_normalised(x, eps);
    matrix(x.len(), weight.len(), |n, j| x_hat[n][j] * weight[j] + bias[j])
}

/// dx̂ₙⱼ = dyₙⱼ weightⱼ, dweightⱼ = Σₙ dyₙⱼ x̂ₙⱼ, dbiasⱼ = Σₙ dyₙⱼ
pub fn batch_norm_backward(x: &Matrix, weight: &[f64], eps: f64, dy: &Matrix) -> (Matrix, Vec<f64>, Vec<f64>) {
    let (rows, channels, x_hat) = (x.len(), weight.len(), column_normalised(x, eps));
    let dx_hat = matrix(rows, channels, |n, j| dy[n][j] * weight[j]);
    let dweight = (0..channels).map(|j| sum(rows, |n| dy[n][j] * x_hat[n][j])).collect();
    let dbias = (0..channels).map(|j| sum(rows, |n| dy[n][j])).collect();
    (transposed(&normalised_backward(&transposed(x), eps, &transposed(&dx_hat))), dweight, dbias)
}

/// y = max(0, x)
pub fn relu(x: &Matrix) -> Matrix {
    matrix(x.len(), x[0].len(), |n, j| x[n][j].max(0.0))
}

/// dx = dy where x > 0, else 0
pub fn relu_backward(x: &Matrix, dy: &Matrix) -> Matrix {
    matrix(x.len(), x[0].len(), |n, j| if x[n][j] > 0.0 { dy[n][j] } else { 0.0 })
}

/// The layers of an attention pool, and a row for the position of the mean and of each pixel.
#[derive(Clone)]
pub struct Pool {
    pub positions: Matrix,
    pub q: (Matrix, Vec<f64>),
    pub k: (Matrix, Vec<f64>),
    pub v: (Matrix, Vec<f64>),
    pub out: (Matrix, Vec<f64>),
}

/// t₀ = mean of the pixels + pos₀, tᵢ = pixel i + posᵢ, of one picture
pub fn pool_tokens(positions: &Matrix, x: &Matrix) -> Matrix {
    let (pixels, channels) = (x.len(), x[0].len());
    let mean = |j: usize| sum(pixels, |n| x[n][j]) / pixels as f64;
    matrix(1 + pixels, channels, |i, j| if i == 0 { mean(j) } else { x[i - 1][j] } + positions[i][j])
}

/// q of the first token, k and v of all tokens
pub fn pool_qkv(p: &Pool, tokens: &Matrix) -> [Matrix; 3] {
    let first = tokens[..1].to_vec();
    [linear(&first, &p.q.0, &p.q.1), linear(tokens, &p.k.0, &p.k.1), linear(tokens, &p.v.0, &p.v.1)]
}

/// y = (P v) W_outᵀ + b_out, attention with the mean as its only query
pub fn attention_pool(p: &Pool, x: &Matrix) -> Matrix {
    let [q, k, v] = pool_qkv(p, &pool_tokens(&p.positions, x));
    linear(&attend([&q, &k, &v], false), &p.out.0, &p.out.1)
}

/// dx and the gradients of all parameters, the lines of the forward pass undone from the last to the first
pub fn attention_pool_backward(p: &Pool, x: &Matrix, dy: &Matrix) -> (Matrix, Pool) {
    let tokens = pool_tokens(&p.positions, x);
    let [q, k, v] = pool_qkv(p, &tokens);
    let (dmixed, out, out_bias) = linear_backward(&attend([&q, &k, &v], false), &p.out.0, dy);
    let [dq, dk, dv] = attend_backward([&q, &k, &v], false, &dmixed);
    let (dfirst, dq, dq_bias) = linear_backward(&tokens[..1].to_vec(), &p.q.0, &dq);
    let (by_k, dk, dk_bias) = linear_backward(&tokens, &p.k.0, &dk);
    let (by_v, dv, dv_bias) = linear_backward(&tokens, &p.v.0, &dv);
    let mut positions = add(&by_k, &by_v);
    (0..dfirst[0].len()).for_each(|j| positions[0][j] += dfirst[0][j]);
    let dx = matrix(x.len(), x[0].len(), |n, j| positions[n + 1][j] + positions[0][j] / x.len() as f64);
    (dx, Pool { positions, q: (dq, dq_bias), k: (dk, dk_bias), v: (dv, dv_bias), out: (out, out_bias) })
}
