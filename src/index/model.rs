//! The identity of the model that an index was made with.

use super::IndexError;
use crate::checkpoint::Checkpoint;
use crate::files::read_exact_at;
use crate::random::key;
use kernels::Activation;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;

/// Number of pieces of a file of weights that are hashed. In files of a hundred tensors or more they cover a part of
/// every large tensor. They are read in milliseconds; the whole file would take seconds.
const PIECES: u64 = 256;
/// Length of a piece in bytes.
const PIECE: u64 = 4096;

/// The identity of a model, which does not depend on where its files are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelId {
    /// The path that the model was loaded from. It is shown to people, and a search that names no model tries it.
    pub path: String,
    pub quick_gelu: bool,
    /// A hash of the architecture, the preparation of pictures, and pieces spread evenly over the files of weights.
    pub fingerprint: String,
}

impl ModelId {
    /// Computes the identity of a checkpoint's model.
    ///
    /// # Errors
    /// Returns an error if a file of weights cannot be read or its name is not UTF-8.
    pub fn of(checkpoint: &Checkpoint) -> Result<ModelId, IndexError> {
        let sizes = format!("{:?} {:?}", checkpoint.architecture, checkpoint.preprocess);
        let mut content = sizes.into_bytes();
        for path in checkpoint.files() {
            content.extend(sample(path).map_err(IndexError::io(path))?);
        }
        let path = std::path::absolute(checkpoint.path()).map_err(IndexError::io(checkpoint.path()))?;
        Ok(ModelId {
            path: path.into_os_string().into_string().map_err(|path| IndexError::Name { path: path.into() })?,
            quick_gelu: checkpoint.architecture.activation == Activation::QuickGelu,
            fingerprint: format!("{:016x}", key(content)),
        })
    }

    /// Returns whether the embeddings of both models can be compared.
    pub fn is_same(&self, other: &ModelId) -> bool {
        self.fingerprint == other.fingerprint
    }

    /// Returns the activation of the model, with which it has to be opened again.
    pub fn activation(&self) -> Activation {
        if self.quick_gelu { Activation::QuickGelu } else { Activation::Gelu }
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} ({})", self.path, self.fingerprint)
    }
}

/// Returns the file's length and pieces of its content, the first and the last included.
fn sample(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut sample = size.to_le_bytes().to_vec();
    let mut read = |start: u64, len: u64| {
        let old = sample.len();
        sample.resize(old + len as usize, 0);
        read_exact_at(&file, &mut sample[old..], start)
    };
    if size <= PIECES * PIECE {
        read(0, size)?;
    } else {
        (0..PIECES).try_for_each(|i| read((size - PIECE) / (PIECES - 1) * i, PIECE))?;
    }
    Ok(sample)
}
