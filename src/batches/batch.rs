//! The batch that a training step reads.

use crate::datasets::Place;
use ndarray::ArrayView2;
use std::ops::Range;

/// A batch holds N pictures and their N captions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    pub step: u64,
    pub epoch: u64,
    /// The normalised pixels of the pictures.
    ///
    /// (N,3,edge,edge)
    pub images: Vec<f32>,
    /// The captions' token ids, one after the other without padding.
    pub tokens: Vec<u32>,
    /// N + 1 positions in `tokens`: caption n is `tokens[offsets[n]..offsets[n + 1]]`.
    pub offsets: Vec<usize>,
    /// The same pictures as a teacher takes them, if there is one.
    ///
    /// (N,3,edge,edge), with the teacher's edge
    pub teacher_images: Vec<f32>,
    /// The place of each pair in the dataset.
    pub examples: Vec<u64>,
    /// One key per picture; pictures with equal keys show the same thing.
    pub concept_keys: Vec<u64>,
    /// One key per caption; captions with equal keys consist of the same tokens.
    pub caption_keys: Vec<u64>,
    /// The answers to the captions that are questions.
    pub answers: Answers,
    /// Number of captions that were longer than the context and lost their end.
    pub truncated: usize,
    /// Where each of the streams that the pairs come from goes on, if they come from streams.
    pub streams: Vec<Place>,
}

impl Batch {
    /// Returns N, the number of pictures.
    pub fn len(&self) -> usize {
        self.concept_keys.len()
    }

    /// Returns whether the batch has not been filled yet.
    pub fn is_empty(&self) -> bool {
        self.concept_keys.is_empty()
    }

    /// Returns the pictures, one in each row (N,3·edge²).
    #[track_caller]
    pub fn images(&self) -> ArrayView2<'_, f32> {
        self.rows(&self.images)
    }

    /// Returns the pictures as a teacher takes them, one in each row, if there is one.
    #[track_caller]
    pub fn teacher_images(&self) -> Option<ArrayView2<'_, f32>> {
        (!self.teacher_images.is_empty()).then(|| self.rows(&self.teacher_images))
    }

    #[track_caller]
    fn rows<'a>(&self, pixels: &'a [f32]) -> ArrayView2<'a, f32> {
        let n = self.len();
        ArrayView2::from_shape((n, pixels.len() / n), pixels).expect("pictures of one size")
    }

    /// Returns the edge of the pictures in pixels.
    #[track_caller]
    pub fn image_size(&self) -> usize {
        (self.images().ncols() / 3).isqrt()
    }

    pub(super) fn clear(&mut self, step: u64, epoch: u64) {
        (self.step, self.epoch, self.truncated) = (step, epoch, 0);
        self.tokens.clear();
        self.offsets.clear();
        self.offsets.push(0);
        self.examples.clear();
        self.concept_keys.clear();
        self.caption_keys.clear();
        self.answers.clear();
        self.streams.clear();
    }
}

/// The answers to a batch's questions, one after the other.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answers {
    /// The answers' token ids, without padding.
    pub tokens: Vec<u32>,
    /// One more position in `tokens` than there are answers: answer a is `tokens[offsets[a]..offsets[a + 1]]`.
    pub offsets: Vec<usize>,
    /// What each answer counts.
    pub weights: Vec<f32>,
    /// Which answers belong to each picture.
    pub of_pictures: Vec<Range<usize>>,
}

impl Answers {
    fn clear(&mut self) {
        self.tokens.clear();
        self.offsets.clear();
        self.offsets.push(0);
        self.weights.clear();
        self.of_pictures.clear();
    }
}
