//! The data that a run is trained on, and the exam that it is judged by.

use crate::batches::{Augment, Source, Streams};
use crate::counted::counted;
#[cfg(feature = "emoji")]
use crate::datasets::emoji::{Cut, Emoji, EmojiPairs, EmojiTraining, Language};
#[cfg(feature = "emoji")]
use crate::datasets::scenes::{Division, SceneOptions, SceneQuestions, Scenes};
use crate::datasets::{
    BadLimit, BadReport, BlockSize, Dataset, DatasetError, OwnPairs, Place, ShardList, Stream, VisualQuestions,
};
use crate::embed::Embed;
use crate::eval::exam::{Depth, Exam, PairsExam, QuestionsExam};
#[cfg(feature = "emoji")]
use crate::eval::exam::{EmojiExam, ScenesExam};
use crate::train::watch::{self, Collapse};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// At most this many pairs are embedded to see whether a model embeds everything alike.
const MAX_SAMPLE: usize = 200;

/// Which pairs a run is trained on, so that it goes on with the same ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairList {
    /// The version of this description. Only descriptions of the same version can be compared.
    #[serde(default)]
    pub(super) version: u32,
    /// The number of pairs.
    pub pairs: usize,
    /// The digest of their list, see [`Dataset::list_digest`].
    #[serde(alias = "hash")]
    pub digest: String,
}

impl PairList {
    /// Descriptions of version 1, which have no number, hold a hash of 64 bits.
    const VERSION: u32 = 2;

    /// Describes where the pairs of a run come from.
    pub fn of(source: &Source) -> Self {
        PairList { version: Self::VERSION, pairs: source.pairs(), digest: source.list_digest().to_string() }
    }
}

/// The pairs of a run.
pub enum TrainingData {
    /// The emoji that are part of the program.
    #[cfg(feature = "emoji")]
    Emoji { emoji: Arc<Emoji>, cut: Cut, train: Arc<EmojiTraining> },
    /// A few of them, each with its name, to be known by heart.
    #[cfg(feature = "emoji")]
    Few(Arc<EmojiPairs>),
    /// Scenes made of these emoji, each with a question if it `asks`.
    #[cfg(feature = "emoji")]
    Scenes { train: Arc<Scenes>, asks: bool, validates: bool },
    /// Pairs of the user's own.
    Own { train: Box<OwnPairs>, val: Option<Box<OwnPairs>>, limit: BadLimit },
    /// A stream of the user's own pairs. Without pairs to be judged on, `judged` are some from the beginning of a
    /// stream.
    Stream { train: Streams, val: Option<Box<OwnPairs>>, judged: Arc<dyn Dataset>, limit: BadLimit },
    /// Questions about pictures of the user's own.
    Questions { train: Arc<VisualQuestions>, val: Option<Arc<VisualQuestions>>, limit: BadLimit },
}

impl TrainingData {
    /// Loads the emoji that are part of the program.
    #[cfg(feature = "emoji")]
    pub fn emoji(cut: Cut, languages: &[Language]) -> Self {
        let emoji = Arc::new(Emoji::load());
        let train = Arc::new(EmojiTraining::new(Arc::clone(&emoji), cut, languages));
        TrainingData::Emoji { emoji, cut, train }
    }

    /// Takes a few of the emoji that are part of the program, with their names in a language.
    #[cfg(feature = "emoji")]
    pub fn few(count: usize, language: Language) -> Self {
        TrainingData::Few(Arc::new(EmojiPairs::new(Arc::new(Emoji::load()), count, language)))
    }

    /// Makes scenes of the emoji that are part of the program, each with a question if it `asks`. A run is judged on
    /// drawings by the vendor for the choice of a recipe if it `validates` one, or else by the one for results.
    #[cfg(feature = "emoji")]
    pub fn scenes(options: SceneOptions, asks: bool, validates: bool) -> Self {
        TrainingData::Scenes { train: Arc::new(Scenes::new(Arc::new(Emoji::load()), options)), asks, validates }
    }

    /// Takes pairs of the user's own: those to train on, and those to be judged on if there are any. `limit` says how
    /// many unreadable pairs are too many.
    ///
    /// # Errors
    /// If none of the pairs of `val` can be read. This is found out now and not after the first epoch.
    pub fn own(train: OwnPairs, val: Option<OwnPairs>, limit: BadLimit) -> Result<Self, DatasetError> {
        val.as_ref().map_or(Ok(()), |val| exam(val.dataset(), judges(true)).check())?;
        Ok(TrainingData::Own { train: Box::new(train), val: val.map(Box::new), limit })
    }

    /// Takes a stream of the user's own pairs from these shards, `pairs` of which are an epoch, and the pairs to be
    /// judged on if there are any.
    ///
    /// # Errors
    /// If none of the pairs of `val`, or none at the beginning of a stream, can be read.
    pub fn stream(list: ShardList, pairs: usize, val: Option<OwnPairs>, limit: BadLimit) -> Result<Self, DatasetError> {
        let (list, size) = (Arc::new(list), BlockSize::of_each(1));
        let few = BlockSize { pairs: PairsExam::MAX_PAIRS, ..size };
        let judged: Arc<dyn Dataset> = match &val {
            Some(val) => Arc::clone(val.dataset()),
            None => Arc::new(Stream::new(Arc::clone(&list), 0, 0, few, Place::default()).block()?),
        };
        exam(&judged, judges(val.is_some())).check()?;
        let train = Streams { list, pairs, size, first: 0, places: vec![Place::default()] };
        Ok(TrainingData::Stream { train, val: val.map(Box::new), judged, limit })
    }

    /// Returns the pairs to train on.
    pub fn training(&self) -> Source {
        match self {
            #[cfg(feature = "emoji")]
            TrainingData::Emoji { train, .. } => Arc::clone(train).into(),
            #[cfg(feature = "emoji")]
            TrainingData::Few(pairs) => Arc::clone(pairs).into(),
            #[cfg(feature = "emoji")]
            TrainingData::Scenes { train, asks: true, .. } => Arc::new(SceneQuestions(Arc::clone(train))).into(),
            #[cfg(feature = "emoji")]
            TrainingData::Scenes { train, .. } => Arc::clone(train).into(),
            TrainingData::Own { train, .. } => Arc::clone(train.dataset()).into(),
            TrainingData::Stream { train, .. } => train.clone().into(),
            TrainingData::Questions { train, .. } => Arc::clone(train).into(),
        }
    }

    /// Returns how the pictures are varied in training.
    pub fn augment(&self) -> Augment {
        match self {
            #[cfg(feature = "emoji")]
            TrainingData::Emoji { .. } | TrainingData::Few(_) => Augment::drawings(),
            #[cfg(feature = "emoji")]
            TrainingData::Scenes { .. } => Augment::scenes(),
            TrainingData::Own { .. } | TrainingData::Stream { .. } | TrainingData::Questions { .. } => {
                Augment::default()
            }
        }
    }

    /// Returns the reports on the rows and samples of the user's own pairs that were left out when they were opened.
    pub fn left_out(&self) -> Vec<&BadReport> {
        match self {
            #[cfg(feature = "emoji")]
            TrainingData::Emoji { .. } | TrainingData::Few(_) | TrainingData::Scenes { .. } => vec![],
            TrainingData::Questions { .. } => vec![],
            TrainingData::Own { train, val, .. } => {
                [Some(&**train), val.as_deref()].into_iter().flatten().map(OwnPairs::bad).collect()
            }
            TrainingData::Stream { val, .. } => val.as_deref().map(OwnPairs::bad).into_iter().collect(),
        }
    }

    /// Returns how many unreadable pairs are too many.
    pub fn bad_limit(&self) -> BadLimit {
        match self {
            #[cfg(feature = "emoji")]
            TrainingData::Emoji { .. } | TrainingData::Few(_) | TrainingData::Scenes { .. } => BadLimit::default(),
            TrainingData::Own { limit, .. }
            | TrainingData::Stream { limit, .. }
            | TrainingData::Questions { limit, .. } => *limit,
        }
    }

    /// Returns the exam. Where the user has no pairs to be judged on, it asks for some of those that the model is
    /// trained on.
    pub fn exam(&self, depth: Depth) -> Exam {
        match (self, depth) {
            #[cfg(feature = "emoji")]
            (TrainingData::Emoji { emoji, cut, .. }, _) => Exam::Emoji(EmojiExam::new(Arc::clone(emoji), *cut, depth)),
            #[cfg(feature = "emoji")]
            (TrainingData::Few(pairs), _) => {
                let pairs: Arc<dyn Dataset> = Arc::clone(pairs) as _;
                Exam::Pairs(exam(&pairs, judges(false)))
            }
            #[cfg(feature = "emoji")]
            (TrainingData::Scenes { train, validates, .. }, _) => {
                Exam::Scenes(ScenesExam::new(Arc::clone(train), *validates, depth))
            }
            (TrainingData::Own { train, val, .. }, _) => {
                Exam::Pairs(exam(val.as_ref().unwrap_or(train).dataset(), judges(val.is_some())))
            }
            (TrainingData::Stream { val, judged, .. }, _) => Exam::Pairs(exam(judged, judges(val.is_some()))),
            (TrainingData::Questions { val: Some(val), .. }, _) => {
                Exam::Questions(QuestionsExam::new(Arc::clone(val), "validation questions"))
            }
            (TrainingData::Questions { train, .. }, _) => {
                Exam::Questions(QuestionsExam::new(Arc::clone(train), "training questions"))
            }
        }
    }
}

fn exam(pairs: &Arc<dyn Dataset>, name: &str) -> PairsExam {
    PairsExam::new(Arc::clone(pairs), name, PairsExam::MAX_PAIRS)
}

/// Returns the name of the pairs that a run is judged on.
fn judges(are_for_validation: bool) -> &'static str {
    if are_for_validation { "validation pairs" } else { "training pairs" }
}

impl fmt::Display for TrainingData {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            #[cfg(feature = "emoji")]
            TrainingData::Emoji { train, cut, .. } => {
                write!(f, "{} emoji pictures, judged on {}", train.concepts().len(), cut.judge().name())
            }
            #[cfg(feature = "emoji")]
            TrainingData::Few(pairs) => {
                write!(f, "{} with their names, to be known by heart", counted(pairs.concepts().len(), "emoji picture"))
            }
            #[cfg(feature = "emoji")]
            TrainingData::Scenes { train, asks, validates } => {
                let (kinds, what) = (train.kinds().count(), if *asks { "questions" } else { "captions" });
                write!(f, "{} of {kinds} kinds of emoji with {what}, ", counted(train.options().count, "scene"))?;
                write!(f, "judged on drawings by {}", Division::judges(*validates).1.name())
            }
            TrainingData::Questions { train, val, .. } => {
                write!(f, "{}", counted(train.questions().len(), "question"))?;
                let judged = |val: &Arc<VisualQuestions>| {
                    write!(f, "\n        judged on {}", counted(val.questions().len(), "question"))
                };
                val.as_ref().map_or(Ok(()), judged)
            }
            TrainingData::Stream { train, val, .. } => {
                let Streams { list, pairs, .. } = train;
                write!(
                    f,
                    "a stream from {}, an epoch of {}",
                    counted(list.shards(), "shard"),
                    counted(*pairs, "pair")
                )?;
                val.as_ref().map_or(Ok(()), |val| write!(f, "\n        judged on {val}"))
            }
            TrainingData::Own { train, val, .. } => {
                write!(f, "{train}")?;
                val.as_ref().map_or(Ok(()), |val| write!(f, "\n        judged on {val}"))
            }
        }
    }
}

/// Returns what is wrong if the model embeds everything in an exam alike. Before the end of the warm-up that means
/// nothing.
pub fn collapse(exam: &Exam, model: &impl Embed) -> Option<Collapse> {
    let (pictures, captions): (Vec<_>, Vec<_>) =
        exam.sample(MAX_SAMPLE).into_iter().map(|example| (example.picture, example.caption)).unzip();
    let images = model.pictures(pictures.len(), |i, picture| picture.clone_from(&pictures[i]));
    watch::embeddings(images.view(), model.captions(&captions).view())
}
