#![doc = include_str!("attention.md")]

use super::chain_rule::{Matrix, matrix, sum};
use super::linear::{linear, linear_backward};
use super::softmax::softmax;

/// Sᵢⱼ = ⟨qᵢ, kⱼ⟩ / √c, and −∞ where row i must not see row j
pub fn scores(q: &Matrix, k: &Matrix, causal: bool) -> Matrix {
    let (c, unseen) = (q[0].len(), f64::NEG_INFINITY);
    let score = |i: usize, j: usize| sum(c, |l| q[i][l] * k[j][l]) / (c as f64).sqrt();
    matrix(q.len(), k.len(), |i, j| if causal && j > i { unseen } else { score(i, j) })
}

/// P = the softmax of each row of S
pub fn shares(q: &Matrix, k: &Matrix, causal: bool) -> Matrix {
    softmax(&scores(q, k, causal))
}

/// outᵢ = Σⱼ Pᵢⱼ vⱼ
pub fn mix(p: &Matrix, v: &Matrix) -> Matrix {
    matrix(p.len(), v[0].len(), |i, l| sum(v.len(), |j| p[i][j] * v[j][l]))
}

/// out = P·v
pub fn attend([q, k, v]: [&Matrix; 3], causal: bool) -> Matrix {
    mix(&shares(q, k, causal), v)
}

/// dSᵢⱼ = Pᵢⱼ (⟨doutᵢ, vⱼ⟩ − ⟨doutᵢ, outᵢ⟩)
pub fn scores_backward(p: &Matrix, v: &Matrix, dout: &Matrix) -> Matrix {
    let out = mix(p, v);
    let price = |i: usize, row: &[f64]| sum(row.len(), |l| dout[i][l] * row[l]);
    matrix(p.len(), v.len(), |i, j| p[i][j] * (price(i, &v[j]) - price(i, &out[i])))
}

/// dqᵢ = Σⱼ dSᵢⱼ kⱼ / √c, dkⱼ = Σᵢ dSᵢⱼ qᵢ / √c, dvⱼ = Σᵢ Pᵢⱼ doutᵢ
pub fn attend_backward([q, k, v]: [&Matrix; 3], causal: bool, dout: &Matrix) -> [Matrix; 3] {
    let (queries, keys, c) = (q.len(), k.len(), q[0].len());
    let root = (c as f64).sqrt();
    let p = shares(q, k, causal);
    let dscores = scores_backward(&p, v, dout);
    let dq = matrix(queries, c, |i, l| sum(keys, |j| dscores[i][j] * k[j][l]) / root);
    let dk = matrix(keys, c, |j, l| sum(queries, |i| dscores[i][j] * q[i][l]) / root);
    let dv = matrix(keys, v[0].len(), |j, l| sum(queries, |i| p[i][j] * dout[i][l]));
    [dq, dk, dv]
}

/// The two linear layers of attention. `in_weight` has the rows of q, then of k, then of v.
#[derive(Clone)]
pub struct Attention {
    pub in_weight: Matrix,
    pub in_bias: Vec<f64>,
    pub out_weight: Matrix,
    pub out_bias: Vec<f64>,
    pub heads: usize,
    pub causal: bool,
}

/// q, k and v of head h: the columns from h·c on in each third of [q|k|v]; h counts from 0.
pub fn head(qkv: &Matrix, heads: usize, h: usize) -> [Matrix; 3] {
    let d = qkv[0].len() / 3;
    let c = d / heads;
    [0, 1, 2].map(|third| matrix(qkv.len(), c, |i, l| qkv[i][third * d + h * c + l]))
}

/// [out₁|…|out_H] of [q|k|v]
pub fn heads(p: &Attention, qkv: &Matrix) -> Matrix {
    let d = qkv[0].len() / 3;
    let c = d / p.heads;
    let out = |h| {
        let [q, k, v] = head(qkv, p.heads, h);
        attend([&q, &k, &v], p.causal)
    };
    let out: Vec<Matrix> = (0..p.heads).map(out).collect();
    matrix(qkv.len(), d, |i, j| out[j / c][i][j % c])
}

/// d[q|k|v] from d[out₁|…|out_H]: gradients go where the numbers of a head came from.
pub fn heads_backward(p: &Attention, qkv: &Matrix, dout: &Matrix) -> Matrix {
    let d = qkv[0].len() / 3;
    let c = d / p.heads;
    let dqkv = |h| {
        let [q, k, v] = head(qkv, p.heads, h);
        let dout = matrix(dout.len(), c, |i, l| dout[i][h * c + l]);
        attend_backward([&q, &k, &v], p.causal, &dout)
    };
    let dqkv: Vec<[Matrix; 3]> = (0..p.heads).map(dqkv).collect();
    matrix(qkv.len(), 3 * d, |i, j| dqkv[j % d / c][j / d][i][j % c])
}

/// y = [out₁|…|out_H] W_outᵀ + b_out with [q|k|v] = x W_inᵀ + b_in
pub fn attention(p: &Attention, x: &Matrix) -> Matrix {
    let qkv = linear(x, &p.in_weight, &p.in_bias);
    linear(&heads(p, &qkv), &p.out_weight, &p.out_bias)
}

/// dx and the gradients of all weights and biases
pub fn attention_backward(p: &Attention, x: &Matrix, dy: &Matrix) -> (Matrix, Attention) {
    let qkv = linear(x, &p.in_weight, &p.in_bias);
    let (dout, out_weight, out_bias) = linear_backward(&heads(p, &qkv), &p.out_weight, dy);
    let dqkv = heads_backward(p, &qkv, &dout);
    let (dx, in_weight, in_bias) = linear_backward(x, &p.in_weight, &dqkv);
    (dx, Attention { in_weight, in_bias, out_weight, out_bias, ..*p })
}
