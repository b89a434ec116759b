//! What can end a command.

use crate::checkpoint::CheckpointError;
use crate::clip::LoadError;
use crate::input::InputError;
use crate::models::config::ConfigError;
use std::io;
use std::path::PathBuf;

/// Every message names the file or the argument.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    #[error("no model: {} has no run of the trainer. Say --model PATH, or make one: cargo run --release --bin train",
            runs.display())]
    NoModel { runs: PathBuf },
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Input(#[from] InputError),
    #[error(transparent)]
    Preset(#[from] ConfigError),
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{}: is not empty", path.display())]
    NotEmpty { path: PathBuf },
    #[error("standard output: {0}")]
    Output(#[from] io::Error),
    /// The command line asks for something that does not exist together.
    #[error("{0}")]
    Usage(String),
}

impl CliError {
    /// What the process tells its caller.
    pub fn exit_code(&self) -> u8 {
        match self {
            error if error.is_silent() => 0,
            CliError::Usage(_) | CliError::Preset(_) => 2,
            _ => 1,
        }
    }

    /// Nobody reads on, as in `clip … | head`: not worth a word.
    pub fn is_silent(&self) -> bool {
        matches!(self, CliError::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}
