//! The symmetric contrastive loss of CLIP (Radford et al. 2021, figure 3; InfoNCE: van den Oord et al. 2018, eq. 4),
//! streaming: the N×N logits never exist.
//!
//! With unit-length rows I, T (N,d) and s = exp(logit_scale), S = s·I·Tᵀ. Picture i should choose its captions among
//! the row Sᵢ, caption j its pictures among the column Sⱼ:
//!
//! ```text
//! image→text  = 1/N Σᵢ (lse of row i    − mean of Sᵢⱼ over the positives j of i)
//! text→image  = 1/N Σⱼ (lse of column j − mean of Sᵢⱼ over the positives i of j)
//! loss        = (image→text + text→image) / 2
//! ```
//!
//! # Derivation
//! ∂lse/∂S is a softmax, so with P, Q the row and column softmax and nᵢ the number of positives of i,
//! dS = (P + Q − C)/2N, where Cᵢⱼ = 1/nᵢ + 1/nⱼ for positives and 0 elsewhere (2 on the diagonal of plain CLIP). Then
//! dI = s·dS·T, dT = s·dSᵀ·I, and since ∂S/∂logit_scale = S, dlogit_scale = Σ dS∘S = Σᵢ ⟨Iᵢ, dIᵢ⟩, which needs no pass
//! over the logits.
//!
//! # Memory
//! Forward makes S tile by tile and folds each tile into running log-sum-exps of its rows and columns: two numbers a
//! row. Backward makes the tiles again, turns each into P + Q, and multiplies it away. One product more than keeping S
//! would take, O(N·d) memory instead of O(N²).

use super::positives::Positives;
use crate::layers::{floats, floats_mut, mat, mat_mut, rows, rows_mut};
use crate::tree::{Dim, tree};
use kernels::{Epilogue, Mat, MatMut, gemm::gemm, info_nce};
use ndarray::{ArrayView2, ArrayViewMut2};
use rayon::prelude::*;
use std::ops::Range;

/// Rows and columns of a tile: 4 MB, large enough for the matrix product to be at full speed, small beside I and T.
const TILE_ROWS: usize = 256;
const TILE_COLS: usize = 4096;

tree! {
    /// Log-sum-exp of each row and column of S, (1,N).
    Saved { image_lse, text_lse }
}

tree! {
    /// One tile of logits, and the running maximum and sum of each row and column.
    Scratch { tile, row_max, row_sum, col_max, col_sum }
}

impl Saved<Dim> {
    pub fn dims(n: usize) -> Self {
        Saved { image_lse: Dim(1, n), text_lse: Dim(1, n) }
    }
}

impl Scratch<Dim> {
    pub fn dims(n: usize) -> Self {
        let line = Dim(1, n);
        let tile = Dim(1, TILE_ROWS.min(n) * TILE_COLS.min(n));
        Scratch { tile, row_max: line, row_sum: line, col_max: line, col_sum: line }
    }
}

/// Both halves of the loss; chance is ln N for each.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Loss {
    pub image_to_text: f32,
    pub text_to_image: f32,
}

impl Loss {
    /// What is minimised.
    pub fn mean(self) -> f32 {
        (self.image_to_text + self.text_to_image) / 2.0
    }
}

/// images, texts (N,d) of unit length; scale = exp(logit_scale).
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
    let n = images.nrows();
    let Scratch { tile, row_max, row_sum, col_max, col_sum } = scratch;
    let tile = floats_mut(tile.view_mut());
    let [row_max, row_sum, col_max, col_sum] =
        [row_max, row_sum, col_max, col_sum].map(|line| floats_mut(line.view_mut()));
    row_max.fill(f32::NEG_INFINITY);
    col_max.fill(f32::NEG_INFINITY);
    row_sum.fill(0.0);
    col_sum.fill(0.0);
    for_each_tile(n, |i, j| {
        let tile = logits(images, texts, scale, &i, &j, tile);
        info_nce::fold_rows(tile, j.len(), &mut row_max[i.clone()], &mut row_sum[i]);
        info_nce::fold_cols(tile, j.len(), &mut col_max[j.clone()], &mut col_sum[j]);
    });
    let image_lse = floats_mut(saved.image_lse.view_mut());
    let text_lse = floats_mut(saved.text_lse.view_mut());
    log_sum_exp(row_max, row_sum, image_lse);
    log_sum_exp(col_max, col_sum, text_lse);
    mean_losses(images, texts, scale, positives, image_lse, text_lse)
}

/// dimages, dtexts (N,d), both overwritten; returns ∂loss/∂logit_scale.
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
    let n = images.nrows();
    let ds = scale / (2.0 * n as f32);
    let (image_lse, text_lse) = (floats(saved.image_lse.view()), floats(saved.text_lse.view()));
    let tile = floats_mut(scratch.tile.view_mut());
    for_each_tile(n, |r, c| {
        let first = |start| if start == 0 { 0.0 } else { 1.0 };
        let (i, t) = (rows(images, &r), rows(texts, &c));
        let tile = logits(images, texts, scale, &r, &c, tile);
        info_nce::softmax_sum(tile, &image_lse[r.clone()], &text_lse[c.clone()]);
        let tile = Mat::new(tile, r.len(), c.len());
        let di = mat_mut(rows_mut(dimages.view_mut(), &r));
        gemm(ds, tile, mat(t), first(c.start), di, Epilogue::None);
        let dt = mat_mut(rows_mut(dtexts.view_mut(), &c));
        gemm(ds, tile.t(), mat(i), first(r.start), dt, Epilogue::None);
    });
    subtract_positives(texts, ds, positives, dimages.view_mut());
    subtract_positives(images, ds, positives, dtexts);
    let (i, di) = (floats(images), floats(dimages.view()));
    i.iter().zip(di).map(|(i, di)| f64::from(*i) * f64::from(*di)).sum::<f64>() as f32
}

/// Row by row of tiles.
fn for_each_tile(n: usize, mut f: impl FnMut(Range<usize>, Range<usize>)) {
    for row in (0..n).step_by(TILE_ROWS) {
        for col in (0..n).step_by(TILE_COLS) {
            f(row..n.min(row + TILE_ROWS), col..n.min(col + TILE_COLS));
        }
    }
}

/// tile = s·I·Tᵀ for these rows of I and T.
fn logits<'a>(
    images: ArrayView2<f32>,
    texts: ArrayView2<f32>,
    scale: f32,
    r: &Range<usize>,
    c: &Range<usize>,
    tile: &'a mut [f32],
) -> &'a mut [f32] {
    let tile = &mut tile[..r.len() * c.len()];
    let out = MatMut::new(tile, r.len(), c.len());
    let (i, t) = (rows(images, r), rows(texts, c));
    gemm(scale, mat(i), mat(t).t(), 0.0, out, Epilogue::None);
    tile
}

fn log_sum_exp(max: &[f32], sum: &[f32], lse: &mut [f32]) {
    lse.iter_mut().zip(max.iter().zip(sum)).for_each(|(lse, (max, sum))| *lse = max + sum.ln());
}

/// The mean of lse − mean positive logit in each direction, summed in f64 in the order of the pairs.
fn mean_losses(
    images: ArrayView2<f32>,
    texts: ArrayView2<f32>,
    scale: f32,
    positives: &Positives,
    image_lse: &[f32],
    text_lse: &[f32],
) -> Loss {
    let mut sums = [0.0f64; 2];
    for i in 0..images.nrows() {
        let fitting = positives.of(i);
        let mean_cosine = |of: ArrayView2<f32>, others: ArrayView2<f32>| {
            let cosines = fitting.iter().map(|&j| f64::from(of.row(i).dot(&others.row(j as usize))));
            cosines.sum::<f64>() / fitting.len() as f64
        };
        sums[0] += f64::from(image_lse[i]) - f64::from(scale) * mean_cosine(images, texts);
        sums[1] += f64::from(text_lse[i]) - f64::from(scale) * mean_cosine(texts, images);
    }
    let [image_to_text, text_to_image] = sums.map(|sum| (sum / images.nrows() as f64) as f32);
    Loss { image_to_text, text_to_image }
}

/// dxᵢ −= ds Σⱼ Cᵢⱼ otherⱼ, the sparse part of dS, with Cᵢⱼ = 1/nᵢ + 1/nⱼ over the positives j of i.
fn subtract_positives(others: ArrayView2<f32>, ds: f32, positives: &Positives, dx: ArrayViewMut2<f32>) {
    let width = dx.ncols();
    floats_mut(dx).par_chunks_mut(width).enumerate().for_each(|(i, dx)| {
        let fitting = positives.of(i);
        for &j in fitting {
            let c = 1.0 / fitting.len() as f32 + 1.0 / positives.of(j as usize).len() as f32;
            dx.iter_mut().zip(others.row(j as usize)).for_each(|(dx, other)| *dx -= ds * c * other);
        }
    });
}

#[track_caller]
fn check(images: ArrayView2<f32>, texts: ArrayView2<f32>, positives: &Positives) {
    assert_eq!(images.dim(), texts.dim(), "images and texts");
    assert_eq!(images.nrows(), positives.len(), "images and positives");
}
