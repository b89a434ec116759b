//! The answers of a model that is asked for the captions of pictures.

use image::RgbImage;
use ndarray::Array2;

/// Pictures of one kind, with the scores that a model gives to their captions.
#[derive(Clone, Debug)]
pub struct Answers {
    /// The kind of the pictures, as a title.
    pub title: String,
    pub pictures: Vec<RgbImage>,
    /// The distinct captions that the model chooses from.
    pub captions: Vec<String>,
    /// The position of each picture's right caption.
    pub truth: Vec<usize>,
    /// The cosine of each picture with each caption.
    ///
    /// `cosines` (pictures, captions)
    pub cosines: Array2<f32>,
}

impl Answers {
    /// Checks that the parts fit together.
    #[track_caller]
    pub(super) fn check(&self) {
        let (n, m) = (self.pictures.len(), self.captions.len());
        assert_eq!((self.truth.len(), self.cosines.dim()), (n, (n, m)), "{n} pictures and {m} captions");
        assert!(self.truth.iter().all(|&truth| truth < m), "the right captions are among the {m}");
    }

    /// Returns whether the right caption of picture i has the best score.
    pub(super) fn is_right(&self, i: usize) -> bool {
        best_first(&self.cosines.row(i).to_vec(), self.truth[i])[0] == self.truth[i]
    }

    /// Returns how many pictures the model answers rightly, in words.
    pub(super) fn score(&self) -> String {
        let (n, m) = (self.pictures.len(), self.captions.len());
        let right = (0..n).filter(|&i| self.is_right(i)).count();
        format!("right caption first for {right} of {n}, out of {m} captions")
    }
}

/// Returns the positions of the captions, the best score first. NaN comes last, and the right caption comes after all
/// others of the same score: a model that gives everything one embedding is never right.
pub(super) fn best_first(scores: &[f32], truth: usize) -> Vec<usize> {
    let key = |i: usize| if scores[i].is_nan() { f32::NEG_INFINITY } else { scores[i] };
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| key(b).total_cmp(&key(a)).then((a == truth).cmp(&(b == truth))));
    order
}
