//! The errors of making and searching an index.

use super::data::{DERIVED, Data};
use super::model::ModelId;
use crate::counted::counted;
use crate::progress::Stopped;
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
    #[error("{}: not an index that can be used: {source}", path.display())]
    Broken { path: PathBuf, source: IndexFileError },
    #[error("{}: an index of embeddings by {theirs}, which those by {ours} cannot be compared with",
            path.display())]
    OtherModel { path: PathBuf, theirs: Box<ModelId>, ours: Box<ModelId> },
    #[error("{}: an index of the pictures in {theirs}, not in {}", path.display(), ours.display())]
    OtherPictures { path: PathBuf, theirs: String, ours: PathBuf },
    #[error("{}: {} is not in this folder or below it", path.display(), file.display())]
    Outside { path: PathBuf, file: PathBuf },
    #[error("{}: an index of pictures as they are stored, none of which was turned upright", path.display())]
    AsStored { path: PathBuf },
    #[error("{}: an index of pictures that were decoded exactly, not at a part of their size", path.display())]
    Exact { path: PathBuf },
    #[error("{}: the model's embedding of what is looked for {reason}", path.display())]
    Query { path: PathBuf, reason: String },
    #[error("{}: another process is writing this index", path.display())]
    Busy { path: PathBuf },
    #[error("{}: a name that is not UTF-8, which an index cannot hold", path.display())]
    Name { path: PathBuf },
    #[error(transparent)]
    Stopped(Stopped),
}

impl IndexError {
    /// Whether it is about a file that the next update makes again, where it is missing or short.
    pub fn is_of_derived_file(&self) -> bool {
        let (Self::Io { path, .. } | Self::Broken { path, .. }) = self else { return false };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        DERIVED
            .iter()
            .chain(&[Data::Digests])
            .any(|data| name.starts_with(data.name().0) && name.ends_with(data.name().1))
    }

    /// Adds the name of the file to an I/O error.
    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.into(), source }
    }

    /// Adds the name of the file to what is wrong with it.
    pub(super) fn broken(path: impl Into<PathBuf>) -> impl FnOnce(IndexFileError) -> Self {
        move |source| Self::Broken { path: path.into(), source }
    }
}

/// What is wrong with a file of an index.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexFileError {
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error("its format is {found:?} instead of {expected:?}")]
    Format { found: String, expected: &'static str },
    #[error("it was made by an older version of this program")]
    Older,
    #[error("its version is {found}; this program reads version {expected}")]
    Version { found: u32, expected: u32 },
    #[error("embeddings of width {embed_dim}")]
    Width { embed_dim: usize },
    #[error("{}", counted(*rows, "row"))]
    Rows { rows: usize },
    #[error("generation {generation}")]
    Generation { generation: u64 },
    #[error("dropped row {row} comes after {earlier}")]
    Order { row: usize, earlier: usize },
    #[error("row {row} is dropped and there are {rows}")]
    NoRow { row: usize, rows: usize },
    #[error("it has {}, index.json promises {promised}", counted(*length, "byte"))]
    Length { length: u64, promised: u64 },
    #[error("{}, {}", counted(*lines, "line"), counted(*rows, "row"))]
    Lines { lines: usize, rows: usize },
    #[error("the last line has no end")]
    NoEnd,
    #[error("line {} is from byte {start} to byte {end}, which no line is", row + 1)]
    Place { row: usize, start: u64, end: u64 },
    #[error("line {line}: {source}")]
    Line { line: usize, source: Box<IndexFileError> },
    #[error("what it has for row {row} is of another row")]
    OtherCodes { row: usize },
    #[error("{path:?} is not a path below a folder")]
    NotBelow { path: String },
    #[error("row {row} is not a vector of unit length: its product with one is {product}")]
    NotAUnit { row: usize, product: f32 },
}
