//! Pictures and their captions.

use crate::models::Captions;
use ndarray::ArrayView2;

/// N pictures and their captions.
#[derive(Clone, Copy, Debug)]
pub struct Pairs<'a> {
    /// The pictures (N,3·edge²), normalised.
    pub images: ArrayView2<'a, f32>,
    /// The captions, one for each picture.
    pub captions: Captions<'a>,
    /// A key for each pair's concept. Where two keys are equal, each caption fits the other's picture.
    pub concepts: &'a [u64],
    /// A key for each pair's caption. Where two keys are equal, the captions have the same words.
    pub caption_keys: &'a [u64],
    /// The place of each pair in the dataset, which says that a picture has been seen before.
    pub examples: &'a [u64],
    /// The pictures (N,3·edge²) as a teacher takes them, if there is one, with its edge.
    pub teacher_images: Option<ArrayView2<'a, f32>>,
}
