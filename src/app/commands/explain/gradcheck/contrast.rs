//! CLIP's loss: chapter 10.

use super::layer::{Layer, Term, of, with, zeros};
use super::rows::{add_to, times};
use crate::loss::info_nce::{self, Saved, Scratch};
use crate::loss::positives::Positives;
use crate::tour::attention::mix;
use crate::tour::chain_rule::{Matrix, matrix, sum};
use crate::tour::contrast::{compare, info_nce_backward, softmaxes};
use crate::tour::convolution::transposed;
use ndarray::Array2;

pub(super) const CONTRAST: Layer = Layer {
    name: "contrast",
    chapter: "10, tour::contrast",
    formula: "y = (image→text + text→image) / 2 with S = exp(logit_scale) Î T̂ᵀ",
    tensors: &[("images", 4, 3), ("texts", 4, 3), ("logit_scale", 1, 1)],
    forward: |at| {
        let [images, texts, logit_scale] = of(at);
        let [of_images, of_texts] = crate::tour::contrast::info_nce(images, texts, logit_scale[0][0]);
        vec![vec![(of_images + of_texts) / 2.0]]
    },
    backward: |at, dy| {
        let [images, texts, logit_scale] = of(at);
        let (dimages, dtexts, dlogit_scale) = info_nce_backward(images, texts, logit_scale[0][0]);
        vec![times(dy[0][0], &dimages), times(dy[0][0], &dtexts), vec![vec![dy[0][0] * dlogit_scale]]]
    },
    fast: |at, dy| {
        let ([images, texts, logit_scale], [mut dimages, mut dtexts, _]) = (of(at), zeros(of(at)));
        let (n, scale, dy) = (images.nrows(), logit_scale[[0, 0]].exp(), dy[[0, 0]]);
        let (i, t, positives) = (images.view(), texts.view(), Positives::diagonal(n));
        let (loss, dscale) = with(&Saved::dims(n), |saved| {
            with(&Scratch::dims(n), |scratch| {
                let loss = info_nce::forward(i, t, scale, &positives, saved, scratch).mean() as f32;
                let (di, dt) = (dimages.view_mut(), dtexts.view_mut());
                (loss, info_nce::backward(i, t, scale, &positives, saved, di, dt, scratch))
            })
        });
        let one = |x| Array2::from_elem((1, 1), x);
        (one(loss), vec![dimages * dy, dtexts * dy, one(dscale * dy)])
    },
    terms: &[
        Term {
            name: "columns",
            formula: "Qᵢⱼ in dSᵢⱼ = (Pᵢⱼ + Qᵢⱼ − 2δᵢⱼ) / 2N",
            leave_out: |at, dy, g| without(at, dy, g, |[_, q], i, j| q[i][j]),
        },
        Term {
            name: "pairs",
            formula: "− 2δᵢⱼ in dSᵢⱼ = (Pᵢⱼ + Qᵢⱼ − 2δᵢⱼ) / 2N",
            leave_out: |at, dy, g| without(at, dy, g, |_, i, j| if i == j { -2.0 } else { 0.0 }),
        },
        Term {
            name: "scale",
            formula: "s in dÎᵢₖ = s Σⱼ dSᵢⱼ T̂ⱼₖ",
            leave_out: |at, _, g| g[0] = times((-at[2][0][0]).exp(), &g[0]),
        },
    ],
};

/// Takes out of all gradients what a term of 2N dSᵢⱼ gives, which may depend on both softmaxes.
fn without(at: &[Matrix], dy: &Matrix, g: &mut [Matrix], term: fn(&[Matrix; 2], usize, usize) -> f64) {
    let [images, texts, logit_scale] = of(at);
    let (n, scale, logits) = (images.len(), logit_scale[0][0].exp(), compare(images, texts, logit_scale[0][0]));
    let softmaxes = softmaxes(&logits);
    let less = matrix(n, n, |i, j| -dy[0][0] * term(&softmaxes, i, j) / (2.0 * n as f64));
    add_to(&mut g[0], &times(scale, &mix(&less, texts)));
    add_to(&mut g[1], &times(scale, &mix(&transposed(&less), images)));
    g[2][0][0] += sum(n, |i| sum(n, |j| less[i][j] * logits[i][j]));
}
