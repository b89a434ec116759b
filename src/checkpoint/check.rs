//! Checks that every tensor must pass, whatever file it comes from.

use super::CheckpointError;
use super::dtype::{Dtype, Stored};
use kernels::reduce::all_finite;
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
        Stored::Known(dtype @ (Dtype::F32 | Dtype::F16 | Dtype::Bf16)) => Ok(dtype),
        Stored::Known(Dtype::I64) if shape.is_empty() => Ok(Dtype::I64),
        other => Err(CheckpointError::Dtype { path: path.into(), tensor: tensor.into(), found: other.to_string() }),
    }
}

/// Refuses values that are NaN or infinite. `first` is the place of the first of them in the tensor.
pub(crate) fn finite(path: &Path, tensor: &str, first: usize, values: &[f32]) -> Result<(), CheckpointError> {
    if all_finite(values) {
        return Ok(());
    }
    let index = values.iter().position(|value| !value.is_finite()).expect("a value that is not finite");
    Err(CheckpointError::NotFinite {
        path: path.into(),
        tensor: tensor.into(),
        index: first + index,
        value: values[index],
    })
}
