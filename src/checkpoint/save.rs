//! Writing a model as other libraries load it.

use super::dtype::{Dtype, Precision};
use super::names::{Place, Scheme};
use super::openclip::ConfigFile;
use super::safetensors::{Tensor, write};
use super::weights::transpose;
use super::{CONFIG, CheckpointError, WEIGHTS, hugging_face, preprocessor, tokenizer_files};
use crate::files::write_atomic;
use crate::models::clip::model::{self, Model};
use crate::params::{Params, Role, Spec};
use crate::tree::Path as TreePath;
use serde::Serialize;
use serde_json::Value;
use std::borrow::Cow;
use std::fmt;
use std::fs;
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
    match format {
        Format::OpenClip => {
            make(folder)?;
            write_tensors(&folder.join(WEIGHTS), &model.params, &Scheme::openai(), precision.into())?;
            config.write(&folder.join(CONFIG))
        }
        Format::HuggingFace => {
            let cannot = |reason: &str| CheckpointError::Config { path: folder.into(), reason: reason.into() };
            let preprocessor = preprocessor::write(&config.preprocess_cfg)
                .ok_or_else(|| cannot("Hugging Face's CLIPImageProcessor cannot pad pictures to a square"))?;
            let described = hugging_face::write(&config.model_cfg, precision)
                .ok_or_else(|| cannot("Hugging Face's CLIPModel cannot be a ResNet"))?;
            make(folder)?;
            write_tensors(&folder.join("model.safetensors"), &model.params, &Scheme::hugging_face(), precision.into())?;
            tokenizer_files::write(folder, &config.model_cfg.text_cfg)?;
            write_json(&folder.join("preprocessor_config.json"), &preprocessor)?;
            write_json(&folder.join("config.json"), &described)
        }
    }
}

fn make(folder: &Path) -> Result<(), CheckpointError> {
    fs::create_dir_all(folder).map_err(|source| CheckpointError::Io { path: folder.into(), source })
}

fn write_tensors(
    path: &Path,
    params: &Params<model::ClipParams<Spec>>,
    scheme: &Scheme,
    dtype: Dtype,
) -> Result<(), CheckpointError> {
    let mut tensors = vec![];
    for (name, spec, values) in params.named(&TreePath::ROOT) {
        let place =
            scheme.place(&name).ok_or_else(|| CheckpointError::NoName { path: path.into(), tensor: name.clone() })?;
        let dtype = if spec.role == Role::Count { Dtype::I64 } else { dtype };
        tensors.extend(placed(place, spec.shape, values, dtype));
    }
    write(path, &tensors, [("format", "pt")])
}

/// A tensor of ours as it stands in the file.
fn placed(place: Place, shape: Vec<usize>, values: &[f32], dtype: Dtype) -> Vec<Tensor<'_>> {
    match place {
        Place::Whole(name) => vec![Tensor { name, shape, values: Cow::Borrowed(values), dtype }],
        Place::Transposed(name) => {
            let mut transposed = vec![0.0; values.len()];
            transpose(values, shape[0], &mut transposed);
            let shape = shape.into_iter().rev().collect();
            vec![Tensor { name, shape, values: Cow::Owned(transposed), dtype }]
        }
        Place::Thirds(names) => {
            let shape = [&[shape[0] / 3], &shape[1..]].concat();
            let third = |(name, values)| Tensor { name, shape: shape.clone(), values: Cow::Borrowed(values), dtype };
            names.into_iter().zip(values.chunks_exact(values.len() / 3)).map(third).collect()
        }
        Place::Identity => vec![],
    }
}

/// Writes a JSON file, whole or not at all.
pub(super) fn write_json(path: &Path, value: &Value) -> Result<(), CheckpointError> {
    write_atomic(path, |out| {
        serde_json::to_writer_pretty(&mut *out, value)?;
        writeln!(out)
    })
    .map_err(|source| CheckpointError::Io { path: path.into(), source })
}
