//! The reasons why a checkpoint cannot be read or written.

use super::config_error::{ConfigFileError, InferenceError};
use super::dtype::Dtype;
use super::tower::Tower;
use crate::models::clip::config::ConfigError;
use std::path::{Path, PathBuf};

/// A reason why a checkpoint cannot be read or written. Every message names the file, or the model that was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{}: no weights here; looked for {}, and for a single other .safetensors, .bin, .pt, .pth or .ckpt",
            path.display(), looked_for.join(", "))]
    NoWeights { path: PathBuf, looked_for: Vec<&'static str> },
    #[error("{}: several files of weights, none under a known name: {}; name one of them", path.display(), first_of(files))]
    SeveralWeights { path: PathBuf, files: Vec<String> },
    #[error("{}: {what}; {help}", path.display())]
    NotWeights { path: PathBuf, what: &'static str, help: &'static str },
    #[error("{name}: no such file or folder; it is the name of an architecture, which has no weights of its own")]
    Architecture { name: String },
    #[error("{name}: no such file or folder, and the Hugging Face cache {} does not have its weights; nothing is \
             downloaded here, but this does it: hf download {name}", cache.display())]
    NotCached { name: String, cache: PathBuf },
    #[error("{}: not a {format} file: {reason}", path.display())]
    Format { path: PathBuf, format: &'static str, reason: String },
    /// The file is a TorchScript program, as OpenAI's own downloads are.
    #[error("{0}: a TorchScript program, whose weights only PyTorch can take out:\n\
             import torch; from safetensors.torch import save_file\n\
             weights = torch.jit.load({0:?}, map_location=\"cpu\").state_dict()\n\
             save_file({{name: tensor.clone() for name, tensor in weights.items()}}, {1:?})",
            path.display(), path.with_extension("safetensors").display())]
    TorchScript { path: PathBuf },
    #[error("{}: {source}", path.display())]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("{}: {source}", path.display())]
    Config { path: PathBuf, source: ConfigFileError },
    #[error("{}: {count} snapshots, and no refs/main that chooses; name the folder of one", path.display())]
    Snapshots { path: PathBuf, count: usize },
    #[error("{}: {:?} is not a file beside it", path.display(), shard.display())]
    NotBeside { path: PathBuf, shard: PathBuf },
    #[error("{}: it does not say its {count}", path.display())]
    NoCount { path: PathBuf, count: String },
    #[error("{}: tensor {tensor} is missing", path.display())]
    Missing { path: PathBuf, tensor: String },
    #[error("{}: tensors {} and {} are one in this model, and differ", path.display(), tensors[0], tensors[1])]
    Tied { path: PathBuf, tensors: [String; 2] },
    #[error("{}: Hugging Face's CLIP has no name for {tensor}", path.display())]
    NoName { path: PathBuf, tensor: String },
    #[error("{}: tensor {tensor} is in another file too", path.display())]
    Twice { path: PathBuf, tensor: String },
    #[error("{}: there are two models in it, with names behind {:?} and {:?}; save the one that is meant alone",
            path.display(), prefixes[0], prefixes[1])]
    TwoModels { path: PathBuf, prefixes: [String; 2] },
    #[error("{}: this model has no place for {}", path.display(), first_of(tensors))]
    Unexpected { path: PathBuf, tensors: Vec<String> },
    #[error("{}: tensor {tensor} has shape {found:?}, this model needs {expected:?}", path.display())]
    Shape { path: PathBuf, tensor: String, found: Vec<usize>, expected: Vec<usize> },
    #[error("{}: tensor {tensor} is {found}; f32, f16 and bf16 can be read", path.display())]
    Dtype { path: PathBuf, tensor: String, found: String },
    #[error("{}: tensor {tensor} holds {value} at element {index}", path.display())]
    NotFinite { path: PathBuf, tensor: String, index: usize, value: f32 },
    #[error("{}: tensor {tensor} of eight bits {reason}", path.display())]
    Int8 { path: PathBuf, tensor: String, reason: &'static str },
    #[error("{}: its matrices have been rounded to eight bits, which are not trained; take the model that the file was \
             made of, or widen it: clipwright convert {} DST", path.display(), path.display())]
    Rounded { path: PathBuf },
    #[error("{}: tensor {tensor} holds {value} at element {index}, too large for {}", path.display(),
            dtype.to_string().to_lowercase())]
    TooLarge { path: PathBuf, tensor: String, index: usize, value: f32, dtype: Dtype },
    #[error("{}: the architecture cannot be inferred: {source}; put its {config} beside it", path.display())]
    Inference { path: PathBuf, source: InferenceError, config: &'static str },
    /// The file is of another model than the one that was asked for.
    #[error("{}: {what}, not {wanted}", path.display())]
    OtherModel { path: PathBuf, what: &'static str, wanted: &'static str },
    #[error("{}: no configuration says which activation this model was trained with: QuickGELU as all of OpenAI's, or \
             GELU as most of OpenCLIP's", path.display())]
    Activation { path: PathBuf },
    #[error("{}: this checkpoint has no {tower} tower", path.display())]
    NoTower { path: PathBuf, tower: Tower },
    #[error("{}: {source}", path.display())]
    Size { path: PathBuf, source: ConfigError },
}

impl CheckpointError {
    /// Adds the path to an error of a configuration.
    pub(crate) fn config(path: &Path) -> impl FnOnce(ConfigFileError) -> Self {
        move |source| Self::Config { path: path.into(), source }
    }
}

/// Returns the first names of a list, as many as a message can hold, and how many more there are.
fn first_of(tensors: &[String]) -> String {
    const NAMED: usize = 5;
    let named = tensors[..tensors.len().min(NAMED)].join(", ");
    if tensors.len() > NAMED { format!("{named} and {} more", tensors.len() - NAMED) } else { named }
}
