//! What `clipwright capfilt` tells: how many captions are kept and, if somebody knows which are noise, how much of it
//! is gone.

use super::CliError;
use super::capfilt_folder::{Judged, Line, Origin, Verdict};
use crate::counted::counted;
use crate::files::{self, serialize_name};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The numbers of captions of one origin.
#[derive(Default, Serialize)]
pub(super) struct Tallied {
    pub kept: usize,
    removed: usize,
    duplicate: usize,
    empty: usize,
    /// The mean probability of those that were judged.
    mean_probability: Option<f64>,
    /// The sum and the number of the probabilities.
    #[serde(skip)]
    sum: (f64, usize),
}

impl Tallied {
    fn count(&mut self, judged: &Judged) {
        *match judged.verdict {
            Verdict::Kept => &mut self.kept,
            Verdict::Removed => &mut self.removed,
            Verdict::Duplicate => &mut self.duplicate,
            Verdict::Empty => &mut self.empty,
        } += 1;
        if let Some(probability) = judged.probability {
            self.sum = (self.sum.0 + f64::from(probability), self.sum.1 + 1);
            self.mean_probability = Some(self.sum.0 / self.sum.1 as f64);
        }
    }
}

/// How many web captions of a kind there are, and how many of them are gone.
#[derive(Default, Serialize)]
struct Gone {
    captions: usize,
    gone: usize,
}

impl Gone {
    fn count(&mut self, judged: &Judged) {
        self.captions += 1;
        self.gone += usize::from(judged.verdict != Verdict::Kept);
    }
}

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Gone { captions, gone } = self;
        write!(f, "{gone} of {captions}")?;
        if *captions > 0 { write!(f, " ({:.1} %)", 100.0 * *gone as f64 / *captions as f64) } else { Ok(()) }
    }
}

/// What became of web captions of which it is known whether they are noise.
#[derive(Default, Serialize)]
struct Known {
    noise: Gone,
    good: Gone,
    /// The noise by its kind.
    kinds: BTreeMap<String, Gone>,
}

/// Says for each picture of the data which kind of noise its web caption is, if it is noise.
pub(super) struct Truth {
    path: PathBuf,
    noise: HashMap<String, Option<String>>,
}

/// A line of the file that says it. Its other fields are not read.
#[derive(Deserialize)]
struct Told {
    #[serde(alias = "key")]
    file_name: String,
    // Without this a missing field would be null.
    #[serde(deserialize_with = "Option::deserialize")]
    noise: Option<String>,
}

impl Truth {
    /// Reads JSON lines such as the `metadata.jsonl` of `clipwright scenes`.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read, or with the number of a line that does not say what is asked.
    pub(super) fn read(path: &Path) -> Result<Self, CliError> {
        let text = files::read_text(path).map_err(CliError::file(path))?;
        let lines = (1..).zip(text.split(|&byte| byte == b'\n')).filter(|(_, line)| !line.trim_ascii().is_empty());
        let told = lines.map(|(number, line)| {
            let told: Result<Told, _> = serde_json::from_slice(line);
            told.map(|told| (told.file_name, told.noise))
                .map_err(|error| CliError::line(path, number, &error.to_string()))
        });
        Ok(Truth { path: path.into(), noise: told.collect::<Result<_, _>>()? })
    }

    /// Returns the kind of noise that a web caption is, or `None` if it is good.
    ///
    /// # Errors
    /// Returns an error if nothing is said of the picture.
    pub(super) fn of(&self, key: &str) -> Result<Option<&str>, CliError> {
        let noise = self.noise.get(key).map(Option::as_deref);
        noise.ok_or_else(|| CliError::file(&self.path)(io::Error::other(format!("no line about {key}"))))
    }
}

/// What the shards of a run hold.
#[derive(Serialize)]
pub(super) struct Report {
    #[serde(serialize_with = "serialize_name")]
    out: PathBuf,
    shards: usize,
    pairs: usize,
    unreadable: usize,
    /// Rows or samples of the data that are no pairs.
    left_out: u64,
    web: Tallied,
    synthetic: Tallied,
    #[serde(skip_serializing_if = "Option::is_none")]
    truth: Option<Known>,
}

impl Report {
    pub(super) fn new(out: PathBuf, shards: usize, left_out: u64) -> Self {
        let (web, synthetic) = (Tallied::default(), Tallied::default());
        Report { out, shards, pairs: 0, unreadable: 0, left_out, web, synthetic, truth: None }
    }

    /// Counts the captions of a shard.
    ///
    /// # Errors
    /// Returns an error if `truth` knows nothing of a picture.
    pub(super) fn count(&mut self, lines: &[Line], truth: Option<&Truth>) -> Result<(), CliError> {
        for line in lines {
            match line {
                Line::Unreadable { .. } => {
                    self.pairs += 1;
                    self.unreadable += 1;
                }
                Line::Judged(judged) if judged.source == Origin::Synthetic => self.synthetic.count(judged),
                Line::Judged(judged) => {
                    self.pairs += 1;
                    self.web.count(judged);
                    if let Some(truth) = truth {
                        let noise = truth.of(&judged.key)?;
                        self.truth.get_or_insert_default().count(noise, judged);
                    }
                }
            }
        }
        Ok(())
    }

    /// Returns the numbers of pairs and of those whose picture cannot be read.
    pub(super) fn seen_and_bad(&self) -> (usize, usize) {
        (self.pairs, self.unreadable)
    }
}

impl Known {
    fn count(&mut self, noise: Option<&str>, judged: &Judged) {
        match noise {
            None => self.good.count(judged),
            Some(kind) => {
                self.noise.count(judged);
                self.kinds.entry(kind.into()).or_default().count(judged);
            }
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Report { out, shards, pairs, unreadable, left_out, web, synthetic, truth } = self;
        write!(f, "{}: {} of {}", out.display(), counted(*shards, "shard"), counted(*pairs, "pair"))?;
        if *unreadable > 0 {
            write!(f, ", {unreadable} of them unreadable")?;
        }
        if *left_out > 0 {
            write!(f, "; {left_out} left out, which are no pairs")?;
        }
        write!(f, "\n{:12}{:>9}{:>9}{:>11}{:>7}", "captions", "kept", "removed", "duplicate", "empty")?;
        write!(f, "{:>18}", "mean probability")?;
        for (name, Tallied { kept, removed, duplicate, empty, mean_probability, .. }) in
            [("web", web), ("synthetic", synthetic)]
        {
            write!(f, "\n{name:12}{kept:>9}{removed:>9}{duplicate:>11}{empty:>7}")?;
            let mean = mean_probability.map_or("-".into(), |mean| format!("{mean:.3}"));
            write!(f, "{mean:>18}")?;
        }
        let Some(Known { noise, good, kinds }) = truth else { return Ok(()) };
        write!(f, "\nnoise removed: {noise}\ngood web captions lost: {good}")?;
        kinds.iter().try_for_each(|(kind, gone)| write!(f, "\n  {kind}: {gone} removed"))
    }
}
