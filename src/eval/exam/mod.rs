//! Exams: questions with known answers for any model that embeds pictures and captions.
//!
//! | file | what is asked |
//! |---|---|
//! | `emoji` | the names of the embedded emoji, seen and held out (feature `emoji`) |
//! | [`pairs`] | which caption belongs to which picture of a user's pairs |
//! | [`depth`] | how much is measured |
//! | [`part`] | which pictures of it are shown |

pub mod depth;
#[cfg(feature = "emoji")]
pub mod emoji;
pub mod pairs;
pub mod part;

pub use depth::Depth;
#[cfg(feature = "emoji")]
pub use emoji::EmojiExam;
pub use pairs::{LookError, PairsExam, Seen};
pub use part::Part;

use crate::datasets::{BadReport, DatasetError, Example};
use crate::embed::Embed;
use crate::eval::report::Report;

/// The exam that judges a run.
pub enum Exam {
    #[cfg(feature = "emoji")]
    Emoji(EmojiExam),
    Pairs(PairsExam),
}

impl Exam {
    /// Measures the model; returns the table and the report on the pairs that could not be read.
    ///
    /// # Errors
    /// Returns an error if no pair could be read.
    pub fn report(&self, model: &impl Embed) -> Result<(Report, BadReport), DatasetError> {
        match self {
            #[cfg(feature = "emoji")]
            Exam::Emoji(exam) => Ok((exam.report(model), BadReport::default())),
            Exam::Pairs(exam) => exam.report(model),
        }
    }

    /// Returns at most `n` of the pictures with their captions.
    pub fn sample(&self, n: usize) -> Vec<Example> {
        match self {
            #[cfg(feature = "emoji")]
            Exam::Emoji(exam) => exam.examples(crate::datasets::emoji::Side::Trained, n),
            Exam::Pairs(exam) => exam.sample(n),
        }
    }

    /// Returns at most `n` of the pictures with their captions, those that the model should know apart from those that
    /// show something new to it.
    pub fn parts(&self, n: usize) -> Vec<Part> {
        match self {
            #[cfg(feature = "emoji")]
            Exam::Emoji(exam) => exam.parts(n),
            Exam::Pairs(exam) => vec![exam.part(n)],
        }
    }

    /// Returns the names that every picture could have, if the exam asks for names.
    pub fn names(&self) -> Vec<&'static str> {
        match self {
            #[cfg(feature = "emoji")]
            Exam::Emoji(exam) => exam.names(),
            Exam::Pairs(_) => vec![],
        }
    }
}
