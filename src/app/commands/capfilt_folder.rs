//! The folder that `clipwright capfilt` writes: shards of pairs, and beside each shard the list of all captions that
//! were judged for it.

use super::CliError;
use super::arrays::write_line;
use super::convert::check_empty;
use super::shard_writer::write_shard;
use crate::counted::counted;
use crate::datasets::PictureFiles;
use crate::files::{self, write_atomic};
use crate::pictures::decode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const MANIFEST: &str = "capfilt.json";
/// The number of shards, by which readers of the folder notice that some are missing.
const COUNT: &str = "nshards.txt";

/// Where a caption comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Origin {
    Web,
    Synthetic,
}

impl Origin {
    /// Returns its name in the keys of samples.
    fn name(self) -> &'static str {
        match self {
            Origin::Web => "web",
            Origin::Synthetic => "synthetic",
        }
    }
}

/// What becomes of a caption.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Kept,
    /// It is not likely enough to fit its picture.
    Removed,
    /// A synthetic caption that says what the web caption says already.
    Duplicate,
    /// Cleaning leaves nothing of it.
    Empty,
}

/// A caption and its verdict.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Judged {
    /// The place of its pair in the data.
    pub number: usize,
    /// The name of its picture in the data.
    pub key: String,
    pub source: Origin,
    pub caption: String,
    /// The probability that it fits the picture, if a filter was asked.
    pub probability: Option<f32>,
    pub verdict: Verdict,
}

/// A line of the list.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Line {
    Judged(Judged),
    /// A picture that cannot be read, and why.
    Unreadable {
        number: usize,
        key: String,
        unreadable: String,
    },
}

impl Line {
    /// Returns the caption, if its verdict is that it is kept.
    pub(super) fn kept(&mut self) -> Option<&mut Judged> {
        match self {
            Line::Judged(judged) if judged.verdict == Verdict::Kept => Some(judged),
            _ => None,
        }
    }
}

/// The folder.
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Begins a folder, or goes on with one that was begun with the same settings.
    ///
    /// # Errors
    /// Returns an error if the folder has other content or was begun with other settings, or if it cannot be written.
    pub(super) fn open(path: &Path, settings: &Map<String, Value>, shards: usize) -> Result<Self, CliError> {
        let folder = Folder { path: path.to_owned() };
        let manifest = path.join(MANIFEST);
        if manifest.is_file() {
            let json = files::read(&manifest).map_err(CliError::file(&manifest))?;
            let no_manifest =
                |error| CliError::file(&manifest)(io::Error::other(format!("not what capfilt writes: {error}")));
            let found: Map<String, Value> = serde_json::from_slice(&json).map_err(no_manifest)?;
            let mut names = settings.keys().chain(found.keys());
            return match names.find(|&name| found.get(name) != settings.get(name)) {
                Some(name) => Err(CliError::OtherFolder { path: path.into(), what: name.replace('_', " ") }),
                None => Ok(folder),
            };
        }
        check_empty(path)?;
        fs::create_dir_all(path).map_err(CliError::file(path))?;
        write(&manifest, |out| write_line(out, settings))?;
        write(&path.join(COUNT), |out| writeln!(out, "{shards}"))?;
        Ok(folder)
    }

    /// Returns whether a shard is finished.
    pub(super) fn has(&self, shard: usize) -> bool {
        self.shard(shard).is_file() && self.list(shard).is_file()
    }

    /// Writes a shard with the captions that are kept, and its list. The shard comes last: with it, both are there.
    ///
    /// # Errors
    /// Returns an error if a picture cannot be read any more or a file cannot be written.
    pub(super) fn put(&self, shard: usize, lines: &[Line], data: &dyn PictureFiles) -> Result<(), CliError> {
        write(&self.list(shard), |out| lines.iter().try_for_each(|line| write_line(out, line)))?;
        let path = self.shard(shard);
        let written = write_shard(&path, |samples| {
            let kept = lines.iter().filter_map(|line| match line {
                Line::Judged(judged) if judged.verdict == Verdict::Kept => Some(judged),
                _ => None,
            });
            for judged in kept {
                let picture = data.picture_file(judged.number).map_err(io::Error::other)?;
                let format = decode::format(&picture).ok_or_else(|| changed(judged))?;
                let key = format!("{:09}-{}", judged.number, judged.source.name());
                let (text, json) = (judged.caption.as_bytes(), serde_json::to_vec(judged)?);
                samples.sample(&key, &[(format.extensions_str()[0], &picture), ("txt", text), ("json", &json)])?;
            }
            Ok(())
        });
        written.map_err(CliError::file(&path))
    }

    /// Reads the list of a shard.
    ///
    /// # Errors
    /// Returns an error if the list cannot be read, or with the number of a line that is none.
    pub(super) fn lines(&self, shard: usize) -> Result<Vec<Line>, CliError> {
        let path = self.list(shard);
        let bytes = files::read(&path).map_err(CliError::file(&path))?;
        let lines = (1..).zip(bytes.split_inclusive(|&byte| byte == b'\n'));
        let parse = |(number, line)| {
            let reason = |error| CliError::line(&path, number, &format!("not what capfilt writes: {error}"));
            serde_json::from_slice(line).map_err(reason)
        };
        lines.map(parse).collect()
    }

    /// Says how many of these shards are finished already, if some are.
    pub(super) fn say(&self, shards: &[usize]) {
        let done = shards.iter().filter(|&&shard| self.has(shard)).count();
        if done > 0 {
            note!("{}: {done} of {} finished already", self.path.display(), counted(shards.len(), "shard"));
        }
    }

    fn shard(&self, shard: usize) -> PathBuf {
        self.path.join(format!("{shard:06}.tar"))
    }

    fn list(&self, shard: usize) -> PathBuf {
        self.path.join(format!("{shard:06}.jsonl"))
    }
}

fn changed(judged: &Judged) -> io::Error {
    io::Error::other(format!("{}: it was a picture a moment ago, and is none now", judged.key))
}

fn write(path: &Path, content: impl FnOnce(&mut dyn io::Write) -> io::Result<()>) -> Result<(), CliError> {
    write_atomic(path, content).map_err(CliError::file(path))
}
