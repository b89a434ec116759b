//! The errors of reading and preparing pictures.

use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a picture, or a folder of pictures, cannot be used. Every message names the file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PictureError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path}: not a picture that can be read: {source}")]
    Format { path: PathBuf, source: image::ImageError },
}

impl PictureError {
    /// Adds the name of the file to an I/O error.
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }

    /// Returns the path of the file.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Io { path, .. } | Self::Format { path, .. } => path,
        }
    }

    /// Returns the message without the name of the file.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Io { source, .. } => source.to_string(),
            Self::Format { source, .. } => format!("not a picture that can be read: {source}"),
        }
    }
}

/// Why a preparation of pictures cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum PreprocessError {
    #[error("mean {mean:?} and std {std:?}")]
    Normalisation { mean: [f32; 3], std: [f32; 3] },
}
