//! The errors that end a command.

use crate::app::train::TrainError;
use crate::checkpoint::CheckpointError;
use crate::counted::counted;
use crate::datasets::DatasetError;
use crate::embed::{BlipError, LoadError, Task};
use crate::index::IndexError;
use crate::models::clip::config::ConfigError;
use crate::pictures::PictureError;
use crate::pictures::folder::PassedOver;
use crate::train::run_folder::OPTIONS;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Why a command failed. Every message names the file or the argument.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    #[error("no model: {} has no finished run of the trainer", runs.display())]
    NoModel { runs: PathBuf },
    #[error("{}: no run of the trainer, which would have {OPTIONS}", path.display())]
    NoRun { path: PathBuf },
    /// What a run was trained with cannot be opened once more.
    #[error(transparent)]
    Train(Box<TrainError>),
    #[error("no model: this command needs a BLIP, and the runs of the trainer are CLIPs")]
    NoBlip { task: Task },
    #[error("{}: {source}", path.display())]
    Blip { path: PathBuf, source: BlipError },
    /// What an interrupted run left is of a run with other settings.
    #[error("{}: what an interrupted run left, and its {what} is another than now", path.display())]
    OtherRun { path: PathBuf, what: String },
    /// A folder that grows from run to run was begun with other settings.
    #[error("{}: begun with another {what} than now", path.display())]
    OtherFolder { path: PathBuf, what: String },
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Data(#[from] DatasetError),
    #[error(transparent)]
    Picture(#[from] PictureError),
    #[error(transparent)]
    Preset(#[from] ConfigError),
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{}: is not empty", path.display())]
    NotEmpty { path: PathBuf },
    /// A line of a text file cannot be used.
    #[error("{}, line {line}: {reason}", path.display())]
    Line { path: PathBuf, line: usize, reason: String },
    #[error("{place}: no text in it; at least one is needed")]
    NoTexts { place: String },
    #[error("{}: {} for {}", path.display(), counted(*names, "name"), counted(*classes, "class"))]
    Names { path: PathBuf, names: usize, classes: usize },
    #[error("{}: no picture in it{}", path.display(), after_semicolon(passed_over))]
    NoPictures { path: PathBuf, passed_over: PassedOver },
    #[error("{bad} of {} could not be read", counted(*seen, "picture"))]
    Unreadable { bad: usize, seen: usize },
    /// There are duplicates, and the command line says that there must be none.
    #[error("duplicates: {found} of {}", counted(*pictures, "picture"))]
    Duplicates { found: usize, pictures: usize },
    #[error("{address}: {source}")]
    Server { address: SocketAddr, source: io::Error },
    #[error("standard output: {0}")]
    Output(io::Error),
    /// The arguments of the command line do not fit together.
    #[error("{0}")]
    Usage(String),
}

impl From<TrainError> for CliError {
    fn from(error: TrainError) -> Self {
        CliError::Train(Box::new(error))
    }
}

fn after_semicolon(passed_over: &PassedOver) -> String {
    if passed_over.is_empty() { String::new() } else { format!("; {passed_over}") }
}

impl CliError {
    /// Adds the name of the file to an I/O error.
    pub(super) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| CliError::File { path: path.into(), source }
    }

    /// Makes the error of a line of a text file.
    pub(super) fn line(path: &Path, line: usize, reason: &str) -> Self {
        CliError::Line { path: path.into(), line, reason: reason.into() }
    }

    /// Returns the exit code of the process.
    pub fn exit_code(&self) -> u8 {
        match self {
            error if error.is_silent() => 0,
            CliError::Usage(_) | CliError::Preset(_) => 2,
            _ => 1,
        }
    }

    /// Returns whether nothing is printed: the reader of the output has ended, as in `clipwright … | head`.
    pub fn is_silent(&self) -> bool {
        matches!(self, CliError::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}
