//! The errors of opening a tokenizer.

use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Why a tokenizer cannot be used. Every message names the file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TokenizerError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path}: not a tokenizer that can be used: {reason}")]
    Invalid { path: PathBuf, reason: String },
}
