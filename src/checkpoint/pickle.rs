//! Tensors from the files of `torch.save`: `pytorch_model.bin`, `open_clip_pytorch_model.bin`, training saves.
//!
//! Only the data of the pickle is read, by the `pytorch-reader` crate; none of its code is ever run.

use super::dtype::Dtype;
use super::{CheckpointError, check};
use pytorch_reader::{DType, PytorchReader};
use std::path::{Path, PathBuf};

/// An open file, its tensors listed but not read.
pub struct Reader {
    path: PathBuf,
    file: PytorchReader,
}

impl Reader {
    pub fn open(path: &Path) -> Result<Reader, CheckpointError> {
        let invalid = |reason| CheckpointError::Format { path: path.into(), format: "PyTorch weights", reason };
        let file = PytorchReader::new(path).map_err(|e| invalid(e.to_string()))?;
        Ok(Reader { path: path.into(), file })
    }

    pub fn names(&self) -> Vec<String> {
        self.file.keys()
    }

    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.file.get(name).map(|tensor| tensor.shape())
    }

    pub fn dtype(&self, name: &str) -> Option<String> {
        self.file.get(name).map(|tensor| format!("{:?}", tensor.dtype()))
    }

    /// Reads a tensor of this shape, converted to f32. A scalar may be stored as a vector of one.
    pub fn read(&self, name: &str, shape: &[usize], out: &mut [f32]) -> Result<(), CheckpointError> {
        let (path, tensor) = (&self.path, name);
        let Some(found) = self.file.get(name) else {
            return Err(CheckpointError::Missing { path: path.into(), tensor: tensor.into() });
        };
        check::shape(path, tensor, found.shape(), shape)?;
        let dtype = match found.dtype() {
            DType::F32 => Some(Dtype::F32),
            DType::F16 => Some(Dtype::F16),
            DType::BF16 => Some(Dtype::Bf16),
            _ => None,
        };
        let dtype = check::dtype(path, tensor, dtype, &format!("{:?}", found.dtype()))?;
        let raw = found.read().map_err(|source| CheckpointError::Io { path: path.into(), source })?;
        dtype.decode(&raw, out);
        check::finite(path, tensor, out)
    }
}
