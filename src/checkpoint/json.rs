//! Reads and writes whole JSON files.

use super::{CheckpointError, ConfigFileError, foreign};
use crate::files::{self, write_atomic};
use serde_json::Value;
use std::path::Path;

/// Reads a JSON file.
///
/// # Errors
/// Returns an error if the file cannot be read, or if it is not JSON.
pub(crate) fn read_json(path: &Path) -> Result<Value, CheckpointError> {
    let text = files::read(path).map_err(|source| CheckpointError::Io { path: path.into(), source })?;
    foreign::refuse(path, &text[..text.len().min(foreign::START)])?;
    serde_json::from_slice(&text).map_err(|source| CheckpointError::Json { path: path.into(), source })
}

/// Reads what a JSON file holds.
///
/// # Errors
/// Returns an error that names the file if it cannot be read, or if `parse` says what is wrong with it.
pub(crate) fn parse_json<T>(
    path: &Path,
    parse: impl FnOnce(&Value) -> Result<T, ConfigFileError>,
) -> Result<T, CheckpointError> {
    parse(&read_json(path)?).map_err(CheckpointError::config(path))
}

/// Writes a JSON file, which appears as a whole or not at all.
pub(crate) fn write_json(path: &Path, value: &Value) -> Result<(), CheckpointError> {
    write_atomic(path, |out| {
        serde_json::to_writer_pretty(&mut *out, value)?;
        writeln!(out)
    })
    .map_err(|source| CheckpointError::Io { path: path.into(), source })
}

/// Returns `x` as the number with the fewest decimal digits that round to it, as people write it.
pub(crate) fn decimal(x: f32) -> f64 {
    x.to_string().parse().expect("a float prints as a float")
}
