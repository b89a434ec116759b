//! Checks that every tensor must pass, whatever file it comes from.

use super::CheckpointError;
use super::dtype::{Dtype, Stored};
use std::path::Path;

/// Refuses a shape that is not the model's. A scalar may be stored as a vector of one element.
pub(crate) fn shape(path: &Path, tensor: &str, found: &[usize], expected: &[usize]) -> Result<(), CheckpointError> {
    if found == expected || (expected.is_empty() && found == [1]) {
        return Ok(());
    }
    let (found, expected) = (found.to_vec(), expected.to_vec());
    Err(CheckpointError::Shape { path: path.into(), tensor: tensor.into(), found, expected })
}

/// Refuses numbers of a type that parameters cannot have. Only a scalar can be an integer, as counts are.
pub(crate) fn dtype(path: &Path, tensor: &str, stored: Stored, shape: &[usize]) -> Result<Dtype, CheckpointError> {
    match stored {
        Stored::Known(dtype) if dtype != Dtype::I64 || shape.is_empty() => Ok(dtype),
        other => Err(CheckpointError::Dtype { path: path.into(), tensor: tensor.into(), found: other.to_string() }),
    }
}

/// Refuses values that are NaN or infinite.
pub(crate) fn finite(path: &Path, tensor: &str, values: &[f32]) -> Result<(), CheckpointError> {
    // The sum has no branches and is therefore vectorised. An infinity or NaN times zero is NaN, and so is a sum with a
    // NaN.
    const PIECE: usize = 4096;
    let is_finite = |values: &[f32]| values.iter().map(|value| value * 0.0).sum::<f32>() == 0.0;
    let Some(piece) = values.chunks(PIECE).position(|piece| !is_finite(piece)) else { return Ok(()) };
    let rest = &values[piece * PIECE..];
    let index = piece * PIECE + rest.iter().position(|value| !value.is_finite()).expect("a value that is not finite");
    Err(CheckpointError::NotFinite { path: path.into(), tensor: tensor.into(), index, value: values[index] })
}
