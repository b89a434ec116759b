#![doc = include_str!("block.md")]

use super::attention::{Attention, attention, attention_backward};
use super::chain_rule::{Matrix, matrix};
use super::gelu::{activate, activate_backward, gelu, gelu_slope};
use super::layer_norm::{layer_norm, layer_norm_backward};
use super::linear::{linear, linear_backward};

/// The two linear layers of an MLP.
#[derive(Clone)]
pub struct Mlp {
    pub fc_weight: Matrix,
    pub fc_bias: Vec<f64>,
    pub proj_weight: Matrix,
    pub proj_bias: Vec<f64>,
}

/// y = gelu(x W_fcᵀ + b_fc) W_projᵀ + b_proj
pub fn mlp(p: &Mlp, x: &Matrix) -> Matrix {
    let hidden = linear(x, &p.fc_weight, &p.fc_bias);
    linear(&activate(gelu, &hidden), &p.proj_weight, &p.proj_bias)
}

/// dx and the gradients of all weights and biases
pub fn mlp_backward(p: &Mlp, x: &Matrix, dy: &Matrix) -> (Matrix, Mlp) {
    let hidden = linear(x, &p.fc_weight, &p.fc_bias);
    let act = activate(gelu, &hidden);
    let (dact, proj_weight, proj_bias) = linear_backward(&act, &p.proj_weight, dy);
    let dhidden = activate_backward(gelu_slope, &hidden, &dact);
    let (dx, fc_weight, fc_bias) = linear_backward(x, &p.fc_weight, &dhidden);
    (dx, Mlp { fc_weight, fc_bias, proj_weight, proj_bias })
}

/// The weight and the bias of a LayerNorm, and its ε.
#[derive(Clone)]
pub struct Norm {
    pub weight: Vec<f64>,
    pub bias: Vec<f64>,
    pub eps: f64,
}

/// y = x̂∘weight + bias, as in chapter 3
pub fn norm(p: &Norm, x: &Matrix) -> Matrix {
    layer_norm(x, &p.weight, &p.bias, p.eps)
}

/// dx and the gradients of weight and bias, as in chapter 3
pub fn norm_backward(p: &Norm, x: &Matrix, dy: &Matrix) -> (Matrix, Norm) {
    let (dx, weight, bias) = layer_norm_backward(x, &p.weight, p.eps, dy);
    (dx, Norm { weight, bias, eps: p.eps })
}

/// The layers of a block: attention behind ln_1, an MLP behind ln_2.
#[derive(Clone)]
pub struct Block {
    pub ln_1: Norm,
    pub attention: Attention,
    pub ln_2: Norm,
    pub mlp: Mlp,
}

/// a + b
pub fn add(a: &Matrix, b: &Matrix) -> Matrix {
    matrix(a.len(), a[0].len(), |i, j| a[i][j] + b[i][j])
}

/// mid = x + attention(ln_1(x)), y = mid + mlp(ln_2(mid))
pub fn block(p: &Block, x: &Matrix) -> Matrix {
    let mid = add(x, &attention(&p.attention, &norm(&p.ln_1, x)));
    add(&mid, &mlp(&p.mlp, &norm(&p.ln_2, &mid)))
}

/// dmid = dy + the part through the MLP, dx = dmid + the part through attention
pub fn block_backward(p: &Block, x: &Matrix, dy: &Matrix) -> (Matrix, Block) {
    let normed_1 = norm(&p.ln_1, x);
    let mid = add(x, &attention(&p.attention, &normed_1));
    let normed_2 = norm(&p.ln_2, &mid);
    let (dnormed, mlp) = mlp_backward(&p.mlp, &normed_2, dy);
    let (dbranch, ln_2) = norm_backward(&p.ln_2, &mid, &dnormed);
    let dmid = add(dy, &dbranch);
    let (dnormed, attention) = attention_backward(&p.attention, &normed_1, &dmid);
    let (dbranch, ln_1) = norm_backward(&p.ln_1, x, &dnormed);
    (add(&dmid, &dbranch), Block { ln_1, attention, ln_2, mlp })
}
