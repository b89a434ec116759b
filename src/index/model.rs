//! Which model an index was made with.

use super::{IndexError, fingerprint};
use crate::checkpoint::Checkpoint;
use crate::files::read_exact_at;
use crate::random::key;
use kernels::Activation;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;

/// Pieces of a file of weights that are looked at, and their length in bytes. In files of a hundred tensors and more
/// that is some of every large tensor, and takes milliseconds where reading all of the file takes seconds.
const PIECES: u64 = 256;
const PIECE: u64 = 4096;

/// A model, wherever its files lie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelId {
    /// Where it was; a hint for people, and for a search that names none.
    pub path: String,
    pub quick_gelu: bool,
    /// A hash of the architecture and the preparation of pictures, in the words of version 1, and of pieces spread
    /// evenly over the files of weights.
    pub fingerprint: String,
    /// The hash that an index from before version 1 has of the same model, so that it need not be made again. An index
    /// keeps the hash that it was begun with, and never this one beside it.
    #[serde(skip)]
    pub older_fingerprint: Option<String>,
}

impl ModelId {
    /// # Errors
    /// If a file of weights cannot be read, or its name is not UTF-8.
    pub fn of(checkpoint: &Checkpoint) -> Result<ModelId, IndexError> {
        let mut weights = vec![];
        for path in checkpoint.files() {
            weights.extend(sample(path).map_err(IndexError::io(path))?);
        }
        let hash =
            |words: String| format!("{:016x}", key(words.into_bytes().into_iter().chain(weights.iter().copied())));
        let (architecture, pictures) = (&checkpoint.architecture, &checkpoint.preprocess);
        let path = std::path::absolute(checkpoint.path()).map_err(IndexError::io(checkpoint.path()))?;
        Ok(ModelId {
            path: path.into_os_string().into_string().map_err(|path| IndexError::Name { path: path.into() })?,
            quick_gelu: checkpoint.architecture.activation == Activation::QuickGelu,
            fingerprint: hash(fingerprint::words(architecture, pictures)),
            older_fingerprint: Some(hash(fingerprint::older_words(architecture, pictures))),
        })
    }

    /// Whether embeddings of the two can be compared.
    pub fn is_same(&self, other: &ModelId) -> bool {
        let older = |new: &ModelId, old: &ModelId| new.older_fingerprint.as_ref() == Some(&old.fingerprint);
        self.fingerprint == other.fingerprint || older(self, other) || older(other, self)
    }

    pub fn activation(&self) -> Activation {
        if self.quick_gelu { Activation::QuickGelu } else { Activation::Gelu }
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} ({})", self.path, self.fingerprint)
    }
}

/// The file's length and pieces of it, the first and the last among them.
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
