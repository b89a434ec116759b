//! What a run is trained on, and what it is judged on.

use crate::batches::Augment;
#[cfg(feature = "emoji")]
use crate::datasets::emoji::{Cut, Emoji, EmojiTraining, Language};
use crate::datasets::{BadLimit, Dataset, DatasetError, OwnPairs};
use crate::embed::Embed;
#[cfg(feature = "emoji")]
use crate::eval::exam::EmojiExam;
use crate::eval::exam::{Depth, Exam, PairsExam};
use crate::train::watch::{self, Collapse};
use std::fmt;
use std::sync::Arc;

/// Pictures and captions that are enough to see whether all are embedded alike.
const ALIKE_SAMPLE: usize = 200;

/// The pairs of a run.
pub enum TrainingData {
    /// Embedded in the program.
    #[cfg(feature = "emoji")]
    Emoji { emoji: Arc<Emoji>, cut: Cut, languages: Vec<Language> },
    /// The user's.
    Own { train: OwnPairs, val: Option<OwnPairs>, limit: BadLimit },
}

impl TrainingData {
    /// The embedded emoji.
    #[cfg(feature = "emoji")]
    pub fn emoji(cut: Cut, languages: Vec<Language>) -> Self {
        TrainingData::Emoji { emoji: Arc::new(Emoji::load()), cut, languages }
    }

    /// Pairs of the user's: to train on, and, where there are any, to be judged on. `limit` says how many unreadable pairs
    /// are too many.
    ///
    /// # Errors
    /// If not one of the pairs of `val` can be read, which shows now and not when the first epoch is over.
    pub fn own(train: OwnPairs, val: Option<OwnPairs>, limit: BadLimit) -> Result<Self, DatasetError> {
        val.as_ref().map_or(Ok(()), |val| exam(val, "validation pairs").check())?;
        Ok(TrainingData::Own { train, val, limit })
    }

    /// What is trained on.
    pub fn training(&self) -> Arc<dyn Dataset> {
        match self {
            #[cfg(feature = "emoji")]
            TrainingData::Emoji { emoji, cut, languages } => {
                Arc::new(EmojiTraining::new(Arc::clone(emoji), *cut, languages))
            }
            TrainingData::Own { train, .. } => Arc::clone(train.dataset()),
        }
    }

    /// How training pictures vary.
    pub fn augment(&self) -> Augment {
        match self {
            #[cfg(feature = "emoji")]
            TrainingData::Emoji { .. } => Augment::drawings(),
            TrainingData::Own { .. } => Augment::default(),
        }
    }

    /// How many unreadable pairs are too many.
    pub fn bad_limit(&self) -> BadLimit {
        match self {
            #[cfg(feature = "emoji")]
            TrainingData::Emoji { .. } => BadLimit::default(),
            TrainingData::Own { limit, .. } => *limit,
        }
    }

    /// What the model is asked: where the user has no other pairs, some of those it is trained on.
    pub fn exam(&self, depth: Depth) -> Exam {
        match (self, depth) {
            #[cfg(feature = "emoji")]
            (TrainingData::Emoji { emoji, cut, .. }, _) => Exam::Emoji(EmojiExam::new(Arc::clone(emoji), *cut, depth)),
            (TrainingData::Own { val: Some(val), .. }, _) => Exam::Pairs(exam(val, "validation pairs")),
            (TrainingData::Own { train, .. }, _) => Exam::Pairs(exam(train, "training pairs")),
        }
    }
}

fn exam(pairs: &OwnPairs, name: &'static str) -> PairsExam {
    PairsExam::new(Arc::clone(pairs.dataset()), name, PairsExam::MAX_PAIRS)
}

impl fmt::Display for TrainingData {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            #[cfg(feature = "emoji")]
            TrainingData::Emoji { cut, .. } => {
                write!(f, "{} emoji pictures, judged on {}", self.training().concepts().len(), cut.judge().name())
            }
            TrainingData::Own { train, val, .. } => {
                write!(f, "{train}")?;
                val.as_ref().map_or(Ok(()), |val| write!(f, "\n        judged on {val}"))
            }
        }
    }
}

/// Whether a model past its warm-up embeds everything in an exam alike.
pub fn collapse(exam: &Exam, model: &impl Embed) -> Option<Collapse> {
    let (pictures, captions): (Vec<_>, Vec<_>) =
        exam.sample(ALIKE_SAMPLE).into_iter().map(|example| (example.picture, example.caption)).unzip();
    let images = model.pictures(pictures.len(), |i, picture| picture.clone_from(&pictures[i]));
    watch::embeddings(images.view(), model.captions(&captions).view())
}
