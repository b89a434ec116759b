//! What a model is judged on: questions with known answers, asked of whatever embeds pictures and captions.
//!
//! | file | what is asked |
//! |---|---|
//! | `emoji` | the embedded emoji (feature `emoji`): names of pictures, seen and held out |
//! | [`pairs`] | pairs of the user's: which caption belongs to which picture |
//! | [`depth`] | how much is asked |

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

/// What a run is judged on.
pub enum Exam {
    #[cfg(feature = "emoji")]
    Emoji(EmojiExam),
    Pairs(PairsExam),
}

impl Exam {
    /// The table, and the pairs that could not be read for it.
    ///
    /// # Errors
    /// If that is all of them.
    pub fn report(&self, model: &impl Embed) -> Result<(Report, BadReport), DatasetError> {
        match self {
            #[cfg(feature = "emoji")]
            Exam::Emoji(exam) => Ok((exam.report(model), BadReport::default())),
            Exam::Pairs(exam) => exam.report(model),
        }
    }

    /// At most `n` of the pictures with their captions.
    pub fn sample(&self, n: usize) -> Vec<Example> {
        match self {
            #[cfg(feature = "emoji")]
            Exam::Emoji(exam) => exam.examples(crate::datasets::emoji::Side::Trained, n),
            Exam::Pairs(exam) => exam.sample(n),
        }
    }
}
