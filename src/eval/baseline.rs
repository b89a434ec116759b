//! The floor: how far a nearest neighbour on pixels and edges gets, without any learning.

use super::zero_shot::TopK;
use image::RgbImage;
use ndarray::{Array2, ArrayView2};

/// Features of pictures: (N, 1280), rows of unit length.
pub fn features(_pictures: &[RgbImage]) -> Array2<f32> {
    todo!()
}

/// Each class scores as its nearest known picture.
///
/// pictures (N, f), known (K, f) from [`features`]; `truth[n]` and `known_class[k]` in 0..classes.
pub fn nearest(
    _pictures: ArrayView2<f32>,
    _truth: &[usize],
    _known: ArrayView2<f32>,
    _known_class: &[usize],
    _classes: usize,
) -> TopK {
    todo!()
}

/// For concepts that no known picture shows: the words of the nearest known pictures vote for the class names.
///
/// `known_words[k]` and `class_words[c]` are the distinct lower-case words of a concept.
pub fn vote<S: AsRef<str>>(
    _pictures: ArrayView2<f32>,
    _truth: &[usize],
    _known: ArrayView2<f32>,
    _known_words: &[Vec<S>],
    _class_words: &[Vec<S>],
) -> TopK {
    todo!()
}
