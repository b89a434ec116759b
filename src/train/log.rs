//! The log of a run, `metrics.jsonl`, which has one JSON object a line for people, scripts and the plots.
//!
//! ```json
//! {"step":40,"loss":3.9,"loss_chance":4.85,"loss_image_to_text":3.8,"loss_text_to_image":4.0,"logit_scale":14.3,…}
//! {"step":40,"eval":{"rows":[…]}}
//! ```
//!
//! A step has the numbers that its objective reports, each under its name; `…_chance` is what a model would have that
//! cannot tell anything apart.
//!
//! A run can be killed at any moment. Its last line may then be incomplete, and the run that resumes it from an older
//! checkpoint repeats some steps. So [`Log::open`] cuts an incomplete line off, [`Metrics::read`] ignores one, and
//! where a step comes again, it replaces what was logged from that step on.

use super::metric::Metric;
use crate::eval::Report;
use crate::files;
use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The numbers that one training step reported. Losses are in nats.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// How many steps the run had taken, this one included.
    pub step: u64,
    /// The numbers that the step reported.
    pub metrics: Vec<Metric>,
}

impl Step {
    /// Returns the number of this name, or NaN if there is none.
    pub fn get(&self, name: &str) -> f64 {
        self.metrics.iter().find(|metric| metric.name == name).map_or(f64::NAN, |metric| metric.value)
    }

    /// Returns the loss that is minimised.
    pub fn loss(&self) -> f64 {
        self.get(LOSS)
    }

    /// Goes through the loss that is minimised and its parts.
    pub(crate) fn losses(&self) -> impl Iterator<Item = &Metric> {
        self.metrics.iter().filter(|metric| metric.is_loss())
    }
}

/// Every step has a number of this name, the loss that is minimised.
const LOSS: &str = "loss";
/// The name of a number with this suffix is the name of its chance line.
const CHANCE: &str = "_chance";

/// A step is one object: its `step`, then every number under its name, each followed by its chance line.
impl Serialize for Step {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("step", &self.step)?;
        for Metric { name, value, chance } in &self.metrics {
            map.serialize_entry(name, value)?;
            if let Some(chance) = chance {
                map.serialize_entry(&format!("{name}{CHANCE}"), chance)?;
            }
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Step {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(StepVisitor)
    }
}

struct StepVisitor;

impl<'de> Visitor<'de> for StepVisitor {
    type Value = Step;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("the numbers of a step")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Step, A::Error> {
        let (mut step, mut metrics, mut chances) = (None, Vec::<Metric>::new(), vec![]);
        while let Some(key) = map.next_key::<String>()? {
            if key == "step" {
                step = Some(map.next_value()?);
                continue;
            }
            // JSON has no NaN and no infinity, so serde_json writes null for both. A run that diverged must stay
            // readable.
            let value = map.next_value::<Option<f64>>()?.unwrap_or(f64::NAN);
            match key.strip_suffix(CHANCE) {
                Some(name) => chances.push((name.to_string(), value)),
                None => metrics.push(Metric { name: key.into(), value, chance: None }),
            }
        }
        for (name, chance) in chances {
            let metric = metrics.iter_mut().find(|metric| metric.name == name);
            metric.ok_or_else(|| Error::custom(format!("a chance line of {name}, which is missing")))?.chance =
                Some(chance);
        }
        if !metrics.iter().any(|metric| metric.name == LOSS) {
            return Err(Error::missing_field(LOSS));
        }
        Ok(Step { step: step.ok_or_else(|| Error::missing_field("step"))?, metrics })
    }
}

/// One evaluation of the model as it is after `step` steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// How many steps the run had taken.
    pub step: u64,
    /// The results of the exam.
    pub eval: Report,
}

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Line {
    Evaluation(Evaluation),
    Step(Step),
}

/// A log that is open for appending.
#[derive(Debug)]
pub struct Log {
    file: File,
    path: PathBuf,
}

impl Log {
    /// Opens or creates the log. If a kill left a last line without its newline, that line is cut off, so that the next
    /// one does not run into it.
    ///
    /// # Errors
    /// If the file cannot be read or written; the message names it.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let open = || -> io::Result<File> {
            let file = OpenOptions::new().create(true).append(true).open(&path)?;
            let content = files::read(&path)?;
            let whole = content.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
            file.set_len(whole as u64)?;
            Ok(file)
        };
        match open() {
            Ok(file) => Ok(Log { file, path }),
            Err(e) => Err(named(&path, e)),
        }
    }

    /// Appends one line in one write, so that a reader sees all of it or, after a kill, a line without its newline.
    ///
    /// # Errors
    /// If the file cannot be written; the message names it.
    pub fn append(&mut self, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_string(line).map_err(|e| named(&self.path, e.into()))?;
        text.push('\n');
        self.file.write_all(text.as_bytes()).map_err(|e| named(&self.path, e))
    }
}

fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// A whole log, whose steps ascend.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    /// The steps, ascending.
    pub steps: Vec<Step>,
    /// The evaluations, ascending by step.
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
    /// Reads a log. An incomplete last line is ignored; a step that comes again replaces everything from that step on.
    ///
    /// # Errors
    /// If the file cannot be read, or a complete line is not a [`Line`]; the message names the file and the line.
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

    /// Adds a line; a step that comes again replaces everything from that step on.
    pub fn push(&mut self, line: Line) {
        match line {
            Line::Step(step) => {
                self.steps.truncate(self.steps.partition_point(|s| s.step < step.step));
                // Evaluations after steps that are now taken again go; the one before this step stays.
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
