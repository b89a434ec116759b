//! The errors of datasets. Every message names the file, the place in it and the value.

use crate::counted::{counted, there_are};
use crate::pictures::PictureError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why data cannot be used at all.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DatasetError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Folder(#[from] PictureError),
    #[error("{path}: not an IDX file that can be used: {source}")]
    Idx { path: PathBuf, source: IdxError },
    #[error("{path}: not annotations that can be used: {reason}")]
    Annotations { path: PathBuf, reason: String },
    #[error("{path}: no folder in it with pictures of a class")]
    NoClasses { path: PathBuf },
    #[error("{path}, line {line}: a quote is opened and never closed, so that the rest of the file is one field")]
    OpenQuote { path: PathBuf, line: u64 },
    #[error("{path}: no column named {wanted:?}; the columns, separated by {separator:?}, are {columns:?}")]
    Column { path: PathBuf, wanted: String, columns: Vec<String>, separator: char },
    #[error("{path}: no metadata.jsonl, metadata.csv or tar file in it that says what its pictures show")]
    NoPairs { path: PathBuf },
    #[error("{path}: has both metadata.csv and metadata.jsonl, which may differ")]
    TwoTables { path: PathBuf },
    #[error("{path}: damaged or cut off: {reason}")]
    BreaksOff { path: PathBuf, reason: String },
    #[error("{path}: {reason}")]
    Shard { path: PathBuf, reason: String },
    #[error("{path}: its samples have classes (.cls), and there is no classnames.txt beside it that names them")]
    NoNames { path: PathBuf },
    #[error("{pattern:?}: {reason}")]
    Pattern { pattern: String, reason: &'static str },
    #[error("{path}: no tar shards, and nothing else can be read as a stream")]
    NoStream { path: PathBuf },
    #[error("{factors}: {reason}")]
    Factors { factors: String, reason: String },
    #[error("{place}: no usable example; bad ones: {report}")]
    Empty { place: String, report: BadReport },
    #[error("more than {percent} % of the pairs cannot be used: {report}")]
    TooManyBad { report: BadReport, percent: f64 },
}

impl DatasetError {
    /// Adds the name of the file to an I/O error.
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}

/// What is wrong with an IDX file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IdxError {
    #[error("its header breaks off: {0}")]
    Header(io::Error),
    #[error("{dims} dimensions, where pictures have three and labels one")]
    Dims { dims: u8 },
    #[error("it begins with {found:?}, where an IDX file of bytes begins with 0, 0, 8")]
    Magic { found: [u8; 4] },
    #[error("its header announces {dims:?} bytes")]
    Announced { dims: Vec<usize> },
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it goes on after the {} of {dims:?}", counted(*size, "byte"))]
    TooLong { size: usize, dims: Vec<usize> },
    #[error("it has {read} of the {} of {dims:?}", counted(*size, "byte"))]
    TooShort { read: usize, size: usize, dims: Vec<usize> },
    #[error("pictures have three dimensions, not {dims:?}")]
    NoPictures { dims: Vec<usize> },
    #[error("no picture in {dims:?}")]
    Empty { dims: Vec<usize> },
    #[error("labels {labels:?} for pictures {pictures:?}")]
    Labels { labels: Vec<usize>, pictures: Vec<usize> },
    #[error("label {place} is {label}, and {}", there_are(*names, "name"))]
    NoName { place: usize, label: u8, names: usize },
}

/// Why one example cannot be used. The run goes on without it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{place}: {reason}")]
pub struct BadExample {
    /// The file and the line or member in it.
    pub place: String,
    pub reason: String,
    /// Whether this is a row that does not fit the headings of its table, as when commas or quotes are not quoted.
    pub is_misfit: bool,
}

impl BadExample {
    /// Makes an error from a place and a reason.
    pub fn new(place: impl fmt::Display, reason: impl fmt::Display) -> Self {
        Self { place: place.to_string(), reason: reason.to_string(), is_misfit: false }
    }

    /// Makes the error of a row that does not fit the headings of its table.
    pub(crate) fn misfit(place: impl fmt::Display, reason: impl fmt::Display) -> Self {
        Self { is_misfit: true, ..Self::new(place, reason) }
    }
}

impl From<PictureError> for BadExample {
    fn from(error: PictureError) -> Self {
        Self::new(error.path().display(), error.reason())
    }
}

/// The counts of the examples tried and of the bad ones, with the first bad ones by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BadReport {
    /// Number of examples tried; repetitions count.
    pub seen: u64,
    /// Number of bad examples among them; repetitions count.
    pub bad: u64,
    /// The first distinct bad examples, at most `BadReport::NAMED` of them.
    pub first: Vec<BadExample>,
}

impl BadReport {
    /// Largest number of bad examples that a report names.
    pub(crate) const NAMED: usize = 10;

    /// Counts one example by the outcome of reading it.
    pub(crate) fn count<T>(&mut self, outcome: &Result<T, BadExample>) {
        self.seen += 1;
        if let Err(example) = outcome {
            self.bad += 1;
            self.name(example);
        }
    }

    /// Adds another report.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.seen += other.seen;
        self.bad += other.bad;
        other.first.iter().for_each(|example| self.name(example));
    }

    /// Returns whether one of the named rows does not fit the headings of its table.
    pub fn has_misfits(&self) -> bool {
        self.first.iter().any(|example| example.is_misfit)
    }

    fn name(&mut self, example: &BadExample) {
        if self.first.len() < Self::NAMED && !self.first.contains(example) {
            self.first.push(example.clone());
        }
    }
}

impl fmt::Display for BadReport {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} of {}", self.bad, self.seen)?;
        self.first.iter().try_for_each(|example| write!(f, "\n  {example}"))
    }
}

/// The share of bad examples that stops a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BadLimit {
    /// Largest tolerated share, in [0, 1].
    pub share: f64,
    /// Number of examples before the share is first checked, so that a few bad ones at the start do not stop the run.
    pub after: u64,
}

impl Default for BadLimit {
    fn default() -> Self {
        Self { share: 0.1, after: 100 }
    }
}

impl BadLimit {
    /// Checks a report against the limit.
    ///
    /// # Errors
    /// Returns [`DatasetError::TooManyBad`] once the share is exceeded or no example at all is good.
    pub(crate) fn check(self, report: &BadReport) -> Result<(), DatasetError> {
        let tolerable = report.bad < report.seen && report.bad as f64 <= self.share * report.seen as f64;
        if report.seen < self.after || tolerable {
            return Ok(());
        }
        Err(DatasetError::TooManyBad { report: report.clone(), percent: 100.0 * self.share })
    }
}
