//! Opening a user's data by its path: pairs of pictures and captions, or pictures sorted into classes.

use crate::datasets::braces::expand;
use crate::datasets::error::{BadLimit, BadReport, DatasetError};
use crate::datasets::idx::{FASHION, IdxPictures, Part};
use crate::datasets::image_folder::{ImageFolder, class_folders, parts};
use crate::datasets::{CsvLayout, Dataset, Shards, Table};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Number of examples that the shuffle of tar shards chooses between.
const SHUFFLE_BUFFER: usize = 5000;

/// Name of the file that holds the captions in a folder of pictures.
const METADATA: &str = "metadata.jsonl";

/// How pairs of pictures and captions are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairFormat {
    /// A CSV or TSV table with a header.
    Csv,
    /// A folder with `metadata.jsonl`, or that file.
    Jsonl,
    /// Tar shards.
    WebDataset,
}

impl PairFormat {
    /// Returns the format that a path's name and kind suggest.
    pub fn of(path: &Path) -> Self {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("tar") => PairFormat::WebDataset,
            Some("jsonl") => PairFormat::Jsonl,
            _ if path.is_dir() => PairFormat::Jsonl,
            _ => PairFormat::Csv,
        }
    }
}

/// How a user's pairs are stored, and in which columns of a table they are. A field that is `None` follows from the
/// path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairLayout {
    pub format: Option<PairFormat>,
    /// Name of the column with the pictures' paths.
    pub picture_column: String,
    /// Name of the column with the captions.
    pub caption_column: String,
    /// The byte that separates columns. With `None` it is a comma in files named `.csv` and a tab in all others.
    pub separator: Option<u8>,
}

impl Default for PairLayout {
    fn default() -> Self {
        let CsvLayout { picture, caption, .. } = CsvLayout::default();
        Self { format: None, picture_column: picture, caption_column: caption, separator: None }
    }
}

impl PairLayout {
    fn csv(&self, path: &Path) -> CsvLayout {
        let by_name = if path.extension().is_some_and(|extension| extension == "csv") { b',' } else { b'\t' };
        CsvLayout {
            picture: self.picture_column.clone(),
            caption: self.caption_column.clone(),
            separator: self.separator.unwrap_or(by_name),
        }
    }
}

/// A user's pairs, with a report on the rows that could not be used.
pub struct OwnPairs {
    path: String,
    dataset: Arc<dyn Dataset>,
    bad: BadReport,
}

impl OwnPairs {
    /// Opens a table, a folder, or tar shards given by a [pattern](expand).
    ///
    /// # Errors
    /// Returns an error if the data cannot be read, has no usable pair or too many bad ones.
    pub fn open(path: &str, layout: &PairLayout, limit: BadLimit) -> Result<Self, DatasetError> {
        let file = Path::new(path);
        let (dataset, bad): (Arc<dyn Dataset>, _) = match layout.format.unwrap_or_else(|| PairFormat::of(file)) {
            PairFormat::Jsonl => {
                let table = Table::jsonl(&metadata(file), limit)?;
                let bad = table.bad().clone();
                (Arc::new(table), bad)
            }
            PairFormat::WebDataset => {
                let shards = Shards::open(&expand(path)?, SHUFFLE_BUFFER, limit)?;
                let bad = shards.bad().clone();
                (Arc::new(shards), bad)
            }
            PairFormat::Csv => {
                let table = Table::csv(file, &layout.csv(file), limit)?;
                let bad = table.bad().clone();
                (Arc::new(table), bad)
            }
        };
        Ok(Self { path: path.into(), dataset, bad })
    }

    /// Returns the pairs as a dataset.
    pub fn dataset(&self) -> &Arc<dyn Dataset> {
        &self.dataset
    }

    /// Returns the report on the rows that could not be used.
    pub fn bad(&self) -> &BadReport {
        &self.bad
    }
}

impl fmt::Display for OwnPairs {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} pairs in {}", self.dataset.concepts().len(), self.path)?;
        if self.bad.bad > 0 { write!(f, "; skipped {}", self.bad) } else { Ok(()) }
    }
}

/// Returns the path of the table: that of `metadata.jsonl` in a folder, or the path itself.
fn metadata(path: &Path) -> PathBuf {
    if path.is_dir() { path.join(METADATA) } else { path.into() }
}

/// Why the pictures of an evaluation could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    #[error(transparent)]
    Data(#[from] DatasetError),
    #[error("{data} has captions, and they name its classes")]
    Captioned { data: String },
    #[error("{names} names for {classes} classes")]
    Names { names: usize, classes: usize },
}

/// The pictures of an evaluation: some to test on and, where there are any, others to train on.
pub struct Questions {
    pub test: Arc<dyn Dataset>,
    pub train: Option<Arc<dyn Dataset>>,
    /// The names of the classes, if the keys of the data are classes.
    pub names: Option<Vec<String>>,
}

impl Questions {
    /// Opens pairs, folders of classes, or a folder of IDX files. `names` are the names of the classes in the order of
    /// their folders or numbers; with `None` they are those of the folders, or Fashion-MNIST's.
    ///
    /// # Errors
    /// Returns an error if the data cannot be read or has no usable example, or if the names do not fit it.
    pub fn open(
        data: &str,
        train: Option<&str>,
        names: Option<Vec<String>>,
        layout: &PairLayout,
        limit: BadLimit,
    ) -> Result<Self, OpenError> {
        let folder = Path::new(data);
        if layout.format.is_none() && folder.is_dir() && !folder.join(METADATA).exists() {
            let train = train.map(Path::new);
            return if IdxPictures::is_in(folder, Part::Test) {
                Ok(Self::idx(folder, train, names)?)
            } else {
                Self::folders(folder, train, names)
            };
        }
        if names.is_some() {
            return Err(OpenError::Captioned { data: data.into() });
        }
        let pairs = |path| OwnPairs::open(path, layout, limit).map(|own| own.dataset);
        Ok(Questions { test: pairs(data)?, train: train.map(pairs).transpose()?, names: None })
    }

    fn folders(folder: &Path, train: Option<&Path>, names: Option<Vec<String>>) -> Result<Self, OpenError> {
        let (test, own_train) = parts(folder)?;
        let train = train.map(Path::to_owned).or(own_train);
        let both: Vec<&Path> = [Some(test.as_path()), train.as_deref()].into_iter().flatten().collect();
        let classes = class_folders(&both)?;
        let names = names.unwrap_or_else(|| classes.iter().map(|class| class.replace('_', " ")).collect());
        if names.len() != classes.len() {
            return Err(OpenError::Names { names: names.len(), classes: classes.len() });
        }
        let open =
            |path: &Path| ImageFolder::open(path, &classes, &names).map(|data| Arc::new(data) as Arc<dyn Dataset>);
        Ok(Questions { test: open(&test)?, train: train.as_deref().map(open).transpose()?, names: Some(names) })
    }

    fn idx(folder: &Path, train: Option<&Path>, names: Option<Vec<String>>) -> Result<Self, DatasetError> {
        let names = names.unwrap_or_else(|| FASHION.map(String::from).to_vec());
        let open =
            |folder, part| IdxPictures::open(folder, part, &names).map(|data| Arc::new(data) as Arc<dyn Dataset>);
        let train = train.or(IdxPictures::is_in(folder, Part::Train).then_some(folder));
        let train = train.map(|folder| open(folder, Part::Train)).transpose()?;
        Ok(Questions { test: open(folder, Part::Test)?, train, names: Some(names) })
    }
}
