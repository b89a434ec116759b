//! The pictures and folders that the command line names.

use super::CliError;
use crate::datasets::BadExample;
use crate::embed::ImageEncoder;
use crate::embed::source::{Files, Watched};
use crate::pictures::folder::{Walk, walk};
use indicatif::ProgressBar;
use ndarray::ArrayView1;
use std::path::PathBuf;

/// The pictures that were named, and the paths in named folders that could not be read.
#[derive(Debug, Default)]
pub struct Named {
    pub paths: Vec<PathBuf>,
    unseen: Vec<BadExample>,
}

impl Named {
    /// Replaces each folder by all pictures in it and in the folders below.
    ///
    /// # Errors
    /// Returns an error if a folder cannot be read or has no file with a picture's extension.
    pub fn expand(named: Vec<PathBuf>) -> Result<Self, CliError> {
        let mut all = Self::default();
        for path in named {
            if !path.is_dir() {
                all.paths.push(path);
                continue;
            }
            let Walk { pictures, unseen } = match walk(&path) {
                Ok(found) => found,
                Err(source) => return Err(CliError::File { path, source }),
            };
            if pictures.is_empty() && unseen.is_empty() {
                return Err(CliError::NoPictures { path });
            }
            all.paths.extend(pictures);
            all.unseen.extend(unseen.into_iter().map(|(path, reason)| BadExample::new(path.display(), reason)));
        }
        Ok(all)
    }

    /// Calls `each(i, embedding)` for every picture that can be read, in order. The others are named on standard error.
    ///
    /// # Errors
    /// Returns the error of `each`.
    pub fn embed<E>(
        &self,
        encoder: &ImageEncoder,
        bar: &ProgressBar,
        mut each: impl FnMut(usize, ArrayView1<f32>) -> Result<(), E>,
    ) -> Result<Tally, E> {
        let skip = |bad: &BadExample| bar.suspend(|| eprintln!("skipped {bad}"));
        self.unseen.iter().for_each(skip);
        let source = Watched { source: &Files(&self.paths), done: || bar.inc(1) };
        let report = encoder.stream(&source, |batch| {
            batch.bad.iter().for_each(|(_, bad)| skip(bad));
            batch.read.iter().zip(batch.rows.rows()).try_for_each(|(&(i, ()), row)| each(i, row))
        })?;
        bar.finish_and_clear();
        let unseen = self.unseen.len();
        Ok(Tally { seen: report.seen as usize + unseen, bad: report.bad as usize + unseen })
    }
}

impl From<PathBuf> for Named {
    fn from(path: PathBuf) -> Self {
        Self { paths: vec![path], unseen: vec![] }
    }
}

/// The numbers of pictures that were tried and that could not be read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub seen: usize,
    pub bad: usize,
}

impl Tally {
    /// Decides whether the command succeeds.
    ///
    /// # Errors
    /// Returns an error if a picture could not be read, or with `skip_unreadable` if none could be read.
    pub fn verdict(self, skip_unreadable: bool) -> Result<(), CliError> {
        let Tally { seen, bad } = self;
        if bad == 0 || (skip_unreadable && bad < seen) { Ok(()) } else { Err(CliError::Unreadable { bad, seen }) }
    }
}
