//! The answers of a model that is asked for the captions of pictures.

use crate::counted::counted;
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

    /// Returns whether the right caption of picture i is among the `k` best.
    pub(super) fn is_among_best(&self, i: usize, k: usize) -> bool {
        best_first(&self.cosines.row(i).to_vec(), self.truth[i]).iter().take(k).any(|&place| place == self.truth[i])
    }

    /// Returns in words for how many pictures the right caption is the best and, where that says more, for how many it is
    /// among the `k` best.
    pub(super) fn score(&self, k: usize) -> String {
        let (n, m) = (self.pictures.len(), self.captions.len());
        let right = |k| (0..n).filter(|&i| self.is_among_best(i, k)).count();
        let among =
            if (2..m).contains(&k) { format!(" and among the best {k} for {}", right(k)) } else { String::new() };
        format!("right caption first for {} of {n}{among}, out of {}", right(1), counted(m, "caption"))
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

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn a_score_counts_pictures_whose_right_caption_is_best() {
        let cosines = array![[0.9, 0.1, 0.2], [0.5, 0.5, 0.1], [0.3, 0.2, 0.1], [f32::NAN, 0.1, 0.0]];
        let captions = ["a", "b", "c"].map(String::from).to_vec();
        let pictures = vec![RgbImage::new(1, 1); 4];
        let answers = Answers { title: "all".into(), pictures, captions, truth: vec![0, 1, 2, 1], cosines };
        assert_eq!(answers.score(1), "right caption first for 2 of 4, out of 3 captions");
        assert_eq!(answers.score(2), "right caption first for 2 of 4 and among the best 2 for 3, out of 3 captions");
    }
}
