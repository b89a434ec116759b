//! Scenes with questions as a dataset.

use super::set::Scenes;
use crate::datasets::dataset::{Answer, Dataset, Example};
use crate::datasets::error::BadExample;
use crate::digest::Digest;
use crate::random::Rng;
use rand::seq::IteratorRandom;
use std::sync::Arc;

/// Scenes, each of which is asked one of the questions that it answers whenever it is read.
pub struct SceneQuestions(pub Arc<Scenes>);

impl Dataset for SceneQuestions {
    fn concepts(&self) -> &[u64] {
        self.0.concepts()
    }

    fn list_digest(&self) -> Digest {
        self.0.list_digest()
    }

    fn read(&self, index: usize, rng: &mut Rng, example: &mut Example) -> Result<(), BadExample> {
        self.0.paint(index, &mut example.picture);
        let question =
            self.0.questions(index).into_iter().choose(rng).expect("a scene is asked for its ground at least");
        example.caption = question.text;
        example.answers = vec![Answer { text: question.answer, weight: 1.0 }];
        example.may_flip = false;
        Ok(())
    }
}
