//! Checkpoints as OpenCLIP has them: a folder with `open_clip_config.json` and `open_clip_model.safetensors`, tensor
//! names as OpenAI's.

pub mod config_file;
pub mod safetensors;

use crate::models::text::Text;
use crate::models::visual::Visual;
use crate::models::{Config, clip};
use crate::params::{Params, Role, Spec, for_each};
use crate::tree::{Path as TreePath, Tree};
use config_file::ConfigFile;
use safetensors::{Reader, Values};
use std::path::{Path, PathBuf};

/// The name of the weights in a model folder.
pub const WEIGHTS: &str = "open_clip_model.safetensors";
/// The name of the configuration in a model folder.
pub const CONFIG: &str = "open_clip_config.json";

/// OpenAI's files carry these beside the parameters.
const NOT_PARAMETERS: [&str; 3] = ["input_resolution", "context_length", "vocab_size"];

/// Why a checkpoint could not be read or written; every message names the file.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{}: not a safetensors file: {reason}", path.display())]
    Format { path: PathBuf, reason: String },
    #[error("{}: {reason}", path.display())]
    Config { path: PathBuf, reason: String },
    #[error("{}: tensor {tensor} is missing", path.display())]
    Missing { path: PathBuf, tensor: String },
    #[error("{}: this model has no place for {}", path.display(), tensors.join(", "))]
    Unexpected { path: PathBuf, tensors: Vec<String> },
    #[error("{}: tensor {tensor} has shape {found:?}, this model needs {expected:?}", path.display())]
    Shape { path: PathBuf, tensor: String, found: Vec<usize>, expected: Vec<usize> },
    #[error("{}: tensor {tensor} is {found}; f32, f16 and bf16 can be read", path.display())]
    Dtype { path: PathBuf, tensor: String, found: String },
    #[error("{}: tensor {tensor} holds {value} at element {index}", path.display())]
    NotFinite { path: PathBuf, tensor: String, index: usize, value: f32 },
}

/// Fills a parameter tree, named from `at`, from a file. Of the file's tensors those that `ours` accepts must all
/// have a place in the tree.
pub fn load_params<S: Tree<Leaf = Spec>>(
    path: &Path,
    spec: S,
    at: &TreePath,
    ours: impl Fn(&str) -> bool,
) -> Result<Params<S>, CheckpointError> {
    let mut reader = Reader::open(path)?;
    let mut params = Params::zeros(spec);
    let (mut expected, mut result, flat) = (vec![], Ok(()), &mut params.flat);
    for_each(&params.spec, at, |path, spec, range| {
        let name = path.to_string();
        if result.is_ok() {
            result = reader.read(&name, &spec.shape, &mut flat[range]);
        }
        expected.push(name);
    });
    result?;
    let has_place = |name: &String| NOT_PARAMETERS.contains(&name.as_str()) || expected.contains(name);
    let tensors: Vec<_> = reader.names().into_iter().filter(|name| ours(name) && !has_place(name)).collect();
    if tensors.is_empty() { Ok(params) } else { Err(CheckpointError::Unexpected { path: path.into(), tensors }) }
}

/// Writes a parameter tree under its names.
pub fn save_params<S: Tree<Leaf = Spec>>(
    path: &Path,
    params: &Params<S>,
    at: &TreePath,
) -> Result<(), CheckpointError> {
    let mut tensors = vec![];
    for_each(&params.spec, at, |path, spec, range| {
        let values = &params.flat[range];
        let values = if spec.role == Role::Count { Values::I64(values) } else { Values::F32(values) };
        tensors.push((path.to_string(), spec.shape.clone(), values));
    });
    safetensors::write(path, &tensors, [("format", "pt")])
}

/// A model folder, or its weights file beside its configuration.
pub fn load_model(path: &Path) -> Result<(clip::Model, ConfigFile), CheckpointError> {
    let kind = std::fs::metadata(path).map_err(|source| CheckpointError::Io { path: path.into(), source })?;
    let (weights, config) = if kind.is_dir() {
        (path.join(WEIGHTS), path.join(CONFIG))
    } else {
        (path.to_path_buf(), path.with_file_name(CONFIG))
    };
    let file = ConfigFile::read(&config)?;
    let params = load_params(&weights, clip::spec(&file.model_cfg), &TreePath::ROOT, |_| true)?;
    Ok((clip::Model { config: file.model_cfg.clone(), params }, file))
}

/// Writes a model folder that OpenCLIP itself can load.
pub fn save_model(folder: &Path, model: &clip::Model, config: &ConfigFile) -> Result<(), CheckpointError> {
    config.write(&folder.join(CONFIG))?;
    save_params(&folder.join(WEIGHTS), &model.params, &TreePath::ROOT)
}

/// The image tower alone of any CLIP checkpoint: only its tensors are read.
pub fn load_vision(path: &Path, config: &Config) -> Result<Params<Visual<Spec>>, CheckpointError> {
    load_params(path, config.vision().spec(), &TreePath::at("visual"), |name| name.starts_with("visual."))
}

/// The text tower alone of any CLIP checkpoint: only its tensors are read.
pub fn load_text(path: &Path, config: &Config) -> Result<Params<Text<Spec>>, CheckpointError> {
    let ours = |name: &str| !name.starts_with("visual.") && name != "logit_scale";
    load_params(path, config.text().spec(), &TreePath::ROOT, ours)
}
