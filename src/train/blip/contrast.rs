//! ITC: every picture chooses among texts, and every text among pictures (Li et al. 2021, ALBEF, sections 3.2 and 3.3).
//!
//! Rows are the model's features of this rank. Columns are the momentum copy's, of the queue and of the whole batch.
//! With the share α a row's target is what the copy's own feature would choose, with 1−α it is the row's own column:
//!
//! ```text
//! ITC = ½·(mean loss of pictures + mean loss of texts)
//! ```
//!
//! # Derivation
//! Each half is [one direction of a contrastive loss](one_way), whose columns and targets are constants, and whose
//! scale is 1/temp:
//!
//! ```text
//! ln s        = −ln temp
//! ∂loss/∂temp = −(∂loss/∂ln s)/temp
//! ```

use crate::loss::contrast::Scores;
use crate::loss::one_way::{self, Distribution, Saved, Scratch, Softmax, Targets};
use crate::loss::positives::Positives;
use crate::tree::{Arena, Dim, tree};
use ndarray::{ArrayView2, ArrayViewMut2};

tree! {
    /// The buffers of one direction.
    ///
    /// `lse` (1,B)
    Buffers { saved: Saved, scratch: Scratch, lse }
}

impl Buffers<Dim> {
    fn dims((n, m): (usize, usize), width: usize) -> Self {
        Buffers { saved: Saved::dims(n, width), scratch: Scratch::dims(n, m), lse: Dim(1, n) }
    }
}

/// The rows and columns of one direction.
pub(super) struct Direction<'a> {
    /// The model's features (B,e).
    pub rows: ArrayView2<'a, f32>,
    /// The momentum copy's features of the same pictures or texts (B,e).
    pub momentum: ArrayView2<'a, f32>,
    /// The momentum copy's features (M,e) that the rows choose among.
    pub columns: ArrayView2<'a, f32>,
    /// The gradient of the rows (B,e).
    pub drows: ArrayViewMut2<'a, f32>,
}

/// Returns weight · Σ loss of the rows, writes their gradient, and adds to `dtemp` that of the temperature.
pub(super) fn one_direction(
    direction: Direction,
    positives: &Positives,
    temp: f32,
    alpha: f32,
    weight: f32,
    arena: &mut Arena,
    dtemp: &mut f32,
) -> f32 {
    let Direction { rows, momentum, columns, drows } = direction;
    let dims = Buffers::dims((rows.nrows(), columns.nrows()), rows.ncols());
    let Buffers { saved, scratch, lse } = &mut arena.carve(&dims);
    let scale = 1.0 / temp;
    let soft = (alpha > 0.0).then(|| {
        let scores = Scores { rows: momentum, cols: columns, scale };
        Softmax::new(scores, lse.as_slice_mut().expect("one row"), scratch)
    });
    let soft = soft.as_ref().map(|soft| (alpha, soft as &dyn Distribution));
    let (scores, targets) = (Scores { rows, cols: columns, scale }, Targets { hard: positives, soft });
    let loss = one_way::forward(&scores, &targets, weight, saved, scratch);
    *dtemp -= scale * one_way::backward(&scores, &targets, weight, saved, drows, None, scratch);
    loss
}
