//! Pictures named on the command line.

use super::CliError;
use crate::embed::ImageEncoder;
use crate::pictures::folder::{pictures_in, read};
use indicatif::ProgressBar;
use ndarray::{Array2, ArrayView1};
use std::path::PathBuf;
use std::sync::Mutex;

/// Pictures that go through the tower before their embeddings are handed on.
const AT_A_TIME: usize = 128;

/// The pictures that were named; a folder stands for all in it and below.
///
/// # Errors
/// If a folder cannot be read or has no picture.
pub fn expand(named: Vec<PathBuf>) -> Result<Vec<PathBuf>, CliError> {
    let mut paths = Vec::new();
    for path in named {
        if !path.is_dir() {
            paths.push(path);
            continue;
        }
        let found = pictures_in(&path)?;
        if found.is_empty() {
            return Err(CliError::NoPictures { path });
        }
        paths.extend(found);
    }
    Ok(paths)
}

/// How many pictures were tried and could not be read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub seen: usize,
    pub bad: usize,
}

impl Tally {
    /// # Errors
    /// If pictures are missing that nobody said may be, or all of them are.
    pub fn verdict(self, skip_unreadable: bool) -> Result<(), CliError> {
        let Tally { seen, bad } = self;
        if bad == 0 || (skip_unreadable && bad < seen) { Ok(()) } else { Err(CliError::Unreadable { bad, seen }) }
    }
}

/// `each(i, embedding)` for every picture that can be read, in order; the others are named on standard error. At any
/// time one decoded picture a thread is in memory, and the embeddings of [`AT_A_TIME`].
///
/// # Errors
/// Those of `each`.
pub fn embed<E>(
    encoder: &ImageEncoder,
    paths: &[PathBuf],
    bar: &ProgressBar,
    mut each: impl FnMut(usize, ArrayView1<f32>) -> Result<(), E>,
) -> Result<Tally, E> {
    let mut tally = Tally { seen: paths.len(), bad: 0 };
    for (chunk, paths) in paths.chunks(AT_A_TIME).enumerate() {
        let (rows, complaints) = embed_some(encoder, paths, bar);
        for (i, row) in rows.rows().into_iter().enumerate() {
            match &complaints[i] {
                None => each(chunk * AT_A_TIME + i, row)?,
                Some(complaint) => {
                    tally.bad += 1;
                    bar.suspend(|| eprintln!("skipped {complaint}"));
                }
            }
        }
    }
    bar.finish_and_clear();
    Ok(tally)
}

/// One row for each picture, and what is wrong with it; the row of a picture that cannot be read means nothing.
fn embed_some(encoder: &ImageEncoder, paths: &[PathBuf], bar: &ProgressBar) -> (Array2<f32>, Vec<Option<String>>) {
    let complaints = Mutex::new(vec![None; paths.len()]);
    let rows = encoder.encode_with(paths.len(), |i, picture| {
        if let Err(error) = read(&paths[i], picture) {
            complaints.lock().expect("no thread panics here")[i] = Some(error.to_string());
        }
        bar.inc(1);
    });
    (rows, complaints.into_inner().expect("no thread panics here"))
}
