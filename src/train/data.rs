//! Where the pairs of a run come from, and what it is judged on.

use crate::app::train::options::{DataOptions, DatasetType, Storage};
use crate::batches::Augment;
use crate::datasets::braces::expand;
use crate::datasets::emoji::{Cut, Emoji, EmojiTraining, Language, Side, Vendor};
use crate::datasets::error::{BadLimit, BadReport, DatasetError};
use crate::datasets::{CsvLayout, Dataset, Shards, Table};
use crate::embed::{Embed, Embedder};
use crate::eval::exam::emoji::{Depth, EmojiExam};
use crate::eval::exam::pairs::PairsExam;
use crate::eval::report::Report;
use crate::train::watch::{self, Collapse};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// The vendor and the tenth of the concepts that recipes are chosen on.
const VALIDATION: Cut = Cut::Validation { vendor: Vendor::Noto, seed: 0 };

/// Pictures and captions that are enough to see whether all are embedded alike.
const ALIKE_SAMPLE: usize = 200;

/// Examples that the shuffle of tar shards chooses between.
const SHUFFLE_BUFFER: usize = 5000;

/// The pairs of a run.
pub enum Data {
    /// Embedded in the program.
    Emoji { emoji: Arc<Emoji>, cut: Cut, languages: Vec<Language> },
    /// The user's.
    Own { train: Own, val: Option<Own>, limit: BadLimit },
}

/// Pairs of the user's, and the rows that were no pairs.
pub struct Own {
    path: String,
    pairs: Arc<dyn Dataset>,
    bad: BadReport,
}

/// What a run is judged on.
pub enum Exam {
    Emoji(EmojiExam),
    Pairs(PairsExam),
}

impl Data {
    pub fn open(options: &DataOptions) -> Result<Data, DatasetError> {
        let limit = BadLimit { share: options.bad_share, ..BadLimit::default() };
        let Some(train) = &options.train_data else {
            let cut = if options.validation_cut { VALIDATION } else { Cut::Whole };
            return Ok(Data::Emoji { emoji: Arc::new(Emoji::load()), cut, languages: options.languages.clone() });
        };
        let val = options.val_data.as_ref().map(|path| Own::open(path, &options.storage, limit)).transpose()?;
        // Now, not when the first epoch is over.
        if let Some(val) = &val {
            val.exam().check()?;
        }
        Ok(Data::Own { train: Own::open(train, &options.storage, limit)?, val, limit })
    }

    /// What is trained on.
    pub fn training(&self) -> Arc<dyn Dataset> {
        match self {
            Data::Emoji { emoji, cut, languages } => Arc::new(EmojiTraining::new(Arc::clone(emoji), *cut, languages)),
            Data::Own { train, .. } => Arc::clone(&train.pairs),
        }
    }

    /// How training pictures vary.
    pub fn augment(&self) -> Augment {
        match self {
            Data::Emoji { .. } => Augment::drawings(),
            Data::Own { .. } => Augment::default(),
        }
    }

    /// How many unreadable pairs are too many.
    pub fn bad_limit(&self) -> BadLimit {
        match self {
            Data::Emoji { .. } => BadLimit::default(),
            Data::Own { limit, .. } => *limit,
        }
    }

    /// What the model is asked: one's own pairs are asked of those it was trained on if there are no others.
    pub fn exam(&self, depth: Depth) -> Exam {
        match self {
            Data::Emoji { emoji, cut, .. } => Exam::Emoji(EmojiExam::new(Arc::clone(emoji), *cut, depth)),
            Data::Own { val: Some(val), .. } => Exam::Pairs(val.exam()),
            Data::Own { train, .. } => Exam::Pairs(PairsExam::new(Arc::clone(&train.pairs), "training pairs")),
        }
    }
}

impl Own {
    /// # Errors
    /// If the data cannot be read, or has no usable pair or too many bad ones.
    pub fn open(path: &str, storage: &Storage, limit: BadLimit) -> Result<Own, DatasetError> {
        let file = Path::new(path);
        let (pairs, bad): (Arc<dyn Dataset>, _) = match kind(file, storage.dataset_type) {
            DatasetType::Jsonl => {
                let table = Table::jsonl(&metadata(file), limit)?;
                let bad = table.bad().clone();
                (Arc::new(table), bad)
            }
            DatasetType::Webdataset => {
                let shards = Shards::open(&expand(path)?, SHUFFLE_BUFFER, limit)?;
                let bad = shards.bad().clone();
                (Arc::new(shards), bad)
            }
            _ => {
                let table = Table::csv(file, &layout(file, storage), limit)?;
                let bad = table.bad().clone();
                (Arc::new(table), bad)
            }
        };
        Ok(Own { path: path.into(), pairs, bad })
    }

    fn exam(&self) -> PairsExam {
        PairsExam::new(Arc::clone(&self.pairs), "validation pairs")
    }

    pub fn pairs(&self) -> &Arc<dyn Dataset> {
        &self.pairs
    }

    /// The rows that were no pairs.
    pub fn bad(&self) -> &BadReport {
        &self.bad
    }
}

/// How a path's pairs are stored, where nobody said.
fn kind(path: &Path, said: DatasetType) -> DatasetType {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    match (said, extension) {
        (DatasetType::Auto, "tar") => DatasetType::Webdataset,
        (DatasetType::Auto, "jsonl") => DatasetType::Jsonl,
        (DatasetType::Auto, _) if path.is_dir() => DatasetType::Jsonl,
        (DatasetType::Auto, _) => DatasetType::Csv,
        (said, _) => said,
    }
}

/// A folder stands for the `metadata.jsonl` in it.
fn metadata(path: &Path) -> std::path::PathBuf {
    if path.is_dir() { path.join("metadata.jsonl") } else { path.into() }
}

fn layout(path: &Path, storage: &Storage) -> CsvLayout {
    let by_name = if path.extension().is_some_and(|extension| extension == "csv") { ',' } else { '\t' };
    let separator = storage.csv_separator.unwrap_or(by_name) as u8;
    CsvLayout { picture: storage.csv_img_key.clone(), caption: storage.csv_caption_key.clone(), separator }
}

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Data::Emoji { cut, .. } => {
                write!(f, "{} emoji pictures, judged on {}", self.training().concepts().len(), cut.judge().name())
            }
            Data::Own { train, val, .. } => {
                write!(f, "{train}")?;
                val.as_ref().map_or(Ok(()), |val| write!(f, "\n        judged on {val}"))
            }
        }
    }
}

impl fmt::Display for Own {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} pairs in {}", self.pairs.concepts().len(), self.path)?;
        if self.bad.bad > 0 { write!(f, "; skipped {}", self.bad) } else { Ok(()) }
    }
}

impl Exam {
    /// The table, and the pairs that could not be read for it.
    ///
    /// # Errors
    /// If that is all of them.
    pub fn report(&self, embedder: &Embedder) -> Result<(Report, BadReport), DatasetError> {
        match self {
            Exam::Emoji(exam) => Ok((exam.report(embedder), BadReport::default())),
            Exam::Pairs(exam) => exam.report(embedder),
        }
    }

    /// Whether a model past its warm-up embeds everything alike.
    pub fn collapse(&self, embedder: &Embedder) -> Option<Collapse> {
        let (pictures, captions): (Vec<_>, Vec<_>) = match self {
            Exam::Emoji(exam) => {
                let (tiles, names) = (exam.sample(Side::Trained, ALIKE_SAMPLE), exam.names());
                tiles.into_iter().map(|tile| (exam.picture(tile), names[tile.concept].to_string())).unzip()
            }
            Exam::Pairs(exam) => {
                exam.sample(ALIKE_SAMPLE).into_iter().map(|example| (example.picture, example.caption)).unzip()
            }
        };
        let images = embedder.pictures(pictures.len(), |i, picture| picture.clone_from(&pictures[i]));
        watch::embeddings(images.view(), embedder.captions(&captions).view())
    }
}
