//! Pictures and their texts.

use super::writing::Wanted;
use crate::models::Captions;
use ndarray::ArrayView2;
use std::ops::Range;

/// B pictures and their texts.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// The pictures (B,3·height·width), normalised.
    pub images: ArrayView2<'a, f32>,
    /// The texts, one for each picture. The first token of each is replaced by that of each use; the last one ends it.
    pub texts: Captions<'a>,
    /// A key for each picture. Where two keys are equal, the pictures are the same.
    pub pictures: &'a [u64],
    /// Numbers from 0 to 1 by which negatives are drawn, instead of those that follow from the step: one for the
    /// picture of each text, then one for the text of each picture.
    pub uniforms: Option<&'a [f64]>,
}

impl Batch<'_> {
    /// Returns the number B of pairs.
    pub fn len(&self) -> usize {
        self.images.nrows()
    }

    /// Whether there are no pairs.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Lists the texts of these pictures, to be written.
    pub(super) fn wanted(&self, pictures: Range<usize>, weight: f32) -> impl Iterator<Item = Wanted<'_>> + Clone {
        pictures.map(move |i| Wanted { text: self.texts.of(i), given: 1, weight })
    }

    /// Panics unless there is one of everything for each picture, and every text can be written.
    #[track_caller]
    pub(super) fn check(&self) {
        let n = self.len();
        assert_eq!((self.texts.len(), self.pictures.len()), (n, n), "texts and keys of {n} pictures");
        assert!((0..n).all(|i| self.texts.of(i).len() >= 2), "a text has a first and a last token");
        if let Some(uniforms) = self.uniforms {
            assert_eq!(uniforms.len(), 2 * n, "two draws for each of {n} pairs");
        }
    }
}
