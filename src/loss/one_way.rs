//! One direction of a contrastive loss: every row chooses among the columns (InfoNCE: van den Oord et al. 2018, eq. 4),
//! with targets that may be soft (momentum distillation: Li et al. 2021, ALBEF, section 3.3).
//!
//! Row i should choose column j with the probability targetᵢⱼ:
//!
//! ```text
//! S      = s·X·Yᵀ
//! target = (1 − α)·hard + α·soft        hard: uniform over the positives of i; soft: any distribution
//! loss   = weight · Σᵢ (lse of row i − Σⱼ targetᵢⱼ Sᵢⱼ)
//! ```
//!
//! rows X (N,e), columns Y (M,e), scores and targets (N,M)
//!
//! There may be more columns than rows, such as a queue of earlier ones, and they need no gradient. CLIP's loss is the
//! mean of this loss and of the one with rows and columns exchanged; [`super::info_nce`] makes both from one set of
//! tiles.
//!
//! # Derivation
//! The targets of a row sum to 1, so `mean_target` is a mean of columns, and it is all that a target contributes. With
//! P the softmax of the rows of S, and targets held constant:
//!
//! ```text
//! mean_target     = target·Y
//! Σⱼ targetᵢⱼ Sᵢⱼ = s·⟨Xᵢ, mean_targetᵢ⟩
//! dS              = weight·(P − target)
//! dX              = s·weight·(P·Y − mean_target)
//! dY              = s·weight·(P − target)ᵀ·X
//! ∂loss/∂ln s     = Σᵢ ⟨Xᵢ, dXᵢ⟩
//! ```
//!
//! # Memory
//! The loss takes O((N+M)·e) floats, because S and the soft targets are made a tile at a time. The forward pass turns
//! the targets into their means, and the backward pass makes the soft ones again only if the columns get a gradient.

use super::contrast::{Scores, dot, for_each_tile, multiply, tile_len};
use super::positives::Positives;
use crate::layers::{floats, floats_mut, rows, rows_mut};
use crate::tree::{Dim, tree};
use kernels::{Mat, info_nce, sparse};
use ndarray::ArrayViewMut2;
use std::ops::Range;

tree! {
    /// The log-sum-exp of each row, and its mean target.
    ///
    /// `lse` (1,N), `mean_target` (N,e)
    Saved { lse, mean_target }
}

tree! {
    /// One tile of scores, and the running sum of each row.
    ///
    /// `sum` (1,N)
    Scratch { tile, sum }
}

impl Saved<Dim> {
    /// Returns the sizes for N rows of `width`.
    pub fn dims(n: usize, width: usize) -> Self {
        Saved { lse: Dim(1, n), mean_target: Dim(n, width) }
    }
}

impl Scratch<Dim> {
    /// Returns the sizes for N rows and M columns.
    pub fn dims(n: usize, m: usize) -> Self {
        Scratch { tile: Dim(1, tile_len(n, m)), sum: Dim(1, n) }
    }
}

/// A distribution over the columns for every row, which is never whole in memory.
pub trait Distribution: Sync {
    /// tile ← the probabilities of columns `cols` for rows `rows`, row-major
    ///
    /// A row's sum over all columns is 1.
    fn fill(&self, rows: &Range<usize>, cols: &Range<usize>, tile: &mut [f32]);
}

impl<F: Fn(&Range<usize>, &Range<usize>, &mut [f32]) + Sync> Distribution for F {
    fn fill(&self, rows: &Range<usize>, cols: &Range<usize>, tile: &mut [f32]) {
        self(rows, cols, tile);
    }
}

/// The targets that the rows should choose: (1 − α)·hard + α·soft.
#[derive(Clone, Copy)]
pub struct Targets<'a> {
    /// The hard target is uniform over the positives of each row. [`Positives::own`] has as many pairs as there are
    /// rows, wherever they stand.
    pub hard: &'a Positives,
    /// The soft target is a distribution with its share α.
    pub soft: Option<(f32, &'a dyn Distribution)>,
}

impl Targets<'_> {
    /// (1−α)/nᵢ, the hard part of the target at each positive of row i
    fn of_positive(&self, i: usize) -> f32 {
        (1.0 - self.soft.map_or(0.0, |(share, _)| share)) / self.hard.of(i).len() as f32
    }
}

/// The softmax of other scores, such as those of a momentum model's embeddings.
pub struct Softmax<'a> {
    scores: Scores<'a>,
    lse: &'a [f32],
}

impl<'a> Softmax<'a> {
    /// Goes through the scores once and keeps their log-sum-exps in `lse` (N).
    pub fn new(scores: Scores<'a>, lse: &'a mut [f32], scratch: &mut Scratch<ArrayViewMut2<f32>>) -> Self {
        scores.row_lse(lse, floats_mut(scratch.sum.view_mut()), floats_mut(scratch.tile.view_mut()));
        Softmax { scores, lse }
    }
}

impl Distribution for Softmax<'_> {
    fn fill(&self, rows: &Range<usize>, cols: &Range<usize>, tile: &mut [f32]) {
        info_nce::softmax(self.scores.tile(rows, cols, tile), &self.lse[rows.clone()]);
    }
}

/// loss = weight · Σᵢ (lse of row i − Σⱼ targetᵢⱼ Sᵢⱼ)
///
/// `scores` of rows (N,e) and columns (M,e)
#[track_caller]
pub fn forward(
    scores: &Scores,
    targets: &Targets,
    weight: f32,
    saved: &mut Saved<ArrayViewMut2<f32>>,
    scratch: &mut Scratch<ArrayViewMut2<f32>>,
) -> f32 {
    check(scores, targets);
    let tile = floats_mut(scratch.tile.view_mut());
    scores.row_lse(floats_mut(saved.lse.view_mut()), floats_mut(scratch.sum.view_mut()), tile);
    mean_targets(scores, targets, saved.mean_target.view_mut(), tile);
    let lse: f64 = saved.lse.iter().map(|&lse| f64::from(lse)).sum();
    let chosen = f64::from(scores.scale) * dot(scores.rows, saved.mean_target.view());
    (f64::from(weight) * (lse - chosen)) as f32
}

/// dX = s·weight·(P·Y − mean_target), and if it is asked for dY = s·weight·(P − target)ᵀ·X
///
/// `drows` (N,e), `dcols` (M,e), both overwritten
///
/// Returns ∂loss/∂ln scale.
#[track_caller]
pub fn backward(
    scores: &Scores,
    targets: &Targets,
    weight: f32,
    saved: &Saved<ArrayViewMut2<f32>>,
    mut drows: ArrayViewMut2<f32>,
    mut dcols: Option<ArrayViewMut2<f32>>,
    scratch: &mut Scratch<ArrayViewMut2<f32>>,
) -> f32 {
    check(scores, targets);
    let ((n, m), factor) = (scores.dim(), scores.scale * weight);
    let lse = floats(saved.lse.view());
    let tile = floats_mut(scratch.tile.view_mut());
    for_each_tile(0..n, 0..m, |i, j| {
        let tile = scores.tile(&i, &j, tile);
        info_nce::softmax(tile, &lse[i.clone()]);
        let tile = Mat::new(tile, i.len(), j.len());
        multiply(factor, tile, rows(scores.cols, &j), j.start == 0, rows_mut(drows.view_mut(), &i));
        if let Some(dcols) = &mut dcols {
            let dcols = rows_mut(dcols.view_mut(), &j);
            multiply(factor, tile.t(), rows(scores.rows, &i), i.start == 0, dcols);
        }
    });
    drows.scaled_add(-factor, &saved.mean_target);
    if let Some(dcols) = dcols {
        subtract_targets(scores, targets, factor, dcols, tile);
    }
    dot(scores.rows, drows.view()) as f32
}

/// mean_target = target·Y
fn mean_targets(scores: &Scores, targets: &Targets, mut mean: ArrayViewMut2<f32>, buffer: &mut [f32]) {
    let (n, m) = scores.dim();
    match targets.soft {
        None => mean.fill(0.0),
        Some((share, soft)) => for_each_tile(0..n, 0..m, |i, j| {
            let tile = &mut buffer[..i.len() * j.len()];
            soft.fill(&i, &j, tile);
            let tile = Mat::new(tile, i.len(), j.len());
            multiply(share, tile, rows(scores.cols, &j), j.start == 0, rows_mut(mean.view_mut(), &i));
        }),
    }
    let value = |i: usize, _| targets.of_positive(i);
    sparse::add(targets.hard.lists(), &value, floats(scores.cols), scores.cols.ncols(), floats_mut(mean));
}

/// dY −= factor·targetᵀ·X
fn subtract_targets(
    scores: &Scores,
    targets: &Targets,
    factor: f32,
    mut dcols: ArrayViewMut2<f32>,
    buffer: &mut [f32],
) {
    let (n, m) = scores.dim();
    if let Some((share, soft)) = targets.soft {
        for_each_tile(0..n, 0..m, |i, j| {
            let tile = &mut buffer[..i.len() * j.len()];
            soft.fill(&i, &j, tile);
            let tile = Mat::new(tile, i.len(), j.len());
            multiply(-factor * share, tile.t(), rows(scores.rows, &i), false, rows_mut(dcols.view_mut(), &j));
        });
    }
    let value = |i: usize, _| -factor * targets.of_positive(i);
    sparse::add_transposed(targets.hard.lists(), &value, floats(scores.rows), scores.rows.ncols(), floats_mut(dcols));
}

#[track_caller]
fn check(scores: &Scores, targets: &Targets) {
    assert_eq!(scores.rows.ncols(), scores.cols.ncols(), "width of rows and of columns");
    let positives = (targets.hard.len(), targets.hard.columns());
    assert_eq!(scores.dim(), positives, "rows and columns of the scores and of the positives");
}
