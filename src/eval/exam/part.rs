//! Pictures of an exam to be shown.

use crate::datasets::Example;
use crate::pictures::Picture;

/// Some pictures of one kind with their right captions.
pub struct Part {
    /// The kind of the pictures, as a title.
    pub title: String,
    pub examples: Vec<Example>,
}

/// Some pictures of one kind with what a model says of them.
pub struct Told {
    /// The kind of the pictures, as a title.
    pub title: String,
    pub pictures: Vec<(Picture, Vec<Said>)>,
}

/// What a model says of a picture.
pub struct Said {
    /// The question that it answers, if it was asked one.
    pub question: Option<String>,
    pub text: String,
    /// What would have been true, if the model did not say so.
    pub truth: Option<String>,
}
