//! Writes the folders that libraries load a CLIP from, with one function for each library.

use super::names::Scheme;
use super::openclip::{CONFIG, ConfigFile, WEIGHTS};
use super::{hugging_face as described, tokenizer_files};
use crate::checkpoint::CheckpointError;
use crate::checkpoint::dtype::Precision;
use crate::checkpoint::int8::write_rounded;
use crate::checkpoint::json::write_json;
use crate::checkpoint::places::write_params;
use crate::checkpoint::preprocessor::{self, Class, PREPROCESSOR};
use crate::models::clip::model::Model;
use std::fs;
use std::path::Path;

/// What the folder of a CLIP is written from.
#[derive(Clone, Copy)]
pub struct Contents<'a> {
    /// The parameters of both towers.
    pub model: &'a Model,
    /// The architecture, and how pictures are prepared for it.
    pub config: &'a ConfigFile,
}

/// Writes OpenCLIP's folder, which is also our own.
///
/// # Errors
/// Returns an error if a file cannot be written, or if a value does not fit the type.
pub(crate) fn openclip(
    folder: &Path,
    scheme: &Scheme,
    Contents { model, config }: Contents,
    precision: Precision,
) -> Result<(), CheckpointError> {
    make(folder)?;
    let places = scheme.clip(&model.params.spec);
    write_params(&folder.join(WEIGHTS), &model.params, &places, precision.into())?;
    config.write(&folder.join(CONFIG))
}

/// Writes a folder that is OpenCLIP's but for its matrices of eight bits.
///
/// # Errors
/// Returns an error if a file cannot be written.
pub(crate) fn rounded(folder: &Path, Contents { model, config }: Contents) -> Result<(), CheckpointError> {
    make(folder)?;
    let places = Scheme::openclip(config.model_cfg.vision_cfg.map_head).clip(&model.params.spec);
    write_rounded(&folder.join(WEIGHTS), &model.params, &places)?;
    config.write(&folder.join(CONFIG))
}

/// Writes Hugging Face's folder.
///
/// # Errors
/// Returns an error if Hugging Face's classes cannot express the model, if a file cannot be written, or if a value does
/// not fit the type.
pub(crate) fn hugging_face(
    folder: &Path,
    scheme: &Scheme,
    Contents { model, config }: Contents,
    precision: Precision,
) -> Result<(), CheckpointError> {
    let class = if config.model_cfg.vision_cfg.map_head { Class::Siglip } else { Class::Clip };
    let preprocessor = preprocessor::write(&config.preprocess_cfg, class).map_err(CheckpointError::config(folder))?;
    let described = described::write(&config.model_cfg, precision).map_err(CheckpointError::config(folder))?;
    make(folder)?;
    let places = scheme.clip(&model.params.spec);
    write_params(&folder.join("model.safetensors"), &model.params, &places, precision.into())?;
    tokenizer_files::write(folder, &config.model_cfg.text_cfg)?;
    write_json(&folder.join(PREPROCESSOR), &preprocessor)?;
    write_json(&folder.join("config.json"), &described)
}

fn make(folder: &Path) -> Result<(), CheckpointError> {
    fs::create_dir_all(folder).map_err(|source| CheckpointError::Io { path: folder.into(), source })
}
