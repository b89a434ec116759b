//! Exams: questions with known answers for any model that embeds pictures and captions.
//!
//! | file | what is asked |
//! |---|---|
//! | `emoji` | the names of the embedded emoji, seen and held out (feature `emoji`) |
//! | [`pairs`] | which caption belongs to which picture of a user's pairs |
//! | [`depth`] | how much is measured |

pub mod depth;
#[cfg(feature = "emoji")]
pub mod emoji;
pub mod pairs;

pub use depth::Depth;
#[cfg(feature = "emoji")]
pub use emoji::EmojiExam;
pub use pairs::{PairsExam, Seen};

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
}
