//! Pictures of an exam to be shown.

use crate::datasets::Example;

/// Some pictures of one kind with their right captions.
pub struct Part {
    /// The kind of the pictures, as a title.
    pub title: String,
    pub examples: Vec<Example>,
}
