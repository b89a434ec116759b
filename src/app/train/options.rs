//! The options of the command line. They have OpenCLIP's names where it has them.

use super::error::{OptionError, TrainError};
use crate::app::number::{above_zero, positive, up_to};
use crate::app::{VERSION, WIDTH};
use crate::batches::LoaderConfig;
use crate::checkpoint::{CheckpointError, Kind, kind};
use crate::datasets::emoji::{Cut, Language, Vendor};
use crate::datasets::scenes::{Division, LANGUAGES, SceneOptions};
use crate::datasets::{BadLimit, Columns, OwnPairs, PairFormat, PairLayout, VisualQuestions};
use crate::files::folder_of;
use crate::models::blip::Config as BlipConfig;
use crate::models::clip::Config;
use crate::optim::adamw::{Decay, Hyper};
use crate::optim::schedule::{Course, EpochSchedule, Schedule};
use crate::pictures::Preprocess;
use crate::train::data::TrainingData;
use crate::train::run_folder::{RunFolder, RunFolderError};
use crate::train::step::TrainerOptions;
use clap::{Arg, Args, Parser, ValueEnum};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Train CLIP or BLIP on a CPU.
///
/// Without options, a small CLIP learns 1,542 emoji concepts from the drawings of seven vendors, which are part of the
/// program, and is evaluated on those of an eighth. With --model Emoji-BLIP-S a small BLIP learns scenes of these
/// drawings; --task fine-tunes one. The run folder holds the model in a format that others read, the state to resume
/// from, the metrics, the curves and the pictures.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "train",
    version = VERSION,
    max_term_width = WIDTH,
    mut_args = not_with_resume,
    after_help = "RAYON_NUM_THREADS sets how many threads compute; the weights are the same bits with any number. \
                  CPUs with other instruction sets (AVX-512, AVX2, others) round otherwise."
)]
pub struct Cli {
    /// Resume a run: its folder, or `latest`. All options but --stop-after and --epochs come from the run
    #[arg(long, value_name = "RUN")]
    pub resume: Option<String>,

    /// Save and stop once this many steps have been taken in total; go on with --resume [default: all steps]
    #[arg(long, value_name = "STEPS", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Run")]
    pub stop_after: Option<u64>,

    #[command(flatten)]
    pub options: Options,
}

/// Makes an option conflict with --resume: a resumed run has its own options, all but --stop-after and --epochs.
fn not_with_resume(arg: Arg) -> Arg {
    if ["resume", "stop_after", "epochs"].contains(&arg.get_id().as_str()) { arg } else { arg.conflicts_with("resume") }
}

/// The preset without --model and --pretrained.
pub(super) const DEFAULT_MODEL: &str = "Emoji-RN-S";
/// The number of epochs without --epochs.
const DEFAULT_EPOCHS: usize = 26;
/// The prompt of BLIP's published captions.
const PROMPT: &str = "a picture of ";
/// The number of scenes without --train-num-samples.
const DEFAULT_SCENES: usize = 16384;
/// Largest number of threads that prepare pictures; a system may not allow more.
const MAX_WORKERS: u32 = 1024;

/// The vendor and the tenth of the concepts that judge a recipe with `--validation-cut`.
const VALIDATION: Cut = Cut::Validation { vendor: Vendor::Noto, seed: 0 };

/// The options that determine a run. They are kept in its folder, so that a resumed run is the same run.
#[derive(Clone, Debug, PartialEq, Args, Serialize, Deserialize)]
pub struct Options {
    #[command(flatten)]
    pub data: DataOptions,
    #[command(flatten)]
    #[serde(default)]
    pub blip: BlipOptions,

    /// Preset, or path of a CLIP's open_clip_config.json [default: that of --pretrained, or else Emoji-RN-S]
    #[arg(long, long_help = model_help(), help_heading = "Model")]
    pub model: Option<String>,
    /// Start from these weights instead of random ones: a model folder, a file, or a name in the Hugging Face cache
    #[arg(long, value_name = "PATH", help_heading = "Model")]
    pub pretrained: Option<PathBuf>,
    /// Train the text tower alone and keep the image tower unchanged
    #[arg(long, requires = "pretrained", help_heading = "Model")]
    pub lock_image: bool,

    /// Pairs in a batch; a batch passes through the towers at once
    #[arg(long, default_value_t = 256, value_parser = positive(), help_heading = "Optimisation")]
    pub batch_size: usize,
    /// Batches in a step; the loss is over the pairs of all of them, as if they were one batch
    #[arg(long, default_value_t = 1, value_parser = positive(), help_heading = "Optimisation")]
    pub accum_freq: usize,
    /// Epochs: how often every picture is seen [default: 26]
    ///
    /// With --resume the run gets this length, and the learning rate goes on as in a run of this length: a finished
    /// run that is lengthened warms up to where it would have been.
    #[arg(long, value_parser = positive(), help_heading = "Optimisation")]
    pub epochs: Option<usize>,
    /// Highest learning rate
    #[arg(long, default_value_t = 1e-3, value_parser = above_zero::<f32>, help_heading = "Optimisation")]
    pub lr: f32,
    /// Steps over which the learning rate rises to its highest value
    #[arg(long, default_value_t = 50, help_heading = "Optimisation")]
    pub warmup: u64,
    /// How the learning rate falls
    #[arg(long, value_enum, default_value_t, help_heading = "Optimisation")]
    #[serde(default)]
    pub lr_scheduler: LrScheduler,
    /// Weight decay of matrices and tables; biases, gains and scalars have none [default: 0.2, 0.05 with a BLIP]
    #[arg(long, value_parser = non_negative, help_heading = "Optimisation")]
    pub wd: Option<f32>,
    /// Let weight decay act on biases, gains and scalars too, as BLIP's original does
    #[arg(long, help_heading = "Optimisation")]
    #[serde(default)]
    pub wd_all: bool,
    /// AdamW's β₁
    #[arg(long, default_value_t = Hyper::VIT.beta1, value_parser = below_one, help_heading = "Optimisation")]
    pub beta1: f32,
    /// AdamW's β₂ [default: 0.98 with CLIP's ViTs, else 0.999]
    #[arg(long, value_parser = below_one, help_heading = "Optimisation")]
    pub beta2: Option<f32>,
    /// AdamW's ε [default: 1e-6 with CLIP's ViTs, else 1e-8]
    #[arg(long, value_parser = non_negative, help_heading = "Optimisation")]
    pub eps: Option<f32>,
    /// Clip the norm of the gradient to this [default: no clipping]
    #[arg(long, value_name = "NORM", value_parser = above_zero::<f32>, help_heading = "Optimisation")]
    pub grad_clip_norm: Option<f32>,
    /// Seed of everything random; on the same instruction set it gives the same weights, bit for bit
    #[arg(long, default_value_t = 0, help_heading = "Optimisation")]
    pub seed: u64,

    /// Folder in which run folders are made
    #[arg(long, value_name = "FOLDER", default_value = "runs", help_heading = "Run")]
    pub logs: PathBuf,
    /// Name of the run folder [default: a number and the model]
    #[arg(long, help_heading = "Run")]
    pub name: Option<String>,
    /// Threads that prepare pictures, in addition to those that compute
    #[arg(long, default_value_t = 1, value_parser = up_to(MAX_WORKERS), help_heading = "Run")]
    pub workers: usize,
    /// Steps between two progress lines
    #[arg(long, value_name = "STEPS", default_value_t = 10, value_parser = positive(), help_heading = "Run")]
    pub log_every_n_steps: usize,
    /// Epochs between two evaluations; 0 evaluates only at the end
    #[arg(long, value_name = "EPOCHS", default_value_t = 4, help_heading = "Run")]
    pub val_frequency: usize,
    /// Epochs between two checkpoints; one is also written every ten minutes
    #[arg(long, value_name = "EPOCHS", default_value_t = 1, value_parser = positive(), help_heading = "Run")]
    pub save_frequency: usize,
}

/// The options that say where pictures and captions come from.
#[derive(Clone, Debug, PartialEq, Args, Serialize, Deserialize)]
#[command(next_help_heading = "Data")]
pub struct DataOptions {
    /// Own pairs: a CSV or TSV file, plain or gzipped, a folder with metadata.jsonl or metadata.csv, or tar shards such as
    /// 'shards/{000..099}.tar' or 'shards/*.tar' [default: the embedded emoji]
    #[arg(long, value_name = "PATH")]
    pub train_data: Option<String>,
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
    /// Languages of the emoji captions, separated by commas
    #[arg(long, value_name = "CODES", value_delimiter = ',', default_value = "en", value_parser = language)]
    pub languages: Vec<Language>,
    /// Train on scenes of one to three kinds of embedded emoji instead of single ones, as every BLIP does
    #[arg(long, conflicts_with = "train_data")]
    #[serde(default)]
    pub scenes: bool,
    /// Number of scenes
    #[arg(long, value_name = "SCENES", default_value_t = DEFAULT_SCENES, value_parser = positive(), conflicts_with = "train_data")]
    #[serde(default = "default_scenes")]
    pub train_num_samples: usize,
    /// Share of the scenes' captions that are noise as on the web: wrong, vague or foreign
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share, conflicts_with = "train_data")]
    #[serde(default)]
    pub caption_noise: f64,
    /// Evaluate on the vendor noto and a tenth of the training concepts, which are kept back, in order to choose a
    /// recipe
    ///
    /// The vendor twemoji and the held-out concepts, which usually judge a run, are then not looked at.
    #[arg(long, conflicts_with = "train_data")]
    pub validation_cut: bool,
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
                let given = [
                    ("--caption-noise", self.caption_noise > 0.0),
                    ("--train-num-samples", self.train_num_samples != DEFAULT_SCENES),
                ];
                if let Some((flag, _)) = given.into_iter().find(|(_, given)| *given) {
                    return Err(TrainError::Unused { flag, needs: "--scenes" });
                }
                let cut = if self.validation_cut { VALIDATION } else { Cut::Whole };
                return Ok(TrainingData::emoji(cut, &self.languages));
            }
            let asks = embedded == Embedded::Questions;
            return Ok(TrainingData::scenes(self.scenes(image_size)?, asks, self.validation_cut));
        };
        let (layout, limit) = (self.storage.layout(), BadLimit { share: self.bad_share, ..BadLimit::default() });
        if embedded == Embedded::Questions {
            let train = self.questions(train, self.train_answers.as_deref())?;
            let val = self.val_data.as_ref().map(|val| self.questions(val, self.val_answers.as_deref())).transpose()?;
            return Ok(TrainingData::Questions { train, val, limit });
        }
        let open = |path| OwnPairs::open(path, &layout, limit);
        let val = self.val_data.as_deref().map(open).transpose()?;
        Ok(TrainingData::own(open(train)?, val, limit)?)
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
                count: self.train_num_samples,
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

impl Options {
    /// Reads the options that a run was started with from its folder.
    pub fn of(folder: &RunFolder) -> Result<Options, RunFolderError> {
        let options: Options = folder.options()?;
        options.check().map_err(|error| folder.bad_options(error))?;
        Ok(options)
    }

    /// Makes the folder of a new run.
    pub(crate) fn make_folder(&self) -> Result<RunFolder, RunFolderError> {
        RunFolder::create(&self.logs, self.name.as_deref(), &self.model_name(), self)
    }

    /// Returns how often every picture is seen.
    pub(crate) fn epochs(&self) -> usize {
        self.epochs.unwrap_or(DEFAULT_EPOCHS)
    }

    /// Returns the preset or the file of --model, or else the name of the weights to start from.
    pub(crate) fn model_name(&self) -> Cow<'_, str> {
        match (&self.model, self.pretrained.as_deref().and_then(Path::file_name)) {
            (Some(model), _) => model.into(),
            (None, Some(pretrained)) => pretrained.to_string_lossy(),
            (None, None) => DEFAULT_MODEL.into(),
        }
    }

    /// Returns the number of pairs in a step.
    pub(crate) fn pairs_per_step(&self) -> usize {
        self.batch_size * self.accum_freq
    }

    /// Checks options that were read from a file, which can hold values that the command line refuses.
    pub(crate) fn check(&self) -> Result<(), OptionError> {
        let counts = [
            ("batch_size", self.batch_size, u32::MAX),
            ("accum_freq", self.accum_freq, u32::MAX),
            ("epochs", self.epochs(), u32::MAX),
            ("workers", self.workers, MAX_WORKERS),
            ("log_every_n_steps", self.log_every_n_steps, u32::MAX),
            ("save_frequency", self.save_frequency, u32::MAX),
        ];
        if let Some((name, value, max)) =
            counts.into_iter().find(|(_, value, max)| !(1..=*max as usize).contains(value))
        {
            return Err(OptionError::Range { name, value, max });
        }
        let refused = |name| move |reason| OptionError::Refused { name, reason };
        // The parsers of the command line check the values here too.
        let numbers: [(&str, Option<f32>, NumberParser); 6] = [
            ("lr", Some(self.lr), above_zero),
            ("wd", self.wd, non_negative),
            ("eps", self.eps, non_negative),
            ("grad_clip_norm", self.grad_clip_norm, above_zero),
            ("beta1", Some(self.beta1), below_one),
            ("beta2", self.beta2, below_one),
        ];
        for (name, value, parse) in numbers {
            value.map(|value| parse(&value.to_string())).transpose().map_err(refused(name))?;
        }
        share(&self.data.bad_share.to_string()).map_err(refused("bad_share"))?;
        let own = self.data.storage.csv_separator.map(|c| separator(&c.to_string()));
        own.transpose().map(|_| ()).map_err(refused("csv_separator"))
    }

    /// Returns the hyperparameters: those that were chosen, and otherwise the published ones of the kind of model.
    fn hyper(&self, published: Hyper) -> Hyper {
        Hyper {
            beta1: self.beta1,
            beta2: self.beta2.unwrap_or(published.beta2),
            eps: self.eps.unwrap_or(published.eps),
            weight_decay: self.wd.unwrap_or(published.weight_decay),
        }
    }

    /// Returns how steps are taken.
    pub(super) fn trainer(&self, published: Hyper) -> TrainerOptions {
        let decay = if self.wd_all { Decay::All } else { Decay::Matrices };
        TrainerOptions::new(self.hyper(published)).decay(decay).max_norm(self.grad_clip_norm).seed(self.seed)
    }

    /// Returns the learning rate of a step in a run with this many steps an epoch.
    pub(super) fn lr_at(&self, step: u64, steps_per_epoch: u64) -> f32 {
        let (lr, warmup, epochs) = (self.lr, self.warmup, self.epochs() as u64);
        match (self.lr_scheduler, self.blip.task) {
            (LrScheduler::Cosine, _) => Schedule { lr, warmup, total: epochs * steps_per_epoch }.at(step),
            (LrScheduler::Epochs, Task::Pretrain) => {
                EpochSchedule { lr, steps_per_epoch, course: Course::Decay { warmup } }.at(step)
            }
            (LrScheduler::Epochs, _) => {
                EpochSchedule { lr, steps_per_epoch, course: Course::Cosine { epochs } }.at(step)
            }
        }
    }

    /// Returns what batches are made of, as far as it does not depend on the model.
    pub(super) fn loader(&self, data: &TrainingData) -> LoaderConfig {
        LoaderConfig {
            batch_size: self.pairs_per_step(),
            context_length: 0,
            preprocess: Preprocess::default(),
            augment: None,
            seed: self.seed,
            workers: self.workers,
            start_step: 0,
            bad_limit: data.bad_limit(),
        }
    }
}

/// The options that only a BLIP has.
#[derive(Clone, Debug, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(default)]
#[command(next_help_heading = "BLIP")]
pub struct BlipOptions {
    /// What a BLIP learns
    #[arg(long, value_enum, default_value_t)]
    pub task: Task,
    /// Features of earlier pairs that a batch is contrasted with as well [default: 57600, or 4096 with a model narrower than 384]
    #[arg(long, value_name = "PAIRS", value_parser = positive())]
    pub queue: Option<usize>,
    /// What every caption begins with, with --task caption
    #[arg(long, value_name = "TEXT", default_value = PROMPT)]
    pub prompt: String,
    /// Share of the text Transformer's values and attention that training drops [default: 0.1, or 0 with a model narrower than 384]
    #[arg(long, value_name = "SHARE", value_parser = below_one)]
    pub dropout: Option<f32>,
    /// Give a new BLIP the vocabulary of the one in this folder [default: the pieces that scenes need, or BERT's for own
    /// pairs]
    #[arg(long, value_name = "FOLDER", conflicts_with = "pretrained")]
    pub tokenizer: Option<PathBuf>,
}

/// How the learning rate falls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LrScheduler {
    /// Step by step along half a cosine to zero
    #[default]
    Cosine,
    /// As BLIP's original, epoch by epoch: in pre-training by a tenth, in fine-tuning along half a cosine
    Epochs,
}

/// What a BLIP learns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// To compare, to match and to write: all three losses, from pairs of the web
    #[default]
    Pretrain,
    /// To compare and to match, for pictures that have several captions each
    Retrieval,
    /// To write captions that begin with --prompt
    Caption,
    /// To answer questions
    Vqa,
}

impl Task {
    /// Returns what the task is called in messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Task::Pretrain => "pre-training",
            Task::Retrieval => "retrieval",
            Task::Caption => "captioning",
            Task::Vqa => "answering",
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

impl BlipOptions {
    /// Returns the first option that was given, all of which say something of a BLIP.
    pub(super) fn given(&self) -> Option<&'static str> {
        let given = [
            ("--task", self.task != Task::default()),
            ("--queue", self.queue.is_some()),
            ("--dropout", self.dropout.is_some()),
            ("--tokenizer", self.tokenizer.is_some()),
        ];
        given.into_iter().find_map(|(flag, given)| given.then_some(flag))
    }

    /// Returns what the task is learnt on if no data is given.
    pub(super) fn embedded(&self) -> Embedded {
        if self.task == Task::Vqa { Embedded::Questions } else { Embedded::Scenes }
    }
}

/// The family of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Clip,
    Blip,
}

impl Family {
    /// Returns the family of the model that the options describe, or of the one in a run's folder.
    pub fn of(options: &Options, folder: Option<&RunFolder>) -> Result<Self, CheckpointError> {
        let is_blip = |name: &String| BlipConfig::PRESETS.contains(&name.as_str());
        let weights = folder.map(|folder| &folder.path).or(options.pretrained.as_ref());
        let is_blip = match weights {
            _ if options.model.as_ref().is_some_and(is_blip) => true,
            Some(path) => kind(path)? == Some(Kind::Blip),
            None => false,
        };
        Ok(if is_blip { Family::Blip } else { Family::Clip })
    }
}

fn model_help() -> String {
    let names: Vec<_> = Config::preset_names().chain(BlipConfig::PRESETS).collect();
    format!(
        "Preset, or path of a CLIP's open_clip_config.json [default: that of --pretrained, or else {DEFAULT_MODEL}]\n\n\
         Presets: {}",
        names.join(", ")
    )
}

fn default_scenes() -> usize {
    DEFAULT_SCENES
}

type NumberParser = fn(&str) -> Result<f32, String>;

fn number(text: &str) -> Result<f32, String> {
    let value: f32 = text.parse().map_err(|_| "not a number".to_string())?;
    if value.is_finite() { Ok(value) } else { Err("not finite".into()) }
}

fn non_negative(text: &str) -> Result<f32, String> {
    number(text).and_then(|value| if value >= 0.0 { Ok(value) } else { Err("must not be negative".into()) })
}

fn below_one(text: &str) -> Result<f32, String> {
    non_negative(text).and_then(|value| if value < 1.0 { Ok(value) } else { Err("must be below 1".into()) })
}

pub(crate) fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err("a share is a number between 0 and 1".into()),
    }
}

fn separator(text: &str) -> Result<char, String> {
    let text = if text == r"\t" { "\t" } else { text };
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some('"' | '\r' | '\n'), None) => Err("cannot be a quote or the end of a line".into()),
        (Some(c), None) if c.is_ascii() => Ok(c),
        _ => Err("must be one ASCII character, or \\t".into()),
    }
}

fn language(code: &str) -> Result<Language, String> {
    Language::from_code(code).ok_or_else(|| {
        let codes: Vec<_> = Language::ALL.iter().map(|language| language.code()).collect();
        format!("there are {}", codes.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_survive_the_run_folder() {
        let options = Cli::parse_from(["train", "--lr", "3e-4", "--languages", "en,de"]).options;
        let json = serde_json::to_string(&options).unwrap();
        assert_eq!(serde_json::from_str::<Options>(&json).unwrap(), options);
    }

    #[test]
    fn impossible_values_are_refused() {
        let bad = [
            ["--batch-size", "0"],
            ["--lr", "nan"],
            ["--beta2", "1"],
            ["--bad-share", "2"],
            ["--csv-separator", "ab"],
            ["--csv-separator", "\""],
            ["--languages", "xx"],
        ];
        for flags in bad {
            assert!(Cli::try_parse_from(["train"].into_iter().chain(flags)).is_err(), "{flags:?}");
        }
        assert!(Cli::try_parse_from(["train", "--resume", "x", "--lr", "1"]).is_err());
    }
}
