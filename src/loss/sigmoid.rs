//! The sigmoid loss of SigLIP (Zhai et al. 2023, section 3.2), in one pass. The N×N scores are never stored.
//!
//! Every picture with every caption is a question by itself: do they fit? The logit is the answer:
//!
//! ```text
//! Sᵢⱼ    = s·⟨Îᵢ, T̂ⱼ⟩ + b        s = exp(logit_scale), b = logit_bias
//! signᵢⱼ = 1 for positives, −1 elsewhere
//! loss   = 1/N Σᵢⱼ −ln σ(signᵢⱼ Sᵢⱼ)
//!        = 1/N Σᵢⱼ softplus(−signᵢⱼ Sᵢⱼ)
//! ```
//!
//! pictures Î (N,e), captions T̂ (N,e), scores S (N,N)
//!
//! The sum over N² pairs is divided by N. There is one term instead of two directions, and nothing that is normalised
//! over a row or a column. As most pairs do not fit, b begins at −10, so that nearly all answers are no at first.
//!
//! # Derivation
//! The derivative of softplus is σ:
//!
//! ```text
//! margin       = −sign∘S
//! dS           = −sign∘σ(margin) / N
//! dÎ           = s·dS·T̂
//! dT̂           = s·dSᵀ·Î
//! dlogit_bias  = Σ dS
//! dlogit_scale = Σ dS∘(S − b) = Σᵢ ⟨Îᵢ, dÎᵢ⟩
//! ```
//!
//! An entry of dS depends on its own score alone. A tile therefore gives its share of the loss and of all gradients at
//! once: three products instead of the five of [`info_nce`](super::info_nce), and nothing to keep for a second pass.
//! The signs of the few positives are changed before and after the tile's elementwise half; no difference of nearly
//! equal numbers is ever taken.
//!
//! # A part of the pairs
//! [`Positives::own`] says which of the N pairs the sums and gradients are for. As in InfoNCE, one pass takes their
//! rows against all columns and another all rows against their columns, and each pair gets the bits that it would get
//! from all pairs at once. [`Sums`] has one place for each pair, so that machines can add them up in the order of the
//! pairs, whoever computed them.
//!
//! Implementations on many devices let chunks of captions travel round a ring, so that no device holds all of them, and
//! send the gradients of captions back to their owners (section 3.3). Here every machine has gathered all embeddings,
//! which take N·e numbers, and computes the gradients of its own captions by itself: no gradient of an embedding is
//! ever sent.

use super::contrast::{Scores, TILE_COLS, TILE_ROWS, dot, for_each_tile, multiply, passes, tile_len};
use super::positives::Positives;
use crate::layers::{floats_mut, rows, rows_mut};
use crate::tree::{Dim, tree};
use kernels::{Mat, sigmoid};
use ndarray::ArrayViewMut2;
use std::ops::Range;

tree! {
    /// One tile of scores, and b for each of its columns.
    Scratch { tile, bias }
}

impl Scratch<Dim> {
    /// Returns the sizes for N pairs.
    pub fn dims(n: usize) -> Self {
        Scratch { tile: Dim(1, tile_len(n, n)), bias: Dim(1, TILE_COLS.min(n)) }
    }
}

/// The share that each own pair's row of S has in the loss and in the gradients of the two scalars. The sum over all N
/// pairs, in their order, is the loss or the gradient.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sums {
    /// The shares of the loss, in nats.
    pub loss: Vec<f64>,
    /// The shares of ∂loss/∂logit_bias.
    pub dlogit_bias: Vec<f64>,
    /// The shares of ∂loss/∂logit_scale.
    pub dlogit_scale: Vec<f64>,
}

/// Computes the own pairs' sums, and dÎ = s·dS·T̂, dT̂ = s·dSᵀ·Î for the mean loss over all N pairs.
///
/// Î `scores.rows`, T̂ `scores.cols` (N,e), of unit length; `dimages`, `dtexts` (own,e), both overwritten
#[track_caller]
pub fn forward_backward(
    scores: &Scores,
    logit_bias: f32,
    positives: &Positives,
    mut dimages: ArrayViewMut2<f32>,
    mut dtexts: ArrayViewMut2<f32>,
    sums: &mut Sums,
    scratch: &mut Scratch<ArrayViewMut2<f32>>,
) {
    let (images, texts) = (scores.rows, scores.cols);
    assert_eq!(images.dim(), texts.dim(), "images and texts");
    assert_eq!(images.nrows(), positives.columns(), "images and positives");
    let (n, own) = (images.nrows(), positives.own());
    let ds = scores.scale / n as f32;
    let (tile, bias) = (floats_mut(scratch.tile.view_mut()), floats_mut(scratch.bias.view_mut()));
    bias.fill(logit_bias);
    sums.reset(own.len());
    // The sums of rows in the pass that serves columns alone are another machine's.
    let unused = &mut [[0.0; TILE_ROWS]; 2];
    let place = |range: &Range<usize>| range.start - own.start..range.end - own.start;
    for pass in passes(own.clone(), n) {
        for_each_tile(pass.rows, pass.cols, |i, j| {
            let tile = scores.tile_plus(&i, &j, bias, tile);
            let (loss, slope) = match (pass.of_rows, &mut *unused) {
                (true, _) => (&mut sums.loss[place(&i)], &mut sums.dlogit_bias[place(&i)]),
                (false, [loss, slope]) => (&mut loss[..i.len()], &mut slope[..i.len()]),
            };
            // From S to the margins −sign∘S, of which those of negatives are S itself.
            change_signs(tile, [&i, &j], pass.of_rows, positives, |_, _| {});
            sigmoid::fold(tile, j.len(), loss, slope);
            // From σ(margin) to −sign∘σ(margin), which is N·dS. The sum over a row has taken its positives for
            // negatives.
            change_signs(tile, [&i, &j], pass.of_rows, positives, |row, value| slope[row] -= 2.0 * f64::from(value));
            let tile = Mat::new(tile, i.len(), j.len());
            if pass.of_rows {
                multiply(ds, tile, rows(texts, &j), j.start == 0, rows_mut(dimages.view_mut(), &place(&i)));
            }
            if pass.of_cols {
                multiply(ds, tile.t(), rows(images, &i), i.start == 0, rows_mut(dtexts.view_mut(), &place(&j)));
            }
        });
    }
    let n = n as f64;
    sums.loss.iter_mut().chain(&mut sums.dlogit_bias).for_each(|sum| *sum /= n);
    for (k, i) in own.enumerate() {
        sums.dlogit_scale[k] = dot(rows(images, &(i..i + 1)), rows(dimages.view(), &(k..k + 1)));
    }
}

/// Returns the loss of the best model that gives one logit to all pairs, and so cannot tell any apart. It answers with
/// the share of positives among all N² pairs, which costs N times the entropy of that share; about 1 + ln N if each
/// pair fits only itself.
pub fn chance(positives: &Positives) -> f64 {
    let n = positives.columns() as f64;
    let count: usize = (0..positives.columns()).map(|j| positives.count(j)).sum();
    let p = count as f64 / (n * n);
    let entropy = |p: f64| if p > 0.0 { -p * p.ln() } else { 0.0 };
    n * (entropy(p) + entropy(1.0 - p))
}

impl Sums {
    /// Sets the sums of this many pairs to zero.
    fn reset(&mut self, pairs: usize) {
        for sums in [&mut self.loss, &mut self.dlogit_bias, &mut self.dlogit_scale] {
            sums.clear();
            sums.resize(pairs, 0.0);
        }
    }
}

/// Changes the sign of every positive of a tile of these rows and columns, after `f` has got its row in the tile and
/// its value. Positives are those of the rows if the rows are own, else those of the columns.
fn change_signs(
    tile: &mut [f32],
    [rows, cols]: [&Range<usize>; 2],
    rows_are_own: bool,
    positives: &Positives,
    mut f: impl FnMut(usize, f32),
) {
    let (own, others) = if rows_are_own { (rows, cols) } else { (cols, rows) };
    for a in own.clone() {
        for &b in positives.within(a, others) {
            let (i, j) = if rows_are_own { (a, b as usize) } else { (b as usize, a) };
            let (row, col) = (i - rows.start, j - cols.start);
            let value = &mut tile[row * cols.len() + col];
            f(row, *value);
            *value = -*value;
        }
    }
}
