//! The options that say where pictures and captions come from.

use super::error::TrainError;
use super::values::{language, separator, share};
use crate::app::number::positive;
use crate::datasets::emoji::{Cut, Language};
use crate::datasets::scenes::{Division, LANGUAGES, SceneOptions};
use crate::datasets::{BadLimit, Columns, OwnPairs, PairFormat, PairLayout, ShardList, VisualQuestions};
use crate::files::folder_of;
use crate::train::data::TrainingData;
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The number of scenes without --train-num-samples.
const DEFAULT_SCENES: usize = 65536;
/// The names of flags that errors name.
const NUM_SAMPLES: &str = "--train-num-samples";
const RESAMPLED: &str = "--dataset-resampled";

/// The options that say where pictures and captions come from.
#[derive(Clone, Debug, PartialEq, Args, Serialize, Deserialize)]
#[command(next_help_heading = "Data")]
pub struct DataOptions {
    /// Own pairs: a CSV or TSV file, plain or gzipped, a folder with metadata.jsonl or metadata.csv, or tar shards such as
    /// 'shards/{000..099}.tar' or 'shards/*.tar'; several of these joined by `::` [default: the embedded emoji]
    #[arg(long, value_name = "PATH")]
    pub train_data: Option<String>,
    /// Draw tar shards again and again, with replacement, and read each as a stream, for data of any size
    ///
    /// Nothing is read before it is needed, so data of any size begins at once and takes as much memory as little data:
    /// at most 5,000 pairs, or 512 MiB of them, are mixed at a time. --train-num-samples says what an epoch is.
    #[arg(long, requires = "train_data")]
    #[serde(default)]
    pub dataset_resampled: bool,
    /// How often shards of each source of --train-data are drawn, relative to those of the others [default: 1::1…]
    #[arg(long, value_name = "A::B…", requires = "dataset_resampled")]
    #[serde(default)]
    pub train_data_upsampling_factors: Option<String>,
    /// Pairs in an epoch: of those that --dataset-resampled draws, or the number of scenes [default: 65536 scenes]
    #[arg(long, value_name = "PAIRS", value_parser = positive())]
    #[serde(default)]
    pub train_num_samples: Option<usize>,
    /// Own pairs to evaluate on, stored like --train-data [default: those of --train-data]
    #[arg(long, value_name = "PATH", requires = "train_data")]
    pub val_data: Option<String>,
    /// Answers to the questions of --train-data, which is then a file in VQA's format; for --task vqa
    #[arg(long, value_name = "FILE", requires = "train_data")]
    #[serde(default)]
    pub train_answers: Option<PathBuf>,
    /// Answers to the questions of --val-data
    #[arg(long, value_name = "FILE", requires = "val_data")]
    #[serde(default)]
    pub val_answers: Option<PathBuf>,
    /// Folder of the pictures that files of questions name [default: that of each file]
    #[arg(long, value_name = "DIR", requires = "train_answers")]
    #[serde(default)]
    pub images: Option<PathBuf>,
    #[command(flatten)]
    #[serde(flatten)]
    pub storage: Storage,
    /// Stop when more than this share of the pairs cannot be read
    #[arg(long, value_name = "SHARE", default_value_t = 0.1, value_parser = share)]
    pub bad_share: f64,
    /// Do not vary pictures at random; they are prepared as for an evaluation
    #[arg(long, conflicts_with = "rand_augment")]
    #[serde(default)]
    pub no_augment: bool,
    /// Languages of the emoji captions, separated by commas
    #[arg(long, value_name = "CODES", value_delimiter = ',', default_value = "en", value_parser = language)]
    pub languages: Vec<Language>,
    /// Train on scenes of one to three embedded emoji instead of single ones, as every BLIP does
    #[arg(long, conflicts_with = "train_data")]
    #[serde(default)]
    pub scenes: bool,
    /// Share of the scenes' captions that are noise as on the web: wrong, vague or foreign
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share, conflicts_with = "train_data")]
    #[serde(default)]
    pub caption_noise: f64,
    /// Evaluate on a vendor and a tenth of the training concepts, which are kept back, in order to choose a recipe
    ///
    /// The vendor twemoji and the held-out concepts, which usually judge a run, are then not looked at.
    #[arg(long, value_enum, num_args = 0..=1, default_missing_value = "near", conflicts_with = "train_data")]
    #[serde(default)]
    pub validation_cut: Option<ValidationCut>,
}

/// The vendor that judges while a recipe is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ValidationCut {
    /// noto, whose drawings resemble others
    Near,
    /// fluenthc, black on white, without the two vendors that draw the same in colour
    Far,
}

/// The options that say how own pairs are stored.
#[derive(Clone, Debug, PartialEq, Args, Serialize, Deserialize)]
pub struct Storage {
    /// How own pairs are stored
    #[arg(long, value_enum, default_value_t = DatasetType::Auto)]
    pub dataset_type: DatasetType,
    /// Column of a table that holds the path of the picture; other usual names are tried if it has not got the default
    #[arg(long, value_name = "COLUMN", default_value = "filepath")]
    pub csv_img_key: String,
    /// Column of a table that holds the caption; other usual names are tried if it has not got the default
    #[arg(long, value_name = "COLUMN", default_value = "title")]
    pub csv_caption_key: String,
    /// Separator of a table's columns; `\t` is a tab [default: a tab, or a comma for .csv files]
    #[arg(long, value_name = "CHAR", value_parser = separator)]
    pub csv_separator: Option<char>,
}

/// How own pairs are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DatasetType {
    /// Decide by the name and the first bytes
    Auto,
    /// A table with a header, or a folder with metadata.csv
    Csv,
    /// A folder with metadata.jsonl (`file_name`, `text`)
    Jsonl,
    /// Tar shards with pictures and .txt or .json captions, plain or gzipped
    Webdataset,
}

impl DataOptions {
    /// Opens the data that was chosen, or else what is `embedded`. Scenes are made at a size of `image_size` pixels.
    ///
    /// # Errors
    /// Returns an error if the data cannot be read, has no usable pair or too many bad ones, or if scenes are not
    /// described in one of the languages.
    pub(super) fn open(&self, embedded: Embedded, image_size: usize) -> Result<TrainingData, TrainError> {
        if self.train_answers.is_some() && embedded != Embedded::Questions {
            return Err(TrainError::Unused { flag: "--train-answers", needs: "--task vqa" });
        }
        let Some(train) = &self.train_data else {
            if embedded == Embedded::Emoji && !self.scenes {
                let given = [("--caption-noise", self.caption_noise > 0.0), (NUM_SAMPLES, self.counts_pairs())];
                if let Some((flag, _)) = given.into_iter().find(|(_, given)| *given) {
                    return Err(TrainError::Unused { flag, needs: "--scenes" });
                }
                let cut = match self.validation_cut {
                    None => Cut::Whole,
                    Some(ValidationCut::Near) => Cut::NEAR,
                    Some(ValidationCut::Far) => Cut::FAR,
                };
                return Ok(TrainingData::emoji(cut, &self.languages));
            }
            let asks = embedded == Embedded::Questions;
            if self.validation_cut == Some(ValidationCut::Far) {
                return Err(TrainError::Unused { flag: "--validation-cut far", needs: "single emoji" });
            }
            return Ok(TrainingData::scenes(self.scenes(image_size)?, asks, self.validation_cut.is_some()));
        };
        if self.counts_pairs() && !self.dataset_resampled {
            return Err(TrainError::Unused { flag: NUM_SAMPLES, needs: "--dataset-resampled, or scenes" });
        }
        let (layout, limit) = (self.storage.layout(), BadLimit { share: self.bad_share, ..BadLimit::default() });
        if embedded == Embedded::Questions {
            if self.dataset_resampled {
                return Err(TrainError::Unused { flag: RESAMPLED, needs: "captions, not --task vqa" });
            }
            let train = self.questions(train, self.train_answers.as_deref())?;
            let val = self.val_data.as_ref().map(|val| self.questions(val, self.val_answers.as_deref())).transpose()?;
            return Ok(TrainingData::Questions { train, val, limit });
        }
        let open = |path| OwnPairs::open(path, &layout, limit);
        let val = || self.val_data.as_deref().map(open).transpose();
        if self.dataset_resampled {
            let needs = "--train-num-samples, the number of pairs in an epoch";
            let pairs = self.train_num_samples.ok_or(TrainError::Unused { flag: RESAMPLED, needs })?;
            let list = ShardList::open(train, layout.format, self.train_data_upsampling_factors.as_deref(), limit)?;
            return Ok(TrainingData::stream(list, pairs, val()?, limit)?);
        }
        let val = val()?;
        Ok(TrainingData::own(open(train)?, val, limit)?)
    }

    /// Returns whether a number of pairs was given. Runs of earlier versions have the default number of scenes in their
    /// options, whatever they are trained on.
    fn counts_pairs(&self) -> bool {
        self.train_num_samples.is_some_and(|pairs| pairs != DEFAULT_SCENES)
    }

    /// Opens questions with their answers.
    fn questions(&self, path: &str, answers: Option<&Path>) -> Result<Arc<VisualQuestions>, TrainError> {
        let answers = answers.ok_or_else(|| TrainError::NoAnswers { questions: path.into() })?;
        let questions = Path::new(path);
        let folder = self.images.as_deref().unwrap_or(folder_of(questions));
        Ok(Arc::new(VisualQuestions::open(questions, answers, folder)?))
    }

    fn scenes(&self, image_size: usize) -> Result<SceneOptions, TrainError> {
        match self.languages.iter().find(|language| !LANGUAGES.contains(language)) {
            Some(&language) => Err(TrainError::SceneLanguage(language)),
            None => Ok(SceneOptions {
                division: Division::Train,
                seed: 0,
                count: self.train_num_samples.unwrap_or(DEFAULT_SCENES),
                image_size,
                languages: self.languages.clone(),
                caption_noise: self.caption_noise as f32,
            }),
        }
    }
}

impl Storage {
    /// Returns the layout of the pairs in the library's form.
    pub(crate) fn layout(&self) -> PairLayout {
        PairLayout {
            format: match self.dataset_type {
                DatasetType::Auto => None,
                DatasetType::Csv => Some(PairFormat::Csv),
                DatasetType::Jsonl => Some(PairFormat::Jsonl),
                DatasetType::Webdataset => Some(PairFormat::WebDataset),
            },
            columns: Columns { picture: self.csv_img_key.clone(), caption: self.csv_caption_key.clone() },
            separator: self.csv_separator.map(|separator| separator as u8),
        }
    }
}

/// What a model is trained on if no data is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Embedded {
    Emoji,
    Scenes,
    /// Scenes, each with a question.
    Questions,
}
