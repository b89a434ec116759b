//! The log of a run, `metrics.jsonl`: one JSON object a line, for people, scripts and the plots.
//!
//! ```json
//! {"step":40,"loss":3.9,"loss_image_to_text":3.8,"loss_text_to_image":4.0,"loss_chance":4.85,"logit_scale":14.3,…}
//! {"step":40,"eval":{"rows":[…]}}
//! ```
//!
//! A run can be killed at any moment. Its last line may then be torn, and the run that resumes it from an older
//! checkpoint repeats some steps. So [`Log::open`] cuts a torn line off, [`Metrics::read`] ignores one, and where a step
//! comes again, what was logged from that step on is forgotten.

use crate::eval::Report;
use serde::{Deserialize, Deserializer, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// One training step. Losses are in nats.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    pub step: u64,
    /// Mean of the two halves.
    #[serde(deserialize_with = "null_is_nan")]
    pub loss: f64,
    #[serde(deserialize_with = "null_is_nan")]
    pub loss_image_to_text: f64,
    #[serde(deserialize_with = "null_is_nan")]
    pub loss_text_to_image: f64,
    /// The loss of a model that cannot tell anything apart: ln N for a batch of N pairs.
    #[serde(deserialize_with = "null_is_nan")]
    pub loss_chance: f64,
    /// exp of the parameter: the factor on the cosines, at most 100.
    #[serde(deserialize_with = "null_is_nan")]
    pub logit_scale: f64,
    #[serde(deserialize_with = "null_is_nan")]
    pub lr: f64,
    /// Global gradient norm before clipping.
    #[serde(deserialize_with = "null_is_nan")]
    pub grad_norm: f64,
    #[serde(deserialize_with = "null_is_nan")]
    pub pairs_per_second: f64,
}

/// One evaluation, of the model as it is after `step` steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    pub step: u64,
    pub eval: Report,
}

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Line {
    Evaluation(Evaluation),
    Step(Step),
}

/// JSON has no NaN and no infinity; serde_json writes null for both. A run that blew up must still be readable.
fn null_is_nan<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

/// A log open for appending.
#[derive(Debug)]
pub struct Log {
    file: File,
    path: PathBuf,
}

impl Log {
    /// Opens or creates the log. A last line without its newline is what a kill left behind: it is cut off, so that it
    /// does not run into the next one.
    ///
    /// # Errors
    /// When the file cannot be read or written; the message names it.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let open = || -> io::Result<File> {
            let file = OpenOptions::new().create(true).append(true).open(&path)?;
            let content = fs::read(&path)?;
            let whole = content.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
            file.set_len(whole as u64)?;
            Ok(file)
        };
        match open() {
            Ok(file) => Ok(Log { file, path }),
            Err(e) => Err(named(&path, e)),
        }
    }

    /// Appends one line, in one write: a reader sees all of it or, after a kill, a torn end.
    ///
    /// # Errors
    /// When the file cannot be written; the message names it.
    pub fn append(&mut self, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_string(line).map_err(|e| named(&self.path, e.into()))?;
        text.push('\n');
        self.file.write_all(text.as_bytes()).map_err(|e| named(&self.path, e))
    }
}

fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// A whole log, steps in ascending order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    pub steps: Vec<Step>,
    pub evaluations: Vec<Evaluation>,
}

/// Why a log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("{path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("{path}, line {line}: {source}")]
    Line { path: PathBuf, line: usize, source: serde_json::Error },
}

impl Metrics {
    /// Reads a log. A torn last line is ignored; a step that comes again replaces everything from that step on.
    ///
    /// # Errors
    /// When the file cannot be read, or a whole line is not one of ours; the message names the file and the line.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, ReadError> {
        let path = path.as_ref();
        let text = fs::read_to_string(path).map_err(|source| ReadError::File { path: path.into(), source })?;
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let mut metrics = Metrics::default();
        for (i, line) in whole.lines().enumerate() {
            let line = serde_json::from_str(line).map_err(|source| ReadError::Line {
                path: path.into(),
                line: i + 1,
                source,
            })?;
            metrics.push(line);
        }
        Ok(metrics)
    }

    /// Adds a line, as [`Metrics::read`] does.
    pub fn push(&mut self, line: Line) {
        match line {
            Line::Step(step) => {
                self.steps.truncate(self.steps.partition_point(|s| s.step < step.step));
                // The evaluation after step n − 1 stays; those of steps that are now taken again go.
                self.evaluations.truncate(self.evaluations.partition_point(|e| e.step < step.step));
                self.steps.push(step);
            }
            Line::Evaluation(evaluation) => {
                self.evaluations.truncate(self.evaluations.partition_point(|e| e.step < evaluation.step));
                self.evaluations.push(evaluation);
            }
        }
    }
}
