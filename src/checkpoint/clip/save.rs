//! Writing a model as other libraries load it.

use super::names::Scheme;
use super::openclip::ConfigFile;
use crate::checkpoint::CheckpointError;
use crate::checkpoint::dtype::Precision;
use crate::checkpoint::family::Family;
use crate::models::clip::model::Model;
use serde::Serialize;
use std::fmt;
use std::path::Path;

/// Whose folder to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// `open_clip_config.json` and `open_clip_model.safetensors`, under OpenAI's names.
    OpenClip,
    /// `config.json`, `preprocessor_config.json`, `model.safetensors` and the tokenizer's files.
    HuggingFace,
}

impl From<Format> for Scheme {
    fn from(format: Format) -> Scheme {
        match format {
            Format::OpenClip => Scheme::openai(),
            Format::HuggingFace => Scheme::hugging_face(),
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

/// Writes a model folder that OpenCLIP itself can load, in f32.
pub fn save_model(folder: &Path, model: &Model, config: &ConfigFile) -> Result<(), CheckpointError> {
    save(folder, model, config, Format::OpenClip, Precision::F32)
}

/// Writes a model folder, which is made if need be, each file whole or not at all, the configuration last.
///
/// # Errors
/// If a file cannot be written, a value does not fit the type, or Hugging Face's classes cannot express the model.
pub fn save(
    folder: &Path,
    model: &Model,
    config: &ConfigFile,
    format: Format,
    precision: Precision,
) -> Result<(), CheckpointError> {
    Scheme::from(format).write(folder, (model, config), precision)
}
