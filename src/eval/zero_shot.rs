//! Zero-shot classification: a picture's class is the class whose *name* embeds closest to it.
//!
//! Source: Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision", section 3.1.
//!
//! Two equal pictures of different concepts need no special rule: they get the same answer, which is right for at most
//! one of them.

use super::rank::{Rank, ranks, recall};
use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

/// Shares of pictures, in [0, 1], whose class has the best score or one of the best five.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TopK {
    pub top1: f64,
    pub top5: f64,
}

impl TopK {
    /// Returns the accuracy that the ranks of the right classes give.
    pub(crate) fn of(ranks: &[Rank]) -> Self {
        TopK { top1: recall(ranks, 1), top5: recall(ranks, 5) }
    }

    /// Returns the scores of guessing among `classes` classes.
    pub fn chance(classes: usize) -> Self {
        Self::of(&[Rank::constant(classes, 1)])
    }
}

/// Returns top-1 and top-5 accuracy.
///
/// `images` (N,e), `classes` (M,e), rows of unit length
///
/// `truth[n]` is the class of picture n. Ties count by their expected value (see [`super::rank`]); a NaN similarity is
/// never a hit.
#[track_caller]
pub fn zero_shot(images: ArrayView2<f32>, classes: ArrayView2<f32>, truth: &[usize]) -> TopK {
    let positives: Vec<[usize; 1]> = truth.iter().map(|&class| [class]).collect();
    TopK::of(&ranks(images, classes, &positives))
}

/// Returns one embedding per class: the mean of its prompts' embeddings, scaled to unit length.
///
/// prompts (N,e), result (M,e)
///
/// `class[n]` is the class of prompt n. A class without prompts, or whose prompts cancel out, has no direction: its row
/// is NaN, which is never a hit.
#[track_caller]
pub fn class_embeddings(prompts: ArrayView2<f32>, class: &[usize], classes: usize) -> Array2<f32> {
    assert_eq!(prompts.nrows(), class.len(), "prompts {:?}, but {} classes of prompts", prompts.dim(), class.len());
    let mut sums = Array2::<f32>::zeros((classes, prompts.ncols()));
    for (prompt, &c) in prompts.rows().into_iter().zip(class) {
        let norm = prompt.dot(&prompt).sqrt();
        sums.row_mut(c).scaled_add(1.0 / norm, &prompt);
    }
    // The mean's 1/count cancels in the normalisation.
    for mut row in sums.rows_mut() {
        let norm = row.dot(&row).sqrt();
        row /= norm;
    }
    sums
}
