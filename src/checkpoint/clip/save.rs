//! Writes a model as other libraries load it.

use super::folders::{self, Contents};
use super::names::Scheme;
use super::openclip::ConfigFile;
use crate::checkpoint::CheckpointError;
use crate::checkpoint::dtype::Precision;
use crate::checkpoint::family::Family;
use crate::models::clip::Config;
use crate::models::clip::model::Model;
use crate::params::view_mut;
use crate::weights::Balance;
use serde::Serialize;
use std::fmt;
use std::path::Path;

/// The library whose kind of folder is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A folder with `open_clip_config.json` and `open_clip_model.safetensors`, whose tensors have OpenAI's names.
    OpenClip,
    /// A folder with `config.json`, `preprocessor_config.json`, `model.safetensors` and the tokenizer's files.
    HuggingFace,
}

impl Format {
    /// Returns the scheme by which the library names a model of this architecture.
    fn scheme(self, config: &Config) -> Scheme {
        let is_siglip = config.vision_cfg.map_head;
        match self {
            Format::OpenClip => Scheme::openclip(is_siglip),
            Format::HuggingFace => Scheme::hugging_face(is_siglip),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Format::OpenClip => "OpenCLIP",
            Format::HuggingFace => "Hugging Face",
        })
    }
}

/// Writes a model's folder that OpenCLIP itself can load, in f32.
///
/// # Errors
/// Returns an error if a file cannot be written.
pub fn save_model(folder: &Path, model: &Model, config: &ConfigFile) -> Result<(), CheckpointError> {
    save(folder, Contents { model, config }, Format::OpenClip, Precision::F32)
}

/// Writes the folder of [`save_model`] with matrices of [eight bits](crate::checkpoint::int8), which inference alone
/// reads.
///
/// # Errors
/// Returns an error if a file cannot be written.
pub fn save_rounded(folder: &Path, mut model: Model, config: &ConfigFile) -> Result<(), CheckpointError> {
    view_mut(&model.params.spec, &mut model.params.flat).balance(&mut model.params.spec);
    folders::rounded(folder, Contents { model: &model, config })
}

/// Writes a model's folder, which is made if it does not exist. Each file appears as a whole or not at all, and the
/// configuration is written last.
///
/// # Errors
/// Returns an error if a file cannot be written, if a value does not fit the type, or if Hugging Face's classes cannot
/// express the model.
pub fn save(folder: &Path, contents: Contents, format: Format, precision: Precision) -> Result<(), CheckpointError> {
    format.scheme(&contents.config.model_cfg).write(folder, contents, precision)
}
