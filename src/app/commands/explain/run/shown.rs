//! The pictures and captions that all checkpoints are shown.

use crate::datasets::Example;
use crate::eval::exam::Exam;
use crate::eval::retrieval::{first_of_each, identify};

/// Pictures by which a run is judged, and their captions.
pub(super) struct Shown {
    pub exam: Exam,
    /// How many pictures the exam is asked for.
    pub n: usize,
    /// What a BLIP's captions begin with.
    pub prompt: String,
    pub examples: Vec<Example>,
    /// The kind of each picture, as a title.
    pub parts: Vec<String>,
    /// The distinct captions of the pictures.
    pub captions: Vec<String>,
    /// The place of each picture's own caption among them.
    pub own: Vec<usize>,
}

impl Shown {
    pub fn new(exam: Exam, n: usize, prompt: &str) -> Self {
        let (mut examples, mut parts) = (vec![], vec![]);
        for part in exam.parts(n) {
            parts.extend(vec![part.title; part.examples.len()]);
            examples.extend(part.examples);
        }
        let own = identify(examples.iter().map(|example| &example.caption));
        let captions = first_of_each(&own).into_iter().map(|place| examples[place].caption.clone()).collect();
        Shown { exam, n, prompt: prompt.into(), examples, parts, captions, own }
    }
}
