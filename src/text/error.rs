//! The errors of opening a tokenizer.

use crate::counted::counted;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Why a tokenizer cannot be used. Every message names the file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TokenizerError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path}: not a tokenizer that can be used: {source}")]
    Invalid { path: PathBuf, source: TokenizerFileError },
}

/// What is wrong with a file that holds no tokenizer that can be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TokenizerFileError {
    /// The library that reads the file refuses it.
    #[error(transparent)]
    Refused(Box<dyn std::error::Error + Send + Sync>),
    #[error("the library that reads it gave up")]
    GaveUp,
    #[error("it frames a caption with {}, not with two", counted(*tokens, "token"))]
    Frame { tokens: usize },
}
