//! Questions about pictures as a dataset, with the answers that people gave.

use crate::datasets::annotations::{self, VisualQuestion};
use crate::datasets::dataset::{Answer, Dataset, Example};
use crate::datasets::error::{BadExample, DatasetError};
use crate::digest::{Digest, digest};
use crate::random::Rng;
use std::collections::BTreeMap;
use std::path::Path;

/// The questions of a file in VQA's format.
pub struct VisualQuestions {
    questions: Vec<VisualQuestion>,
    concepts: Vec<u64>,
}

impl VisualQuestions {
    /// Reads a file of questions and one of answers. The pictures are in `folder`.
    ///
    /// # Errors
    /// Returns an error if a file cannot be read or if they do not fit together.
    pub fn open(questions: &Path, answers: &Path, folder: &Path) -> Result<Self, DatasetError> {
        let questions = annotations::visual_questions(questions, Some(answers), folder)?;
        let concepts = questions.iter().map(|asked| digest([asked.picture.as_os_str().as_encoded_bytes()]).key());
        Ok(VisualQuestions { concepts: concepts.collect(), questions })
    }

    /// Returns all questions.
    pub fn questions(&self) -> &[VisualQuestion] {
        &self.questions
    }
}

impl Dataset for VisualQuestions {
    /// Returns keys that are equal for questions about the same picture.
    fn concepts(&self) -> &[u64] {
        &self.concepts
    }

    fn list_digest(&self) -> Digest {
        let parts = |asked: &VisualQuestion| {
            [vec![asked.picture.display().to_string(), asked.question.clone()], asked.answers.clone()].concat()
        };
        digest(self.questions.iter().flat_map(parts))
    }

    /// Reads a question with every answer that people gave, which counts by the share of people who gave it.
    fn read(&self, index: usize, _: &mut Rng, example: &mut Example) -> Result<(), BadExample> {
        let VisualQuestion { picture, question, answers, .. } = &self.questions[index];
        example.picture = example.view.open(picture)?;
        example.caption.clone_from(question);
        example.may_flip = false;
        let mut counts = BTreeMap::<&str, usize>::new();
        answers.iter().for_each(|answer| *counts.entry(answer).or_default() += 1);
        let answer =
            |(text, count): (&str, usize)| Answer { text: text.into(), weight: count as f32 / answers.len() as f32 };
        example.answers = counts.into_iter().map(answer).collect();
        Ok(())
    }
}
