//! Where the pairs of a run come from, and what it is judged on.

use super::exam::{Depth, EmojiExam};
use super::options::DataOptions;
use crate::eval::embed::Embedder;
use crate::eval::report::Report;
use crate::input::emoji::{Cut, Emoji, EmojiTraining, Language, Vendor};
use crate::input::{Augment, BadLimit, Dataset, InputError};
use std::fmt;
use std::sync::Arc;

/// The vendor and the tenth of the concepts that recipes are chosen on.
const VALIDATION: Cut = Cut::Validation { vendor: Vendor::Noto, seed: 0 };

/// The pairs of a run.
pub enum Data {
    /// Embedded in the program.
    Emoji { emoji: Arc<Emoji>, cut: Cut, languages: Vec<Language> },
}

/// What a run is judged on.
pub enum Exam {
    Emoji(EmojiExam),
}

impl Data {
    pub fn open(options: &DataOptions) -> Result<Data, InputError> {
        let cut = if options.validation_cut { VALIDATION } else { Cut::Whole };
        Ok(Data::Emoji { emoji: Arc::new(Emoji::load()), cut, languages: options.languages.clone() })
    }

    /// What is trained on.
    pub fn training(&self) -> Arc<dyn Dataset> {
        match self {
            Data::Emoji { emoji, cut, languages } => Arc::new(EmojiTraining::new(Arc::clone(emoji), *cut, languages)),
        }
    }

    /// How training pictures vary.
    pub fn augment(&self) -> Augment {
        match self {
            Data::Emoji { .. } => Augment::drawings(),
        }
    }

    /// How many unreadable pairs are too many.
    pub fn bad_limit(&self) -> BadLimit {
        BadLimit::default()
    }

    /// What the model is asked.
    pub fn exam(&self, depth: Depth) -> Exam {
        match self {
            Data::Emoji { emoji, cut, .. } => Exam::Emoji(EmojiExam::new(Arc::clone(emoji), *cut, depth)),
        }
    }
}

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Data::Emoji { cut, .. } => {
                write!(f, "{} emoji pictures, judged on {}", self.training().concepts().len(), cut.judge().name())
            }
        }
    }
}

impl Exam {
    /// The table, if there is anything to measure.
    pub fn report(&self, embedder: &Embedder) -> Option<Report> {
        match self {
            Exam::Emoji(exam) => Some(exam.report(embedder)),
        }
    }
}
