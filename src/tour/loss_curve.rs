#![doc = include_str!("loss_curve.md")]

use super::accumulation::{at_once, encoder};
use super::adamw::{adamw, clip_norm, global_norm};
use super::chain_rule::{Matrix, matrix, sum};
use super::contrast::info_nce;
use super::unit_length::unit;

/// How many pairs a batch has, how many numbers a picture or a caption, and how many an embedding.
pub const SIZES: [usize; 3] = [16, 8, 4];

/// Numbers that look random, with mean 0 and variance 1, the same in every run (Marsaglia 2003).
pub fn noise(seed: u64, rows: usize, cols: usize) -> Matrix {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state >> 11) as f64 / (1u64 << 53) as f64 - 0.5) * 12f64.sqrt()
    };
    (0..rows).map(|_| (0..cols).map(|_| next()).collect()).collect()
}

/// Pictures and captions: mixtures of three facts, blurred. The last input is 60 for all of them.
pub fn pairs(seed: u64, n: usize, blur: f64) -> [Matrix; 2] {
    let (inputs, facts) = (SIZES[1], noise(seed, n, 3));
    [1, 2].map(|side| {
        let (mixture, blurs) = (noise(side, inputs, 3), noise(2 * seed + 1000 + side, n, inputs));
        let seen = |i: usize, j: usize| sum(3, |k| facts[i][k] * mixture[j][k]) / 3f64.sqrt() + blur * blurs[i][j];
        matrix(n, inputs, |i, j| if j + 1 == inputs { 60.0 } else { seen(i, j) })
    })
}

/// All parameters in one list: both matrices of weights, and behind them logit_scale.
pub fn unpack(w: &[f64]) -> ([Matrix; 2], f64) {
    let [_, inputs, e] = SIZES;
    ([0, 1].map(|side| matrix(e, inputs, |o, i| w[(side * e + o) * inputs + i])), w[w.len() - 1])
}

/// The mean cosine of two different rows of unit length.
pub fn alike(rows: &Matrix) -> f64 {
    let (n, e) = (rows.len(), rows[0].len());
    let cosine = |i: usize, j: usize| sum(e, |k| rows[i][k] * rows[j][k]);
    sum(n, |i| sum(n, |j| if i == j { 0.0 } else { cosine(i, j) })) / (n * (n - 1)) as f64
}

/// What is seen before a step: the loss of its batch, the loss of the pairs held out, s, the norm of the gradient, and
/// how alike the pictures held out are. Returns dw as well.
pub fn look(w: &[f64], batch: &[Matrix; 2], held_out: &[Matrix; 2]) -> ([f64; 5], Vec<f64>) {
    let (weights, logit_scale) = unpack(w);
    let (loss, dweights, dscale) = at_once([&weights[0], &weights[1]], [&batch[0], &batch[1]], logit_scale);
    let dw = [dweights.concat().concat(), vec![dscale]].concat();
    let [images, texts] = [0, 1].map(|side| unit(&encoder(&weights[side], &held_out[side])));
    let held_out_loss = info_nce(&images, &texts, logit_scale).iter().sum::<f64>() / 2.0;
    ([loss, held_out_loss, logit_scale.exp(), global_norm(&dw), alike(&images)], dw)
}

/// Trains for 300 steps, and returns what is seen before each of them.
pub fn train(
    rate: impl Fn(usize) -> f64,
    batch: impl Fn(usize) -> [Matrix; 2],
    held_out: &[Matrix; 2],
) -> Vec<[f64; 5]> {
    let [_, inputs, e] = SIZES;
    let mut w = noise(9, 1, 2 * e * inputs).concat().iter().map(|x| 0.3 * x).collect::<Vec<_>>();
    w.push((1.0 / 0.07f64).ln());
    let (mut mean, mut square, decay) = (vec![0.0; w.len()], vec![0.0; w.len()], vec![0.0; w.len()]);
    let step = |n: usize| {
        let (seen, dw) = look(&w, &batch(n), held_out);
        adamw(&mut w, &clip_norm(&dw, 1.0), &mut mean, &mut square, n as i32 + 1, rate(n), &decay);
        let last = w.len() - 1;
        w[last] = w[last].clamp(0.0, 100f64.ln());
        seen
    };
    (0..300).map(step).collect()
}
