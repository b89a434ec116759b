#![doc = include_str!("accumulation.md")]

use super::block::add;
use super::chain_rule::{Matrix, matrix, sum};
use super::contrast::{info_nce, info_nce_backward};
use super::unit_length::{unit, unit_backward};

/// y = x Wᵀ, an encoder of one layer
pub fn encoder(weight: &Matrix, x: &[Vec<f64>]) -> Matrix {
    matrix(x.len(), weight.len(), |n, o| sum(x[n].len(), |i| x[n][i] * weight[o][i]))
}

/// dW = dyᵀ x with dy of these rows, for y = x Wᵀ and then the unit length
pub fn encoder_backward(y: &Matrix, x: &[Vec<f64>], dembeddings: &[Vec<f64>]) -> Matrix {
    let dy = unit_backward(y, &dembeddings.to_vec());
    matrix(dy[0].len(), x[0].len(), |o, i| sum(x.len(), |n| dy[n][o] * x[n][i]))
}

/// The loss, both dW and dlogit_scale of a batch that goes through the encoders at once.
pub fn at_once(weights: [&Matrix; 2], x: [&[Vec<f64>]; 2], logit_scale: f64) -> (f64, [Matrix; 2], f64) {
    let y = [0, 1].map(|side| encoder(weights[side], x[side]));
    let (images, texts) = (unit(&y[0]), unit(&y[1]));
    let (dimages, dtexts, dlogit_scale) = info_nce_backward(&images, &texts, logit_scale);
    let loss = info_nce(&images, &texts, logit_scale).iter().sum::<f64>() / 2.0;
    (loss, [encoder_backward(&y[0], x[0], &dimages), encoder_backward(&y[1], x[1], &dtexts)], dlogit_scale)
}

/// The means over the micro-batches, each of which is contrasted by itself.
pub fn apart(weights: [&Matrix; 2], x: [&[Vec<f64>]; 2], logit_scale: f64, size: usize) -> (f64, [Matrix; 2], f64) {
    let mut sums = (0.0, [0, 1].map(|side| matrix(weights[side].len(), x[side][0].len(), |_, _| 0.0)), 0.0);
    for (images, texts) in x[0].chunks(size).zip(x[1].chunks(size)) {
        let (loss, dweights, dlogit_scale) = at_once(weights, [images, texts], logit_scale);
        let share = images.len() as f64 / x[0].len() as f64;
        (sums.0, sums.2) = (sums.0 + share * loss, sums.2 + share * dlogit_scale);
        for (sum, d) in sums.1.iter_mut().zip(&dweights) {
            *sum = add(sum, &matrix(d.len(), d[0].len(), |o, i| share * d[o][i]));
        }
    }
    sums
}

/// The same as `at_once`, but no encoder ever sees more than `size` rows.
pub fn cached(weights: [&Matrix; 2], x: [&[Vec<f64>]; 2], logit_scale: f64, size: usize) -> (f64, [Matrix; 2], f64) {
    let embed = |side: usize| x[side].chunks(size).flat_map(|x| unit(&encoder(weights[side], x))).collect::<Matrix>();
    let (images, texts) = (embed(0), embed(1));
    let (dimages, dtexts, dlogit_scale) = info_nce_backward(&images, &texts, logit_scale);
    let again = |side: usize, dembeddings: &Matrix| {
        let mut dweight = matrix(weights[side].len(), x[side][0].len(), |_, _| 0.0);
        for (x, dembeddings) in x[side].chunks(size).zip(dembeddings.chunks(size)) {
            let y = encoder(weights[side], x);
            dweight = add(&dweight, &encoder_backward(&y, x, dembeddings));
        }
        dweight
    };
    let loss = info_nce(&images, &texts, logit_scale).iter().sum::<f64>() / 2.0;
    (loss, [again(0, &dimages), again(1, &dtexts)], dlogit_scale)
}
