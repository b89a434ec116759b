//! The folder with everything that a run leaves behind.
//!
//! | file | what |
//! |---|---|
//! | `open_clip_model.safetensors`, `open_clip_config.json` | the model, as OpenCLIP loads it |
//! | `model.safetensors`, `blip_config.json`, `vocab.txt` | a BLIP under the original's names, with its vocabulary |
//! | `resume.safetensors` | parameters, buffers, both moments, the step and what else the objective keeps |
//! | `checkpoints/` | models that are kept on the way, where that is wanted, see [`kept`](super::kept) |
//! | `options.json` | the command line |
//! | `pairs.json` | how many pairs the run is trained on, and a digest of their list |
//! | `metrics.jsonl` | a line for each logged step and evaluation |
//! | `loss.png`, `recall.png`, `schedule.png` | curves |
//! | `similarity.png`, `captions.png` | how the model matches held-out pictures with captions |
//! | `told.png`, `words.png` | what a BLIP says of pictures, and where it looks as it writes each word |
//! | `report.md` | the last table |
//! | `README.md` | the model card: what the model is, how it was trained, how it is loaded |
//! | `report.html` | all of this on one page |
//! | `tensorboard/` | the numbers of the log as TensorBoard reads them, where that is wanted |

use super::data::PairList;
use super::objective::{Saved, State};
use crate::checkpoint::safetensors::{Reader, Tensor, write};
use crate::checkpoint::{self, CheckpointError, Dtype};
use crate::counted::counted;
use crate::files::{self, write_atomic};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Why a run folder could not be made or found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunFolderError {
    #[error("{}: is there already", path.display())]
    Exists { path: PathBuf },
    #[error(
        "{}: the run was begun with {}, and there are {}", path.display(), counted(*begun, "pair"),
        if begun == now { "as many others now".to_owned() } else { format!("{now} now") }
    )]
    OtherPairs { path: PathBuf, begun: usize, now: usize },
    #[error("{}: written by another version of this program, so that the pairs cannot be compared", path.display())]
    OtherVersion { path: PathBuf },
    #[error("{}: no run to resume", logs.display())]
    NoRun { logs: PathBuf },
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
}

/// The folder of one run.
#[derive(Clone, Debug)]
pub struct RunFolder {
    /// The path of the folder.
    pub path: PathBuf,
}

/// The name of the file with the state of a run.
const RESUME: &str = "resume.safetensors";
/// The name of the file with the options of a run.
pub(crate) const OPTIONS: &str = "options.json";
/// The name of the file with the last table of results.
pub const REPORT: &str = "report.md";
/// The name of the page about a run.
pub const PAGE: &str = "report.html";
/// The name of the folder with the numbers of the log for TensorBoard.
pub const TENSORBOARD: &str = "tensorboard";
/// The name of the file with the log of a run.
pub const METRICS: &str = "metrics.jsonl";
/// The name of the file that says which pairs a run is trained on.
const PAIRS: &str = "pairs.json";
/// A saved count is at most this large. No real count is, and counting on from here does not overflow.
const MAX_COUNT: u64 = 1 << 48;

impl RunFolder {
    /// Makes the folder of a new run. Without a name it is called by the next number and the model's name.
    ///
    /// # Errors
    /// If the folder is there already, or cannot be written.
    pub fn create(
        logs: &Path,
        name: Option<&str>,
        model: &str,
        options: &impl Serialize,
    ) -> Result<Self, RunFolderError> {
        let path = logs.join(name.map_or_else(|| next_name(logs, model), String::from));
        let error = |source| RunFolderError::File { path: path.clone(), source };
        fs::create_dir_all(logs).map_err(error)?;
        match fs::create_dir(&path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Err(RunFolderError::Exists { path }),
            made => made.map_err(error)?,
        }
        let folder = RunFolder { path };
        folder.write_options(options)?;
        Ok(folder)
    }

    /// Writes the options of the run.
    pub fn write_options(&self, options: &impl Serialize) -> Result<(), RunFolderError> {
        self.write(OPTIONS, &serde_json::to_vec_pretty(options).expect("options are plain data"))
    }

    /// Writes which pairs the run is trained on.
    pub fn write_list(&self, list: &PairList) -> Result<(), RunFolderError> {
        self.write(PAIRS, &serde_json::to_vec_pretty(list).expect("a list is plain data"))
    }

    /// Refuses other pairs than those that the run was begun with.
    ///
    /// # Errors
    /// If the pairs differ, or the file that describes them cannot be read. A run that has none is taken as it is.
    pub fn check_list(&self, now: &PairList) -> Result<(), RunFolderError> {
        if !self.file(PAIRS).exists() {
            return Ok(());
        }
        let begun: PairList = self.json(PAIRS)?;
        if begun.version != now.version {
            return Err(RunFolderError::OtherVersion { path: self.file(PAIRS) });
        }
        if begun == *now {
            return Ok(());
        }
        Err(RunFolderError::OtherPairs { path: self.path.clone(), begun: begun.pairs, now: now.pairs })
    }

    /// Finds a run to resume; `latest` is the one whose state was written last.
    pub fn find(run: &str, logs: &Path) -> Result<Self, RunFolderError> {
        Ok(RunFolder { path: if run == "latest" { latest(logs)? } else { PathBuf::from(run) } })
    }

    /// Reads the options that the run was started with.
    pub fn options<T: DeserializeOwned>(&self) -> Result<T, RunFolderError> {
        self.json(OPTIONS)
    }

    fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T, RunFolderError> {
        let path = self.file(name);
        let read = || serde_json::from_slice(&files::read(&path)?).map_err(io::Error::from);
        read().map_err(|source| RunFolderError::File { path: path.clone(), source })
    }

    /// Returns an error about the file of options.
    pub fn bad_options(&self, error: impl std::error::Error + Send + Sync + 'static) -> RunFolderError {
        RunFolderError::File { path: self.file(OPTIONS), source: io::Error::other(error) }
    }

    /// Returns the path of a file in the folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a small file, all of it or nothing.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), RunFolderError> {
        write_atomic(self.file(name), |out| out.write_all(bytes))
            .map_err(|source| RunFolderError::File { path: self.file(name), source })
    }

    /// Saves the state of a run. It is one file, so all of it belongs to one step.
    pub fn save(&self, state: State) -> Result<(), CheckpointError> {
        let (mut tensors, mut counts) = (vec![], vec![]);
        for (name, saved) in &state {
            match saved {
                Saved::Floats(values) => tensors.push(Tensor::new(name, &[values.len()], values, Dtype::F32)),
                Saved::Count(count) => counts.push((name.as_str(), count.to_string())),
                Saved::Keys(keys) => {
                    let keys: Vec<String> = keys.iter().map(u64::to_string).collect();
                    counts.push((name.as_str(), keys.join(",")));
                }
            }
        }
        let counts = counts.iter().map(|(name, count)| (*name, count.as_str()));
        write(&self.file(RESUME), &tensors, counts)
    }

    /// Whether there is a state to resume from.
    pub fn has_state(&self) -> bool {
        self.file(RESUME).exists()
    }

    /// Removes the folder of a new run that has failed before anything was saved or logged. Returns whether it did.
    pub fn discard_unused(&self) -> bool {
        let is_logged = fs::metadata(self.file(METRICS)).is_ok_and(|log| log.len() > 0);
        let is_used = is_logged || self.has_state() || self.file(checkpoint::WEIGHTS).exists();
        !is_used && fs::remove_dir_all(&self.path).is_ok()
    }

    /// Refuses a saved state that does not have `len` numbers of this name, without reading the numbers.
    pub(crate) fn check(&self, name: &str, len: usize) -> Result<(), CheckpointError> {
        Reader::open(&self.file(RESUME))?.check(name, &[len])
    }

    /// Restores what [`RunFolder::save`] saved, bit for bit.
    ///
    /// # Errors
    /// If the file does not have exactly this state; the message names what is missing, too much or of another size.
    pub fn load(&self, state: State) -> Result<(), CheckpointError> {
        let path = self.file(RESUME);
        let reader = Reader::open(&path)?;
        let tensors = reader.names().into_iter().filter(|tensor| state.iter().all(|(name, _)| name != tensor));
        let tensors: Vec<_> = tensors.collect();
        if !tensors.is_empty() {
            return Err(CheckpointError::Unexpected { path, tensors });
        }
        for (name, saved) in state {
            let none = || CheckpointError::NoCount { path: path.clone(), count: name.clone() };
            match saved {
                Saved::Floats(values) => reader.read(&name, &[values.len()], values)?,
                Saved::Count(count) => {
                    let read = reader.metadata(&name).and_then(|text| text.parse().ok());
                    *count = read.filter(|&count| count <= MAX_COUNT).ok_or_else(none)?;
                }
                Saved::Keys(keys) => {
                    let read = reader.metadata(&name).ok_or_else(none)?.split(',').map(|key| key.parse().ok());
                    let read: Vec<u64> = read.collect::<Option<_>>().ok_or_else(none)?;
                    if read.len() != keys.len() {
                        return Err(none());
                    }
                    keys.copy_from_slice(&read);
                }
            }
        }
        Ok(())
    }
}

/// Returns a name like `003-ViT-B-32`, whose number is one more than the highest there is.
fn next_name(logs: &Path, model: &str) -> String {
    let entries = fs::read_dir(logs).into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.split('-').next()?.parse::<u32>().ok());
    let model = Path::new(model).file_stem().map_or(model.into(), |stem| stem.to_string_lossy());
    format!("{:03}-{model}", numbers.max().unwrap_or(0) + 1)
}

fn latest(logs: &Path) -> Result<PathBuf, RunFolderError> {
    let newest = newest(logs, RESUME).map_err(|source| RunFolderError::File { path: logs.into(), source })?;
    newest.ok_or_else(|| RunFolderError::NoRun { logs: logs.into() })
}

/// Finds the run that was finished last, if there is one. Only a finished run has a table of results.
pub fn newest_finished(logs: &Path) -> Option<PathBuf> {
    newest(logs, REPORT).ok().flatten().filter(|run| run.join(checkpoint::WEIGHTS).exists())
}

/// Finds the folder in `logs` whose `file` was written last.
fn newest(logs: &Path, file: &str) -> io::Result<Option<PathBuf>> {
    let files = fs::read_dir(logs)?.flatten().filter_map(|entry| {
        let written = fs::metadata(entry.path().join(file)).ok()?.modified().ok()?;
        Some((written, entry.path()))
    });
    Ok(files.max().map(|(_, path)| path))
}
