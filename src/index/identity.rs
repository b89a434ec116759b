//! The identity of a checkpoint's model, from its sizes and from pieces of its weights.

use super::error::IndexError;
use super::fingerprint;
use super::model::ModelId;
use crate::checkpoint::Kind;
use crate::digest::digest;
use crate::embed::Opened;
use crate::files::read_exact_at;
use kernels::Activation;
use std::fs::File;
use std::io;
use std::path::Path;

/// Number of pieces of a file of weights that the digest covers. In files of a hundred tensors or more they cover a part of
/// every large tensor. They are read in milliseconds; the whole file would take seconds.
const PIECES: u64 = 256;
/// Length of a piece in bytes.
const PIECE: u64 = 4096;

impl ModelId {
    /// Computes the identity of a checkpoint's model.
    ///
    /// # Errors
    /// Returns an error if a file of weights cannot be read or its name is not UTF-8.
    pub fn of(opened: &Opened) -> Result<ModelId, IndexError> {
        let (path, files): (&Path, Vec<&Path>) = match opened {
            Opened::Clip(checkpoint) => (checkpoint.path(), checkpoint.files().collect()),
            Opened::Blip(described) => (&described.path, described.files().collect()),
        };
        let (kind, activation, gelu_tanh, words) = match opened {
            Opened::Clip(checkpoint) => {
                let architecture = &checkpoint.architecture;
                let words = fingerprint::words(architecture, &checkpoint.preprocess);
                (Kind::Clip, architecture.activation, architecture.has_tanh(), words)
            }
            Opened::Blip(described) => {
                let words = fingerprint::blip_words(&described.config, described.preprocess.as_ref());
                (Kind::Blip, described.config.text.activation, false, words)
            }
        };
        let mut weights = vec![];
        for path in files {
            weights.extend(sample(path).map_err(IndexError::io(path))?);
        }
        let path = std::path::absolute(path).map_err(IndexError::io(path))?;
        Ok(ModelId {
            path: path.into_os_string().into_string().map_err(|path| IndexError::Name { path: path.into() })?,
            kind,
            quick_gelu: activation == Activation::QuickGelu,
            gelu_tanh,
            fingerprint: digest([words.as_bytes(), &weights]).to_string(),
        })
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
