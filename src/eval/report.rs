//! The table at the end of a run: what the model can do, beside chance and beside what needs no neural network.

use super::retrieval::{Recall, Retrieval};
use super::zero_shot::{TopK, zero_shot};
use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};
use std::fmt::{self, Display};

/// One row for each cut of the evaluation pictures.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub rows: Vec<Row>,
}

/// The scores on one cut of the pictures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// "seen", "held-out", …
    pub concepts: String,
    /// Where the pictures come from: "noto, trained on", "twemoji, held out", …
    pub pictures: String,
    /// Flags look nearly the same from every vendor, so that knowing them shows memory, not understanding.
    pub without_flags: bool,
    pub images: usize,
    /// None for data whose captions are no class names.
    pub zero_shot: Option<ZeroShot>,
    pub retrieval: Retrieval,
    pub retrieval_chance: Retrieval,
}

/// Zero-shot classification beside its two yardsticks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ZeroShot {
    pub classes: usize,
    pub score: TopK,
    pub chance: TopK,
    /// What raw pixels reach (see [`super::baseline`]), where it was measured.
    pub floor: Option<TopK>,
}

impl ZeroShot {
    /// Measures images (N, d) against class embeddings (C, d); `truth[n]` is the class of picture n.
    #[track_caller]
    pub fn measure(images: ArrayView2<f32>, classes: ArrayView2<f32>, truth: &[usize], floor: Option<TopK>) -> Self {
        let score = zero_shot(images, classes, truth);
        ZeroShot { classes: classes.nrows(), score, chance: TopK::chance(classes.nrows()), floor }
    }
}
impl Display for Report {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}

impl Report {
    /// The same table for a README.
    pub fn markdown(&self) -> String {
        let _ = |r: Recall| r.at1;
        todo!()
    }
}
