//! What can go wrong with a set of examples. Every message names the file, the place in it, and the value.

use crate::pictures::PictureError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Data that cannot be used at all.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DatasetError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Folder(#[from] PictureError),
    #[error("{path}: not an IDX file that can be used: {reason}")]
    Idx { path: PathBuf, reason: String },
    #[error("{path}: no folder in it with pictures of a class")]
    NoClasses { path: PathBuf },
    #[error("{path}: {source}")]
    Csv { path: PathBuf, source: csv::Error },
    #[error("{path}: no column named {wanted:?}; the columns are {columns:?}")]
    Column { path: PathBuf, wanted: String, columns: Vec<String> },
    #[error("{pattern:?}: {reason}")]
    Pattern { pattern: String, reason: &'static str },
    #[error("{place}: no usable example; bad ones: {report}")]
    Empty { place: String, report: BadReport },
    #[error("more than {percent} % of the pairs cannot be used: {report}")]
    TooManyBad { report: BadReport, percent: f64 },
}

impl DatasetError {
    /// Gives an I/O error the name of its file.
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}

/// One example that cannot be used; the run goes on without it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{place}: {reason}")]
pub struct BadExample {
    /// The file, and the line or member in it.
    pub place: String,
    pub reason: String,
}

impl BadExample {
    /// From anything that can be shown.
    pub fn new(place: impl fmt::Display, reason: impl fmt::Display) -> Self {
        Self { place: place.to_string(), reason: reason.to_string() }
    }
}

impl From<PictureError> for BadExample {
    fn from(error: PictureError) -> Self {
        Self::new(error.path().display(), error.reason())
    }
}

/// How many of the examples seen were bad, and the first of them by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BadReport {
    /// Examples tried, with repetitions.
    pub seen: u64,
    /// Bad ones among them, with repetitions.
    pub bad: u64,
    /// The first different ones.
    pub first: Vec<BadExample>,
}

impl BadReport {
    /// How many bad examples are named.
    pub const NAMED: usize = 10;

    /// Counts one example.
    pub fn count<T>(&mut self, outcome: &Result<T, BadExample>) {
        self.seen += 1;
        if let Err(example) = outcome {
            self.bad += 1;
            self.name(example);
        }
    }

    /// Adds another report.
    pub fn merge(&mut self, other: &Self) {
        self.seen += other.seen;
        self.bad += other.bad;
        other.first.iter().for_each(|example| self.name(example));
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

/// When bad examples stop a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BadLimit {
    /// Largest tolerable share, between 0 and 1.
    pub share: f64,
    /// Judge only after this many examples, so that one bad start does not decide.
    pub after: u64,
}

impl Default for BadLimit {
    fn default() -> Self {
        Self { share: 0.1, after: 100 }
    }
}

impl BadLimit {
    /// # Errors
    /// [`DatasetError::TooManyBad`] once the share is passed, or nothing at all is good.
    pub fn check(self, report: &BadReport) -> Result<(), DatasetError> {
        let tolerable = report.bad < report.seen && report.bad as f64 <= self.share * report.seen as f64;
        if report.seen < self.after || tolerable {
            return Ok(());
        }
        Err(DatasetError::TooManyBad { report: report.clone(), percent: 100.0 * self.share })
    }
}
