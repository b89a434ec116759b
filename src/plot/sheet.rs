//! A sheet of pictures, each with its best captions.

use image::RgbImage;

/// A picture and what the model says of it.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    pub picture: &'a RgbImage,
    /// The best captions, best first.
    pub guesses: Vec<Guess<'a>>,
    /// The right caption and its rank (1 = best) among all captions.
    pub truth: (&'a str, usize),
}

/// One caption with its score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guess<'a> {
    pub caption: &'a str,
    /// In [0, 1] or a cosine: written as it is, two decimals.
    pub score: f32,
    pub right: bool,
}

impl<'a> Entry<'a> {
    /// The best k of all captions by score, `truth` being the index of the right one.
    pub fn best(_picture: &'a RgbImage, _captions: &[&'a str], _scores: &[f32], _truth: usize, _k: usize) -> Self {
        todo!()
    }
}

/// Draws the sheet.
pub fn sheet(_entries: &[Entry]) -> RgbImage {
    todo!()
}
