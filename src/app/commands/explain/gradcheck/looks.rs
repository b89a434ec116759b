//! Layers in which rows look at rows: chapters 5, 6 and 15.

use super::layer::{Fast, Layer, Term, of, read, row, with, write, zeros};
use super::rows::{add_to, times};
use crate::layers::Keep;
use crate::layers::attention as fast_attention;
use crate::layers::block::{self as fast_block, Saved, Scratch, Size};
use crate::layers::cross_attention::{self as fast_cross, CrossAttention, Shape};
use crate::layers::layer_norm::LayerNorm;
use crate::layers::linear::Linear;
use crate::layers::mlp as fast_mlp;
use crate::tour::attention::{Attention, attend, attend_backward, attention, attention_backward, mix, shares};
use crate::tour::blip::{Cross, cross_attention, cross_attention_backward, cross_qkv};
use crate::tour::block::{Block, Mlp, Norm, add, block, block_backward, mlp_backward, norm, norm_backward};
use crate::tour::chain_rule::{Matrix, matrix, sum};
use crate::tour::convolution::transposed;
use crate::tour::linear::linear_backward;
use kernels::attention::{DQkv, Heads, HeadsMut, Layout};
use kernels::{Activation, Write};
use ndarray::{Array2, ArrayView2, Axis, Slice};
use std::ops::Range;
use std::slice::from_ref;

pub(super) const ATTENTION: Layer = Layer {
    name: "attention",
    chapter: "5, tour::attention",
    formula: "y = P v, where P is the softmax of q kᵀ/√c and each row sees only itself and those before it",
    tensors: &[("q", 5, 4), ("k", 5, 4), ("v", 5, 4)],
    forward: |at| {
        let [q, k, v] = of(at);
        attend([q, k, v], true)
    },
    backward: |at, dy| {
        let [q, k, v] = of(at);
        attend_backward([q, k, v], true, dy).into()
    },
    fast: attend_fast,
    terms: &[
        Term {
            name: "mean",
            formula: "− ⟨doutᵢ, outᵢ⟩ in dSᵢⱼ = Pᵢⱼ (⟨doutᵢ, vⱼ⟩ − ⟨doutᵢ, outᵢ⟩)",
            leave_out: |at, dy, g| {
                let [q, k, v] = of(at);
                let (p, root) = (shares(q, k, true), (q[0].len() as f64).sqrt());
                let out = mix(&p, v);
                let mean = |i: usize| sum(dy[i].len(), |l| dy[i][l] * out[i][l]);
                let more = matrix(p.len(), p[0].len(), |i, j| p[i][j] * mean(i) / root);
                add_to(&mut g[0], &mix(&more, k));
                add_to(&mut g[1], &mix(&transposed(&more), q));
            },
        },
        Term {
            name: "root-of-q",
            formula: "/√c in dqᵢ = Σⱼ dSᵢⱼ kⱼ / √c",
            leave_out: |at, _, g| g[0] = times((at[0][0].len() as f64).sqrt(), &g[0]),
        },
        Term {
            name: "root-of-k",
            formula: "/√c in dkⱼ = Σᵢ dSᵢⱼ qᵢ / √c",
            leave_out: |at, _, g| g[1] = times((at[0][0].len() as f64).sqrt(), &g[1]),
        },
    ],
};

fn attend_fast(at: &[Array2<f32>], dy: ArrayView2<f32>) -> Fast {
    let ([q, k, v], (rows, c)) = (of(at), dy.dim());
    let (mut out, mut dq, mut dkv) = (Array2::zeros((rows, c)), Array2::zeros((rows, c)), Array2::zeros((rows, 2 * c)));
    let (ranges, mut lse) = (0..rows, vec![0.0; rows]);
    let one = from_ref(&ranges);
    let layout = Layout { q: one, kv: one, heads: 1, head_dim: c, causal: true, dropout: None };
    let [q, k, v] = [q, k, v].map(|x| Heads { data: read(x), row_stride: c });
    kernels::attention::forward(layout, q, k, v, HeadsMut { data: write(&mut out), row_stride: c }, &mut lse);
    let dout = dy.to_owned();
    let [dout, rows_out] = [&dout, &out].map(|x| Heads { data: read(x), row_stride: c });
    let dqkv = DQkv::Split { dq: (write(&mut dq), Write::Set), dkv: (write(&mut dkv), Write::Set) };
    kernels::attention::backward(layout, q, k, v, rows_out, &lse, dout, dqkv);
    let half = |columns: Range<usize>| dkv.slice_axis(Axis(1), Slice::from(columns)).to_owned();
    let (dk, dv) = (half(0..c), half(c..2 * c));
    (out, vec![dq, dk, dv])
}

/// The sizes of the block here.
const SIZE: Size =
    Size { width: 4, mlp_width: 6, heads: 2, layers: 1, activation: Activation::Gelu, causal: true, eps: 1e-5 };

pub(super) const BLOCK: Layer = Layer {
    name: "block",
    chapter: "6, tour::block",
    formula: "mid = x + attention(ln_1(x)), y = mid + mlp(ln_2(mid))",
    tensors: &[
        ("x", 5, 4),
        ("ln_1.weight", 1, 4),
        ("ln_1.bias", 1, 4),
        ("in_weight", 12, 4),
        ("in_bias", 1, 12),
        ("out_weight", 4, 4),
        ("out_bias", 1, 4),
        ("ln_2.weight", 1, 4),
        ("ln_2.bias", 1, 4),
        ("fc_weight", 6, 4),
        ("fc_bias", 1, 6),
        ("proj_weight", 4, 6),
        ("proj_bias", 1, 4),
    ],
    forward: |at| block(&in_tour(at), &at[0]),
    backward: |at, dy| {
        let (dx, g) = block_backward(&in_tour(at), &at[0], dy);
        listed(dx, g)
    },
    fast: block_fast,
    terms: &[
        Term {
            name: "residual-of-mlp",
            formula: "dy in dmid = dy + the part through the MLP",
            leave_out: |at, dy, g| {
                let (p, x) = (in_tour(at), &at[0]);
                let (dnormed, attention) = attention_backward(&p.attention, &norm(&p.ln_1, x), dy);
                let (dbranch, ln_1) = norm_backward(&p.ln_1, x, &dnormed);
                // What dy gives without the MLP: dx, and the gradients of ln_1 and attention.
                let less = listed(add(dy, &dbranch), Block { ln_1, attention, ..p });
                g.iter_mut().zip(less).take(7).for_each(|(g, less)| add_to(g, &times(-1.0, &less)));
            },
        },
        Term {
            name: "residual-of-attention",
            formula: "dmid in dx = dmid + the part through attention",
            leave_out: |at, dy, g| {
                let (p, x) = (in_tour(at), &at[0]);
                let mid = add(x, &attention(&p.attention, &norm(&p.ln_1, x)));
                let (dnormed, _) = mlp_backward(&p.mlp, &norm(&p.ln_2, &mid), dy);
                let dmid = add(dy, &norm_backward(&p.ln_2, &mid, &dnormed).0);
                add_to(&mut g[0], &times(-1.0, &dmid));
            },
        },
    ],
};

/// Returns the block whose parameters are tensors.
fn in_tour(at: &[Matrix]) -> Block {
    let [_, norm_1, bias_1, in_weight, in_bias, out_weight, out_bias, norm_2, bias_2, fc, fc_bias, proj, proj_bias] =
        of(at);
    let norm = |weight: &Matrix, bias: &Matrix| Norm {
        weight: weight[0].clone(),
        bias: bias[0].clone(),
        eps: f64::from(SIZE.eps),
    };
    let (heads, causal) = (SIZE.heads, SIZE.causal);
    let (in_weight, in_bias) = (in_weight.clone(), in_bias[0].clone());
    let (out_weight, out_bias) = (out_weight.clone(), out_bias[0].clone());
    Block {
        ln_1: norm(norm_1, bias_1),
        attention: Attention { in_weight, in_bias, out_weight, out_bias, heads, causal },
        ln_2: norm(norm_2, bias_2),
        mlp: Mlp {
            fc_weight: fc.clone(),
            fc_bias: fc_bias[0].clone(),
            proj_weight: proj.clone(),
            proj_bias: proj_bias[0].clone(),
        },
    }
}

/// Lists dx and the gradients of a block in the order of its tensors.
fn listed(dx: Matrix, Block { ln_1, attention, ln_2, mlp }: Block) -> Vec<Matrix> {
    let Attention { in_weight, in_bias, out_weight, out_bias, .. } = attention;
    let Mlp { fc_weight, fc_bias, proj_weight, proj_bias } = mlp;
    let first = [dx, row(ln_1.weight), row(ln_1.bias), in_weight, row(in_bias), out_weight, row(out_bias)];
    let second = [row(ln_2.weight), row(ln_2.bias), fc_weight, row(fc_bias), proj_weight, row(proj_bias)];
    first.into_iter().chain(second).collect()
}

fn block_fast(at: &[Array2<f32>], dy: ArrayView2<f32>) -> Fast {
    let [x, norm_1, bias_1, in_weight, in_bias, out_weight, out_bias, norm_2, bias_2, fc, fc_bias, proj, proj_bias] =
        of(at);
    let linear = |weight, bias| Linear { weight: read(weight), bias: read(bias) };
    let norm = |weight, bias| LayerNorm { weight: read(weight), bias: read(bias) };
    let out_proj = linear(out_weight, out_bias);
    let p = fast_block::Block {
        ln_1: norm(norm_1, bias_1),
        attn: fast_attention::Attention { in_proj_weight: read(in_weight), in_proj_bias: read(in_bias), out_proj },
        ln_2: norm(norm_2, bias_2),
        mlp: fast_mlp::Mlp { c_fc: linear(fc, fc_bias), c_proj: linear(proj, proj_bias) },
    };
    let mut gradients: [Array2<f32>; 13] = zeros(of(at));
    let [dx, dn1, db1, diw, dib, dow, dob, dn2, db2, dfc, dfcb, dpr, dprb] = &mut gradients;
    let mut g = fast_block::Block {
        ln_1: LayerNorm { weight: write(dn1), bias: write(db1) },
        attn: fast_attention::Attention {
            in_proj_weight: write(diw),
            in_proj_bias: write(dib),
            out_proj: Linear { weight: write(dow), bias: write(dob) },
        },
        ln_2: LayerNorm { weight: write(dn2), bias: write(db2) },
        mlp: fast_mlp::Mlp {
            c_fc: Linear { weight: write(dfc), bias: write(dfcb) },
            c_proj: Linear { weight: write(dpr), bias: write(dprb) },
        },
    };
    let (rows, mut y) = (x.nrows(), Array2::zeros(dy.raw_dim()));
    let ranges = 0..rows;
    let ranges = from_ref(&ranges);
    with(&Saved::dims(&SIZE, rows, Keep::All), |saved| {
        with(&Scratch::dims(&SIZE, rows), |scratch| {
            fast_block::forward(&p, &SIZE, ranges, None, x.view(), y.view_mut(), saved, scratch);
            dx.assign(&dy);
            fast_block::backward(&p, &SIZE, ranges, None, x.view(), dx.view_mut(), saved, scratch, &mut g);
        });
    });
    (y, gradients.into())
}

pub(super) const CROSS_ATTENTION: Layer = Layer {
    name: "cross_attention",
    chapter: "15, tour::blip",
    formula: "y = softmax(q kᵀ/√c) v W_outᵀ + b_out with q of the words x, k and v of the picture u",
    tensors: &[
        ("x", 3, 4),
        ("u", 5, 3),
        ("q.weight", 4, 4),
        ("q.bias", 1, 4),
        ("kv.weight", 8, 3),
        ("kv.bias", 1, 8),
        ("out.weight", 4, 4),
        ("out.bias", 1, 4),
    ],
    forward: |at| cross_attention(&cross(at), &at[0], &at[1]),
    backward: |at, dy| {
        let (dx, du, Cross { q, k, v, out }) = cross_attention_backward(&cross(at), &at[0], &at[1], dy);
        let (weight, bias) = ([k.0, v.0].concat(), [k.1, v.1].concat());
        vec![dx, du, q.0, row(q.1), weight, row(bias), out.0, row(out.1)]
    },
    fast: cross_fast,
    terms: &[
        Term {
            name: "values",
            formula: "the part through v in du = the part through k + the part through v",
            leave_out: |at, dy, g| add_to(&mut g[1], &times(-1.0, &by_keys_and_values(at, dy)[1])),
        },
        Term {
            name: "keys",
            formula: "the part through k in du = the part through k + the part through v",
            leave_out: |at, dy, g| add_to(&mut g[1], &times(-1.0, &by_keys_and_values(at, dy)[0])),
        },
    ],
};

/// Returns the cross-attention whose parameters are tensors.
fn cross(at: &[Matrix]) -> Cross {
    let [_, _, q, q_bias, kv, kv_bias, out, out_bias] = of(at);
    let width = q.len();
    Cross {
        q: (q.clone(), q_bias[0].clone()),
        k: (kv[..width].to_vec(), kv_bias[0][..width].to_vec()),
        v: (kv[width..].to_vec(), kv_bias[0][width..].to_vec()),
        out: (out.clone(), out_bias[0].clone()),
    }
}

/// The two parts of du
fn by_keys_and_values(at: &[Matrix], dy: &Matrix) -> [Matrix; 2] {
    let (p, u) = (cross(at), &at[1]);
    let [q, k, v] = cross_qkv(&p, &at[0], u);
    let (dmixed, ..) = linear_backward(&attend([&q, &k, &v], false), &p.out.0, dy);
    let [_, dk, dv] = attend_backward([&q, &k, &v], false, &dmixed);
    [linear_backward(u, &p.k.0, &dk).0, linear_backward(u, &p.v.0, &dv).0]
}

fn cross_fast(at: &[Array2<f32>], dy: ArrayView2<f32>) -> Fast {
    let [x, u, q, q_bias, kv, kv_bias, out, out_bias] = of(at);
    let linear = |weight, bias| Linear { weight: read(weight), bias: read(bias) };
    let p = CrossAttention { query: linear(q, q_bias), key_value: linear(kv, kv_bias), out: linear(out, out_bias) };
    let mut gradients: [Array2<f32>; 8] = zeros(of(at));
    let [dx, du, dq, dq_bias, dkv, dkv_bias, dout, dout_bias] = &mut gradients;
    let mut g = CrossAttention {
        query: Linear { weight: write(dq), bias: write(dq_bias) },
        key_value: Linear { weight: write(dkv), bias: write(dkv_bias) },
        out: Linear { weight: write(dout), bias: write(dout_bias) },
    };
    let (rows, width) = x.dim();
    let (queries, source) = (0..rows, 0..u.nrows());
    let shape = Shape { queries: from_ref(&queries), source: from_ref(&source), heads: 1, dropout: None };
    let mut y = Array2::zeros(dy.raw_dim());
    let mut keys = Array2::zeros((u.nrows(), 2 * width));
    let (mut dkeys, none) = (keys.clone(), Array2::zeros((rows, width)));
    fast_cross::keys(&p, u.view(), keys.view_mut());
    with(&fast_cross::Saved::dims(rows, width, 1), |saved| {
        with(&fast_cross::Scratch::dims(rows, width), |scratch| {
            fast_cross::forward(&p, shape, x.view(), keys.view(), none.view(), y.view_mut(), saved);
            let (dx, dkeys) = ((Write::Set, dx.view_mut()), (Write::Set, dkeys.view_mut()));
            fast_cross::backward(&p, shape, x.view(), keys.view(), saved, dy, dx, dkeys, scratch, &mut g);
        });
    });
    fast_cross::backward_keys(&p, u.view(), dkeys.view(), du.view_mut(), &mut g);
    (y, gradients.into())
}
