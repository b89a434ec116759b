//! The errors of making and searching an index.

use super::model::ModelId;
use std::io;
use std::path::PathBuf;

/// Why an index could not be made or searched. Every message names the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{}: no index here", path.display())]
    None { path: PathBuf },
    #[error("{}: not an index that can be used: {reason}", path.display())]
    Broken { path: PathBuf, reason: String },
    #[error("{}: an index of embeddings by {theirs}, which those by {ours} cannot be compared with",
            path.display())]
    OtherModel { path: PathBuf, theirs: Box<ModelId>, ours: Box<ModelId> },
    #[error("{}: an index of the pictures in {theirs}, not in {}", path.display(), ours.display())]
    OtherPictures { path: PathBuf, theirs: String, ours: PathBuf },
    #[error("{}: an index of pictures as they are stored, none of which was turned upright", path.display())]
    AsStored { path: PathBuf },
    #[error("{}: the model's embedding of what is looked for {reason}", path.display())]
    Query { path: PathBuf, reason: String },
    #[error("{}: another process is writing this index", path.display())]
    Busy { path: PathBuf },
    #[error("{}: a name that is not UTF-8, which an index cannot hold", path.display())]
    Name { path: PathBuf },
}

impl IndexError {
    /// Adds the name of the file to an I/O error.
    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.into(), source }
    }

    /// Makes the error of a file whose content is invalid.
    pub(super) fn broken(path: impl Into<PathBuf>, reason: impl Into<String>) -> Self {
        Self::Broken { path: path.into(), reason: reason.into() }
    }
}
