//! Reads tensors from files of `torch.save`: `pytorch_model.bin`, `open_clip_pytorch_model.bin`, and checkpoints of
//! training runs.
//!
//! Only the data of the pickle is read, by the `pytorch-reader` crate. No code in it is ever run.

use super::dtype::Stored;
use super::{CheckpointError, check, foreign};
use pytorch_reader::{PickleValue, PytorchReader};
use std::path::{Path, PathBuf};

/// The largest number of names of a tied tensor. The words of a pre-trained BLIP have three.
const MAX_NAMES: u64 = 3;

/// An open file whose tensors are listed but not read.
pub(crate) struct Reader {
    path: PathBuf,
    file: PytorchReader,
}

impl Reader {
    pub(crate) fn open(path: &Path) -> Result<Reader, CheckpointError> {
        let file = PytorchReader::new(path).map_err(|error| refused(path, &error.to_string()))?;
        // A tensor can be a view that repeats a few stored numbers many times. All parameters of a model are stored,
        // if tied ones only once under their names, so tensors that are larger are refused, and the size of the file
        // bounds the memory that is allocated.
        let promised = file.tensors().values().try_fold(0usize, |sum, tensor| sum.checked_add(tensor.byte_len()));
        let size = std::fs::metadata(path).map_err(|source| CheckpointError::Io { path: path.into(), source })?.len();
        if promised.is_none_or(|promised| promised as u64 > size.saturating_mul(MAX_NAMES)) {
            return Err(refused(path, "its tensors are larger than the file"));
        }
        Ok(Reader { path: path.into(), file })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.file.keys()
    }

    /// Returns the outermost keys, and whether each holds a dictionary or a list, which can hold more than one tensor.
    pub(crate) fn outermost(&self) -> Result<Vec<(String, bool)>, CheckpointError> {
        let value = PytorchReader::read_pickle_data(&self.path, None);
        match value.map_err(|error| refused(&self.path, &error.to_string()))? {
            PickleValue::Dict(keys) => {
                let holds_more = |value| matches!(value, PickleValue::Dict(_) | PickleValue::List(_));
                Ok(keys.into_iter().map(|(key, value)| (key, holds_more(value))).collect())
            }
            _ => Ok(vec![]),
        }
    }

    pub(crate) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.file.get(name).map(|tensor| tensor.shape())
    }

    pub(crate) fn dtype(&self, name: &str) -> Option<Stored> {
        self.file.get(name).map(|tensor| tensor.dtype().into())
    }

    /// Reads a tensor of this shape and converts it to f32. A scalar may be stored as a vector of one element.
    pub(crate) fn read(&self, name: &str, shape: &[usize], out: &mut [f32]) -> Result<(), CheckpointError> {
        let (path, tensor) = (&self.path, name);
        let Some(found) = self.file.get(name) else {
            return Err(CheckpointError::Missing { path: path.into(), tensor: tensor.into() });
        };
        check::shape(path, tensor, found.shape(), shape)?;
        let dtype = check::dtype(path, tensor, found.dtype().into(), shape)?;
        let raw = found.read().map_err(|source| CheckpointError::Io { path: path.into(), source })?;
        dtype.decode(&raw, out);
        check::finite(path, tensor, 0, out)
    }
}

fn refused(path: &Path, reason: &str) -> CheckpointError {
    // This is the namespace of compiled classes, which only TorchScript programs have.
    if reason.contains("__torch__") {
        return CheckpointError::TorchScript { path: path.into() };
    }
    if reason.contains("No data.pkl entry") {
        return foreign::other_zip(path);
    }
    CheckpointError::Format { path: path.into(), format: "PyTorch weights", reason: reason.into() }
}
