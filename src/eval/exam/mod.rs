//! Exams: questions with known answers for any model that embeds pictures and captions.
//!
//! | file | what is asked |
//! |---|---|
//! | `emoji` | the names of the embedded emoji, seen and held out (feature `emoji`) |
//! | [`pairs`] | which caption belongs to which picture of a user's pairs |
//! | `blip` | what a BLIP is asked beyond that: to rank again, and to write |
//! | `questions` | questions that people answered |
//! | `scenes`, `scene_answers` | scenes of the embedded emoji, and questions about them (feature `emoji`) |
//! | [`depth`] | how much is measured |
//! | [`part`] | which pictures of it are shown |

mod blip;
pub mod depth;
#[cfg(feature = "emoji")]
pub mod emoji;
pub mod pairs;
pub mod part;
mod questions;
#[cfg(feature = "emoji")]
mod scene_answers;
#[cfg(feature = "emoji")]
mod scenes;

pub use blip::search;
pub use depth::Depth;
#[cfg(feature = "emoji")]
pub use emoji::EmojiExam;
pub use pairs::{LookError, PairsExam, Seen};
pub use part::{Part, Said, Told};
pub use questions::QuestionsExam;
#[cfg(feature = "emoji")]
pub use scenes::ScenesExam;

use crate::datasets::{BadReport, DatasetError, Example};
use crate::embed::{Blip, Embed};
use crate::eval::crew::Crew;
use crate::eval::report::Report;

/// The exam that judges a run.
pub enum Exam {
    #[cfg(feature = "emoji")]
    Emoji(EmojiExam),
    #[cfg(feature = "emoji")]
    Scenes(ScenesExam),
    Pairs(PairsExam),
    Questions(QuestionsExam),
}

impl Exam {
    /// Measures the model; returns the table and the report on the pairs that could not be read.
    ///
    /// # Errors
    /// Returns an error if no pair could be read.
    ///
    /// # Panics
    /// Panics if questions are asked.
    pub fn report(&self, model: &impl Embed) -> Result<(Report, BadReport), DatasetError> {
        match self {
            #[cfg(feature = "emoji")]
            Exam::Emoji(exam) => Ok((exam.report(model), BadReport::default())),
            #[cfg(feature = "emoji")]
            Exam::Scenes(exam) => exam.report(model),
            Exam::Pairs(exam) => exam.report(model),
            Exam::Questions(_) => panic!("a model that embeds answers no questions"),
        }
    }

    /// Measures what a BLIP can do, which the crew shares. Its captions begin with the prompt.
    ///
    /// # Errors
    /// Returns an error if no pair could be read.
    ///
    /// # Panics
    /// Panics if single emoji are asked for, which no BLIP is trained on.
    pub fn report_blip(&self, blip: &Blip, prompt: &str, crew: &impl Crew) -> Result<(Report, BadReport), LookError> {
        match self {
            #[cfg(feature = "emoji")]
            Exam::Emoji(_) => panic!("single emoji are no exam of a BLIP"),
            #[cfg(feature = "emoji")]
            Exam::Scenes(exam) => exam.report_blip(blip, prompt, crew),
            Exam::Pairs(exam) => exam.report_blip(blip, prompt, crew),
            Exam::Questions(exam) => exam.report_blip(blip, crew),
        }
    }

    /// Returns at most `n` of the pictures with their captions.
    pub fn sample(&self, n: usize) -> Vec<Example> {
        match self {
            #[cfg(feature = "emoji")]
            Exam::Emoji(exam) => exam.examples(crate::datasets::emoji::Side::Trained, n),
            #[cfg(feature = "emoji")]
            Exam::Scenes(exam) => exam.sample(n),
            Exam::Pairs(exam) => exam.sample(n),
            Exam::Questions(exam) => exam.part(n).examples,
        }
    }

    /// Returns at most `n` of the pictures with their captions, those that the model should know apart from those that
    /// show something new to it.
    pub fn parts(&self, n: usize) -> Vec<Part> {
        match self {
            #[cfg(feature = "emoji")]
            Exam::Emoji(exam) => exam.parts(n),
            #[cfg(feature = "emoji")]
            Exam::Scenes(exam) => exam.parts(n),
            Exam::Pairs(exam) => vec![exam.part(n)],
            Exam::Questions(exam) => vec![exam.part(n)],
        }
    }

    /// Returns what a BLIP says of at most `n` of the pictures: its captions, which begin with the prompt, or its answers.
    ///
    /// # Errors
    /// Returns an error if the model says nothing.
    pub fn tell(&self, blip: &Blip, prompt: &str, n: usize) -> Result<Vec<Told>, LookError> {
        match self {
            #[cfg(feature = "emoji")]
            Exam::Scenes(exam) => exam.tell(blip, prompt, n),
            Exam::Questions(exam) => Ok(vec![exam.tell(blip, n)?]),
            _ => self.parts(n).into_iter().map(|part| Ok(blip::tell(blip, prompt, part)?)).collect(),
        }
    }

    /// Returns the names that every picture could have, if the exam asks for names.
    pub fn names(&self) -> Vec<&'static str> {
        match self {
            #[cfg(feature = "emoji")]
            Exam::Emoji(exam) => exam.choices(),
            _ => vec![],
        }
    }
}
