//! Training that is dead, noticed early and explained.

use super::metrics::Step;
use ndarray::ArrayView2;

/// What went wrong; its `Display` says what that means and what to try.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Collapse {
    /// A number of a training step is NaN or infinite.
    #[error("x")]
    NotFinite { step: u64, what: &'static str },
}

/// Watches the training steps.
#[derive(Clone, Debug)]
pub struct Watch {}

impl Watch {
    /// `warmup`: steps during which a loss at chance is no cause for alarm.
    pub fn new(_warmup: u64) -> Self {
        todo!()
    }

    /// Takes note of a step; what is wrong, if anything. Each complaint is made once.
    pub fn step(&mut self, _step: &Step) -> Option<Collapse> {
        todo!()
    }
}

/// Looks at the embeddings of an evaluation, images (N, d) and texts (M, d), rows of unit length.
pub fn embeddings(_images: ArrayView2<f32>, _texts: ArrayView2<f32>) -> Option<Collapse> {
    todo!()
}

/// Mean cosine over all pairs of different rows of z (N, d), rows of unit length, in O(N·d).
pub fn mean_cosine(_z: ArrayView2<f32>) -> f64 {
    todo!()
}
