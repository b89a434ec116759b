//! Checkpoints as people have them, in and out.
//!
//! | what | weights | configuration |
//! |---|---|---|
//! | OpenCLIP's folders, and our own | `open_clip_model.safetensors`, `open_clip_pytorch_model.bin` | `open_clip_config.json` |
//! | Hugging Face's folders | `model.safetensors`, in one or with an index, `pytorch_model.bin` | `config.json`, `preprocessor_config.json` |
//! | a file alone | safetensors or `torch.save` | inferred from names and shapes |
//!
//! [`Checkpoint::open`] finds out which, and checks every name and shape before a value is read; towers are read when
//! they are asked for. The names in the file, not those of the folder's files, decide whose they are ([`names`]).

mod architecture;
mod check;
pub mod dtype;
mod error;
mod hugging_face;
mod infer;
pub mod names;
mod open;
pub mod openclip;
mod pickle;
mod positions;
mod preprocessor;
pub mod safetensors;
mod save;
mod tokenizer_files;
pub mod weights;

pub use architecture::Architecture;
pub use dtype::{Dtype, Precision};
pub use error::CheckpointError;
pub use names::Tower;
pub use open::{ActivationSource, Checkpoint, Overrides};
pub use openclip::ConfigFile;
pub use save::{Format, save, save_model};

use crate::models::clip::model;
use crate::params::{Params, Spec};
use crate::tree::{Path as TreePath, Tree};
use names::Scheme;
use serde_json::Value;
use std::path::Path;
use weights::Weights;

/// The name of the weights in a model folder of ours.
pub const WEIGHTS: &str = "open_clip_model.safetensors";
/// The name of the configuration in a model folder of ours.
pub const CONFIG: &str = "open_clip_config.json";

/// A whole CLIP, from a folder or a file of weights.
pub fn load_model(path: &Path) -> Result<(model::Model, ConfigFile), CheckpointError> {
    Checkpoint::open(path, &Overrides::default())?.model()
}

/// A parameter tree, named from `at`, from a file that holds it and nothing else.
pub fn load_params<S: Tree<Leaf = Spec>>(path: &Path, spec: S, at: &TreePath) -> Result<Params<S>, CheckpointError> {
    let weights = Weights::open(path)?;
    let scheme = Scheme::of(&weights.names());
    weights.check(&scheme, &architecture::table(&spec, at))?;
    weights.load(spec, at, |name, shape, out| weights.read_ours(&scheme, name, shape, out))
}

fn read_json(path: &Path) -> Result<Value, CheckpointError> {
    let text = std::fs::read(path).map_err(|source| CheckpointError::Io { path: path.into(), source })?;
    serde_json::from_slice(&text).map_err(|e| CheckpointError::Config { path: path.into(), reason: e.to_string() })
}

/// The number as people write it, not all the digits of its binary value.
fn decimal(x: f32) -> f64 {
    x.to_string().parse().expect("a float prints as a float")
}
