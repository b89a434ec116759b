//! Finds the file of weights that a user means by a file, a model's folder, or the name of a model of the Hub.

use super::CheckpointError;
use super::clip::openclip::WEIGHTS;
use super::hub;
use super::note::Note;
use crate::models::clip::Config;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The names of files of weights in a model's folder. The first that exists is taken.
const NAMES: [&str; 8] = [
    WEIGHTS,
    "model.safetensors",
    "model.safetensors.index.json",
    "open_clip_pytorch_model.bin",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "model.fp16.safetensors",
    "pytorch_model.fp16.bin",
];
/// The extensions of files of weights, as [`CheckpointError::NoWeights`] lists them.
const EXTENSIONS: [&str; 5] = ["safetensors", "bin", "pt", "pth", "ckpt"];
/// The extensions of files that hold models for other programs. Such a file is opened so that the error can say what it
/// is.
const FOREIGN: [&str; 5] = ["gguf", "onnx", "h5", "msgpack", "tflite"];
/// The name that OpenCLIP gives to the last weights of a training run.
const LATEST_EPOCH: &str = "epoch_latest.pt";
/// The beginning of the names that OpenCLIP gives to the weights of single epochs.
const EPOCH: &str = "epoch_";

/// Returns the file of weights, or the index of several files.
///
/// In a folder the first of [`NAMES`] that exists is taken, then OpenCLIP's `epoch_latest.pt`, then its `epoch_N.pt` with
/// the largest N, then any other file of weights if it is the only one. If other files of weights stand beside a file
/// that was chosen by its epoch, a note says so.
///
/// # Errors
/// Returns an error if there is no file of weights, or if there are several and none of these rules chooses one.
pub(crate) fn weights(named: &Path) -> Result<(PathBuf, Option<Note>), CheckpointError> {
    let Named { path, hub } = place(named)?;
    if !path.is_dir() {
        return Ok((path, None));
    }
    if let Some(known) = NAMES.iter().map(|name| path.join(name)).find(|path| path.is_file()) {
        return Ok((known, None));
    }
    let others = others(&path)?;
    let epoch = |name: &String| name.strip_prefix(EPOCH)?.strip_suffix(".pt")?.parse::<u64>().ok();
    let latest = others.iter().find(|name| *name == LATEST_EPOCH);
    let latest = latest.or_else(|| others.iter().filter(|name| epoch(name).is_some()).max_by_key(|name| epoch(name)));
    match (latest, &others[..], hub) {
        (Some(name), [_], _) | (None, [name], _) => Ok((path.join(name), None)),
        (Some(name), ..) => {
            let chosen = path.join(name);
            let others = others.iter().filter(|other| *other != name).cloned().collect();
            Ok((chosen.clone(), Some(Note::Chosen { path: chosen, others })))
        }
        (None, [], Some(name)) => Err(hub::not_cached(&name)),
        (None, [], None) => Err(CheckpointError::NoWeights { path, looked_for: NAMES.into() }),
        (None, ..) => Err(CheckpointError::SeveralWeights { path, files: others }),
    }
}

/// A file or folder, and the name on the Hub that led to it, if one did.
struct Named {
    path: PathBuf,
    hub: Option<String>,
}

/// Returns the name on the Hub, if that is what a user means, of a model that is in the cache.
pub fn hub_name(named: &Path) -> Option<String> {
    place(named).ok()?.hub
}

/// Returns the file or folder that a user means by a path or a name.
fn place(named: &Path) -> Result<Named, CheckpointError> {
    let of_the_hub = |name: &str| Ok(Named { path: hub::find(name)?, hub: Some(name.into()) });
    let text = named.to_str().unwrap_or_default();
    if let Some(name) = text.strip_prefix("hf-hub:") {
        return of_the_hub(name);
    }
    match fs::metadata(named) {
        // A model's folder in the Hub's cache holds the files of the model two levels below.
        Ok(_) if named.file_name().is_some_and(|name| name.to_string_lossy().starts_with(hub::FOLDER)) => {
            Ok(Named { path: hub::snapshot(named)?.unwrap_or(named.into()), hub: None })
        }
        Ok(_) => Ok(Named { path: named.into(), hub: None }),
        Err(error) if error.kind() == ErrorKind::NotFound && is_architecture(text) => {
            Err(CheckpointError::Architecture { name: text.into() })
        }
        Err(error) if error.kind() == ErrorKind::NotFound && hub::is_name(text) => of_the_hub(text),
        Err(source) => Err(CheckpointError::Io { path: named.into(), source }),
    }
}

/// Whether this is the name of a preset, or of another architecture of OpenCLIP or OpenAI, such as `ViT-L/14@336px`.
fn is_architecture(name: &str) -> bool {
    let name = name.strip_suffix("-quickgelu").unwrap_or(name);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-/@".contains(c);
    let is_vit = name.starts_with("ViT-") && name.chars().all(is_plain);
    is_vit || Config::preset_names().any(|preset| preset.eq_ignore_ascii_case(name))
}

/// Returns the names of the files in a folder that may be weights or, if there are none, of the files that hold models
/// for other programs.
fn others(folder: &Path) -> Result<Vec<String>, CheckpointError> {
    let io = |source| CheckpointError::Io { path: folder.into(), source };
    let mut files = vec![];
    for entry in fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        // Hidden files belong to the system or are still being written.
        let name = entry.file_name().into_string().ok().filter(|name| !name.starts_with('.'));
        files.extend(name.filter(|_| entry.path().is_file()));
    }
    files.sort();
    let with = |extensions: &[&str]| -> Vec<String> {
        let extension = |name: &str| Some(name.rsplit_once('.')?.1.to_ascii_lowercase());
        let has_one = |name: &&String| extension(name).is_some_and(|own| extensions.contains(&own.as_str()));
        files.iter().filter(has_one).cloned().collect()
    };
    let weights = with(&EXTENSIONS);
    Ok(if weights.is_empty() { with(&FOREIGN) } else { weights })
}
