//! Layers that compute each row by itself: chapters 1 to 4 and 9.

use super::layer::{Fast, Layer, Term, of, read, row, with, write, zeros};
use crate::layers::layer_norm::{self, LayerNorm, Saved};
use crate::layers::linear::{self, Linear};
use crate::layers::normalize;
use crate::loss::cross_entropy::{self, Labels, Scratch};
use crate::tour;
use crate::tour::chain_rule::{Matrix, matrix, sum};
use crate::tour::gelu::{
    activate, activate_backward, gelu, gelu_slope, normal_cdf, quick_gelu, quick_gelu_slope, sigmoid,
};
use crate::tour::layer_norm::{layer_norm_backward, normalised, normalised_backward, statistics};
use crate::tour::linear::linear_backward;
use crate::tour::softmax::{cross_entropy_backward, softmax, softmax_backward};
use crate::tour::unit_length::{length, unit, unit_backward};
use kernels::{Activation, Write};
use ndarray::{Array2, ArrayView2};

pub(super) const LINEAR: Layer = Layer {
    name: "linear",
    chapter: "1, tour::linear",
    formula: "y = x Wᵀ + b",
    tensors: &[("x", 4, 3), ("weight", 5, 3), ("bias", 1, 5)],
    forward: |at| {
        let [x, weight, bias] = of(at);
        tour::linear::linear(x, weight, &bias[0])
    },
    backward: |at, dy| {
        let [x, weight, _] = of(at);
        let (dx, dweight, dbias) = linear_backward(x, weight, dy);
        vec![dx, dweight, row(dbias)]
    },
    fast: |at, dy| {
        let [x, weight, bias] = of(at);
        let p = Linear { weight: read(weight), bias: read(bias) };
        let (mut y, [mut dx, mut dweight, mut dbias]) = (Array2::zeros(dy.raw_dim()), zeros(of(at)));
        linear::forward(&p, x.view(), y.view_mut());
        let g = &mut Linear { weight: write(&mut dweight), bias: write(&mut dbias) };
        linear::backward(&p, x.view(), dy, Write::Set, dx.view_mut(), g);
        (y, vec![dx, dweight, dbias])
    },
    terms: &[
        Term {
            name: "outputs",
            formula: "the sum over o in dx = Σₒ dyₙₒ Wₒᵢ: the first output alone",
            leave_out: |at, dy, g| {
                let first = matrix(dy.len(), 1, |n, _| dy[n][0]);
                g[0] = linear_backward(&at[0], &at[1][..1].to_vec(), &first).0;
            },
        },
        Term {
            name: "rows-of-weight",
            formula: "the sum over n in dW = Σₙ dyₙₒ xₙᵢ: the first row alone",
            leave_out: |at, dy, g| g[1] = linear_backward(&at[0][..1].to_vec(), &at[1], &dy[..1].to_vec()).1,
        },
        Term {
            name: "rows-of-bias",
            formula: "the sum over n in db = Σₙ dyₙₒ: the first row alone",
            leave_out: |_, dy, g| g[2] = dy[..1].to_vec(),
        },
    ],
};

/// Returns what the library's activation makes of x, and dx.
fn activated(activation: Activation, x: &Array2<f32>, dy: ArrayView2<f32>) -> Fast {
    let (mut y, mut dx) = (Array2::zeros(x.raw_dim()), dy.to_owned());
    activation.forward(read(x), write(&mut y));
    activation.backward(read(x), write(&mut dx));
    (y, vec![dx])
}

pub(super) const GELU: Layer = Layer {
    name: "gelu",
    chapter: "2, tour::gelu",
    formula: "y = x Φ(x)",
    tensors: &[("x", 4, 6)],
    forward: |at| activate(gelu, &at[0]),
    backward: |at, dy| vec![activate_backward(gelu_slope, &at[0], dy)],
    fast: |at, dy| activated(Activation::Gelu, &at[0], dy),
    terms: &[
        Term {
            name: "density",
            formula: "x φ(x) in GELU′ = Φ(x) + x φ(x)",
            leave_out: |at, dy, g| g[0] = activate_backward(normal_cdf, &at[0], dy),
        },
        Term {
            name: "area",
            formula: "Φ(x) in GELU′ = Φ(x) + x φ(x)",
            leave_out: |at, dy, g| g[0] = activate_backward(|x| gelu_slope(x) - normal_cdf(x), &at[0], dy),
        },
    ],
};

pub(super) const QUICK_GELU: Layer = Layer {
    name: "quick_gelu",
    chapter: "2, tour::gelu",
    formula: "y = x sigmoid(1.702 x)",
    tensors: &[("x", 4, 6)],
    forward: |at| activate(quick_gelu, &at[0]),
    backward: |at, dy| vec![activate_backward(quick_gelu_slope, &at[0], dy)],
    fast: |at, dy| activated(Activation::QuickGelu, &at[0], dy),
    terms: &[
        Term {
            name: "slope-of-gate",
            formula: "x · 1.702 gate (1 − gate) beside the gate",
            leave_out: |at, dy, g| g[0] = activate_backward(|x| sigmoid(1.702 * x), &at[0], dy),
        },
        Term {
            name: "factor",
            formula: "1.702 in x · 1.702 gate (1 − gate)",
            leave_out: |at, dy, g| {
                let gate = |x: f64| sigmoid(1.702 * x);
                let slope = |x| gate(x) + (quick_gelu_slope(x) - gate(x)) / 1.702;
                g[0] = matrix(dy.len(), dy[0].len(), |n, j| dy[n][j] * slope(at[0][n][j]));
            },
        },
    ],
};

/// ε of the LayerNorm here, which is CLIP's.
const EPS: f32 = 1e-5;

/// r mean(dx̂), which LayerNorm's dx has less
pub(super) fn mean_term(x: &Matrix, eps: f64, dx_hat: &Matrix) -> Matrix {
    let width = x[0].len();
    matrix(x.len(), width, |n, _| statistics(&x[n], eps).1 * sum(width, |i| dx_hat[n][i]) / width as f64)
}

/// r x̂ mean(dx̂∘x̂), which LayerNorm's dx has less
pub(super) fn along_term(x: &Matrix, eps: f64, dx_hat: &Matrix) -> Matrix {
    let (width, x_hat) = (x[0].len(), normalised(x, eps));
    let mean = |n: usize| sum(width, |i| dx_hat[n][i] * x_hat[n][i]) / width as f64;
    matrix(x.len(), width, |n, j| statistics(&x[n], eps).1 * x_hat[n][j] * mean(n))
}

/// dx̂ₙᵢ = dyₙᵢ weightᵢ
pub(super) fn weighted(dy: &Matrix, weight: &Matrix) -> Matrix {
    matrix(dy.len(), dy[0].len(), |n, i| dy[n][i] * weight[0][i])
}

/// a ← a + b
pub(super) fn add_to(a: &mut Matrix, b: &Matrix) {
    *a = tour::block::add(a, b);
}

pub(super) const LAYER_NORM: Layer = Layer {
    name: "layer_norm",
    chapter: "3, tour::layer_norm",
    formula: "y = x̂∘weight + bias",
    tensors: &[("x", 3, 6), ("weight", 1, 6), ("bias", 1, 6)],
    forward: |at| {
        let [x, weight, bias] = of(at);
        tour::layer_norm::layer_norm(x, &weight[0], &bias[0], f64::from(EPS))
    },
    backward: |at, dy| {
        let (dx, dweight, dbias) = layer_norm_backward(&at[0], &at[1][0], f64::from(EPS), dy);
        vec![dx, row(dweight), row(dbias)]
    },
    fast: |at, dy| {
        let [x, weight, bias] = of(at);
        let p = LayerNorm { weight: read(weight), bias: read(bias) };
        let (mut y, [mut dx, mut dweight, mut dbias]) = (Array2::zeros(dy.raw_dim()), zeros(of(at)));
        with(&Saved::dims(x.nrows()), |saved| {
            layer_norm::forward(&p, EPS, x.view(), y.view_mut(), saved);
            let g = &mut LayerNorm { weight: write(&mut dweight), bias: write(&mut dbias) };
            layer_norm::backward(&p, x.view(), saved, dy, Write::Set, dx.view_mut(), g);
        });
        (y, vec![dx, dweight, dbias])
    },
    terms: &[
        Term {
            name: "mean",
            formula: "− mean(dx̂) in dx = r (dx̂ − mean(dx̂) − x̂ mean(dx̂∘x̂))",
            leave_out: |at, dy, g| add_to(&mut g[0], &mean_term(&at[0], f64::from(EPS), &weighted(dy, &at[1]))),
        },
        Term {
            name: "along",
            formula: "− x̂ mean(dx̂∘x̂) in dx = r (dx̂ − mean(dx̂) − x̂ mean(dx̂∘x̂))",
            leave_out: |at, dy, g| add_to(&mut g[0], &along_term(&at[0], f64::from(EPS), &weighted(dy, &at[1]))),
        },
        Term {
            name: "weight",
            formula: "∘weight in dx̂ = dy∘weight",
            leave_out: |at, dy, g| g[0] = normalised_backward(&at[0], f64::from(EPS), dy),
        },
    ],
};

pub(super) const SOFTMAX: Layer = Layer {
    name: "softmax",
    chapter: "4, tour::softmax",
    formula: "y = P, the softmax of each row of the scores",
    tensors: &[("scores", 3, 5)],
    forward: |at| softmax(&at[0]),
    backward: |at, dy| vec![softmax_backward(&softmax(&at[0]), dy)],
    fast: |at, dy| {
        let (mut y, mut dx, choices) = (at[0].clone(), dy.to_owned(), dy.ncols());
        kernels::softmax::forward(write(&mut y), choices);
        kernels::softmax::backward(read(&y), write(&mut dx), choices);
        (y, vec![dx])
    },
    terms: &[Term {
        name: "mean",
        formula: "− Σᵢ Pₙᵢ dPₙᵢ in dSₙⱼ = Pₙⱼ (dPₙⱼ − Σᵢ Pₙᵢ dPₙᵢ)",
        leave_out: |at, dy, g| {
            let p = softmax(&at[0]);
            g[0] = matrix(p.len(), p[0].len(), |n, j| p[n][j] * dy[n][j]);
        },
    }],
};

/// The right choice of each row.
const RIGHT: [usize; 4] = [2, 0, 4, 2];

pub(super) const CROSS_ENTROPY: Layer = Layer {
    name: "cross_entropy",
    chapter: "4, tour::softmax",
    formula: "y = 1/N Σₙ (lse(row n) − S at the right choice)",
    tensors: &[("scores", 4, 5)],
    forward: |at| vec![vec![tour::softmax::cross_entropy(&at[0], &RIGHT)]],
    backward: |at, dy| vec![times(dy[0][0], &cross_entropy_backward(&at[0], &RIGHT))],
    fast: |at, dy| {
        // The library computes the scores itself, as rows times a matrix. With the unit matrix they are the rows.
        let ([scores], [mut dscores]) = (of(at), zeros(of(at)));
        let (classes, mut labels, mut losses) = (scores.ncols(), Labels::default(), [0.0; RIGHT.len()]);
        labels.fill_mean(RIGHT.map(|right| Some(right as u32)));
        let (unit, bias) = (Array2::eye(classes), vec![0.0; classes]);
        let (mut dunit, mut dbias) = (Array2::zeros(unit.raw_dim()), vec![0.0; classes]);
        let (p, g) = (Linear { weight: read(&unit), bias: &bias[..] }, write(&mut dunit));
        let g = &mut Linear { weight: g, bias: &mut dbias[..] };
        let sums = with(&Scratch::dims(scores.nrows(), classes, classes), |scratch| {
            cross_entropy::backward(&p, scores.view(), &labels, 0.0, &mut losses, dscores.view_mut(), g, scratch)
        });
        (Array2::from_elem((1, 1), sums.loss as f32), vec![dscores * dy[[0, 0]]])
    },
    terms: &[
        Term {
            name: "right-choice",
            formula: "− δ in dSₙⱼ = (Pₙⱼ − δ) / N",
            leave_out: |at, dy, g| g[0] = times(dy[0][0] / at[0].len() as f64, &softmax(&at[0])),
        },
        Term {
            name: "number",
            formula: "1/N in dSₙⱼ = (Pₙⱼ − δ) / N",
            leave_out: |at, _, g| g[0] = times(at[0].len() as f64, &g[0]),
        },
    ],
};

/// factor · x
pub(super) fn times(factor: f64, x: &Matrix) -> Matrix {
    matrix(x.len(), x[0].len(), |n, j| factor * x[n][j])
}

pub(super) const UNIT_LENGTH: Layer = Layer {
    name: "unit_length",
    chapter: "9, tour::unit_length",
    formula: "y = x / |x|",
    tensors: &[("x", 4, 5)],
    forward: |at| unit(&at[0]),
    backward: |at, dy| vec![unit_backward(&at[0], dy)],
    fast: |at, dy| {
        let ([x], [mut dx]) = (of(at), zeros(of(at)));
        let (mut y, mut norm) = (Array2::zeros(x.raw_dim()), Array2::zeros((x.nrows(), 1)));
        normalize::forward(x.view(), y.view_mut(), norm.view_mut());
        normalize::backward(y.view(), norm.view(), dy, dx.view_mut());
        (y, vec![dx])
    },
    terms: &[
        Term {
            name: "along",
            formula: "− y ⟨y, dy⟩ in dx = (dy − y ⟨y, dy⟩) / |x|",
            leave_out: |at, dy, g| g[0] = matrix(dy.len(), dy[0].len(), |n, j| dy[n][j] / length(&at[0][n])),
        },
        Term {
            name: "length",
            formula: "/ |x| in dx = (dy − y ⟨y, dy⟩) / |x|",
            leave_out: |at, _, g| g[0] = matrix(g[0].len(), g[0][0].len(), |n, j| g[0][n][j] * length(&at[0][n])),
        },
    ],
};
