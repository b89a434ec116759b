//! The symmetric contrastive loss of CLIP (Radford et al. 2021, figure 3; InfoNCE: van den Oord et al. 2018, eq. 4). It
//! streams: the N×N scores are never stored.
//!
//! Picture i should choose its captions among row i of the scores, caption j its pictures among column j:
//!
//! ```text
//! S           = s·Î·T̂ᵀ        s = exp(logit_scale)
//! image→text  = 1/N Σᵢ (lse of row i    − mean of Sᵢⱼ over the positives j of i)
//! text→image  = 1/N Σⱼ (lse of column j − mean of Sᵢⱼ over the positives i of j)
//! loss        = (image→text + text→image) / 2
//! ```
//!
//! pictures Î (N,e), captions T̂ (N,e), scores S (N,N)
//!
//! # Derivation
//! The derivative of a log-sum-exp is a softmax: P of the rows, Q of the columns.
//!
//! ```text
//! dS           = (P + Q − hard)/2N
//! hardᵢⱼ       = 1/(positives of i) + 1/(positives of j) for positives, 0 elsewhere
//! dÎ           = s·dS·T̂
//! dT̂           = s·dSᵀ·Î
//! dlogit_scale = Σ dS∘S = Σᵢ ⟨Îᵢ, dÎᵢ⟩
//! ```
//!
//! The gradient of the scale needs no pass over the scores. In plain CLIP `hard` is 2 on the diagonal.
//!
//! # Memory
//! The forward pass folds each tile of S into running log-sum-exps of its rows and columns, two numbers a row. The
//! backward pass makes the tiles again, turns each into P + Q, and multiplies it with the embeddings at once. That is
//! one product more than keeping S would take, and O(N·e) memory instead of O(N²).
//!
//! # A part of the pairs
//! [`Positives::own`] says which of the N pairs the losses and gradients are for. If these are not all pairs, one pass
//! takes their rows against all columns, and another takes all rows against their columns. Each pair gets the bits that
//! it would get from all pairs at once, unless a matrix product has so few rows (16) that another kernel takes it.
//! Every part computes the log-sum-exps of its own pairs; those of the other pairs have to be filled in between
//! [`forward`] and [`backward`].

use super::contrast::{LogSumExp, Scores, dot, for_each_tile, multiply, passes, tile_len};
use super::positives::Positives;
use crate::layers::{floats, floats_mut, rows, rows_mut};
use crate::tree::{Dim, tree};
use kernels::{Mat, info_nce, sparse};
use ndarray::{ArrayView2, ArrayViewMut2};
use std::ops::Range;

tree! {
    /// The log-sum-exp of each row and of each column of S.
    ///
    /// `image_lse`, `text_lse` (1,N)
    Saved { image_lse, text_lse }
}

tree! {
    /// One tile of scores, and the running sum of each row and of each column.
    ///
    /// `row_sum`, `col_sum` (1,N)
    Scratch { tile, row_sum, col_sum }
}

impl Saved<Dim> {
    /// Returns the sizes for N pairs.
    pub fn dims(n: usize) -> Self {
        Saved { image_lse: Dim(1, n), text_lse: Dim(1, n) }
    }
}

impl Scratch<Dim> {
    /// Returns the sizes for N pairs.
    pub fn dims(n: usize) -> Self {
        Scratch { tile: Dim(1, tile_len(n, n)), row_sum: Dim(1, n), col_sum: Dim(1, n) }
    }
}

/// Both halves of the loss, in nats. A model that cannot tell N pairs apart has ln N for each.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Loss {
    /// The mean loss of pictures that choose among captions.
    pub image_to_text: f64,
    /// The mean loss of captions that choose among pictures.
    pub text_to_image: f64,
}

impl Loss {
    /// (image→text + text→image) / 2, which is minimised
    pub fn mean(self) -> f64 {
        (self.image_to_text + self.text_to_image) / 2.0
    }
}

/// Computes what the own pairs contribute to the mean losses of all N, and writes their places in `saved`.
///
/// `images`, `texts` (N,e), of unit length
#[track_caller]
pub fn forward(
    images: ArrayView2<f32>,
    texts: ArrayView2<f32>,
    scale: f32,
    positives: &Positives,
    saved: &mut Saved<ArrayViewMut2<f32>>,
    scratch: &mut Scratch<ArrayViewMut2<f32>>,
) -> Loss {
    check(images, texts, positives);
    let scores = Scores { rows: images, cols: texts, scale };
    let Scratch { tile, row_sum, col_sum } = scratch;
    let tile = floats_mut(tile.view_mut());
    let image_lse = floats_mut(saved.image_lse.view_mut());
    let text_lse = floats_mut(saved.text_lse.view_mut());
    let mut by_row = LogSumExp::start(positives.own(), image_lse, floats_mut(row_sum.view_mut()));
    let mut by_col = LogSumExp::start(positives.own(), text_lse, floats_mut(col_sum.view_mut()));
    for pass in passes(positives.own(), images.nrows()) {
        for_each_tile(pass.rows, pass.cols, |i, j| {
            let tile = scores.tile(&i, &j, tile);
            if pass.of_rows {
                by_row.fold_rows(tile, &i);
            }
            if pass.of_cols {
                by_col.fold_cols(tile, &j);
            }
        });
    }
    by_row.finish();
    by_col.finish();
    mean_losses(images, texts, scale, positives, saved)
}

/// dÎ = s·dS·T̂, dT̂ = s·dSᵀ·Î, for the own pairs and the mean loss over all N pairs
///
/// `images`, `texts` (N,e), of unit length; `dimages`, `dtexts` (own,e), both overwritten
///
/// `saved` has to hold the log-sum-exps of all N pairs. Returns the own pairs' part of ∂loss/∂logit_scale.
#[track_caller]
pub fn backward(
    images: ArrayView2<f32>,
    texts: ArrayView2<f32>,
    scale: f32,
    positives: &Positives,
    saved: &Saved<ArrayViewMut2<f32>>,
    mut dimages: ArrayViewMut2<f32>,
    mut dtexts: ArrayViewMut2<f32>,
    scratch: &mut Scratch<ArrayViewMut2<f32>>,
) -> f32 {
    check(images, texts, positives);
    let (n, own) = (images.nrows(), positives.own());
    let (scores, ds) = (Scores { rows: images, cols: texts, scale }, scale / (2.0 * n as f32));
    let (image_lse, text_lse) = (floats(saved.image_lse.view()), floats(saved.text_lse.view()));
    let tile = floats_mut(scratch.tile.view_mut());
    let place = |range: &Range<usize>| range.start - own.start..range.end - own.start;
    for pass in passes(own.clone(), n) {
        for_each_tile(pass.rows, pass.cols, |i, j| {
            let tile = scores.tile(&i, &j, tile);
            info_nce::softmax_sum(tile, &image_lse[i.clone()], &text_lse[j.clone()]);
            let tile = Mat::new(tile, i.len(), j.len());
            if pass.of_rows {
                multiply(ds, tile, rows(texts, &j), j.start == 0, rows_mut(dimages.view_mut(), &place(&i)));
            }
            if pass.of_cols {
                multiply(ds, tile.t(), rows(images, &i), i.start == 0, rows_mut(dtexts.view_mut(), &place(&j)));
            }
        });
    }
    subtract_positives(texts, ds, positives, dimages.view_mut());
    subtract_positives(images, ds, positives, dtexts);
    dot(rows(images, &own), dimages.view()) as f32
}

/// Returns Σ over the own pairs of (lse − mean positive score) / N, in each direction. Sums are in f64, in the order of
/// the pairs.
fn mean_losses(
    images: ArrayView2<f32>,
    texts: ArrayView2<f32>,
    scale: f32,
    positives: &Positives,
    saved: &Saved<ArrayViewMut2<f32>>,
) -> Loss {
    let mut sums = [0.0f64; 2];
    for (k, i) in positives.own().enumerate() {
        let fitting = positives.of(k);
        let mean_cosine = |of: ArrayView2<f32>, others: ArrayView2<f32>| {
            let cosines = fitting.iter().map(|&j| f64::from(of.row(i).dot(&others.row(j as usize))));
            cosines.sum::<f64>() / fitting.len() as f64
        };
        sums[0] += f64::from(saved.image_lse[[0, i]]) - f64::from(scale) * mean_cosine(images, texts);
        sums[1] += f64::from(saved.text_lse[[0, i]]) - f64::from(scale) * mean_cosine(texts, images);
    }
    let [image_to_text, text_to_image] = sums.map(|sum| sum / positives.columns() as f64);
    Loss { image_to_text, text_to_image }
}

/// dxᵢ −= ds Σⱼ hardᵢⱼ otherⱼ, the sparse part of dS, over the positives j of i
fn subtract_positives(others: ArrayView2<f32>, ds: f32, positives: &Positives, dx: ArrayViewMut2<f32>) {
    let value = |i: usize, j: usize| -ds * (1.0 / positives.of(i).len() as f32 + 1.0 / positives.count(j) as f32);
    sparse::add(positives.lists(), &value, floats(others), others.ncols(), floats_mut(dx));
}

#[track_caller]
fn check(images: ArrayView2<f32>, texts: ArrayView2<f32>, positives: &Positives) {
    assert_eq!(images.dim(), texts.dim(), "images and texts");
    assert_eq!(images.nrows(), positives.columns(), "images and positives");
}
