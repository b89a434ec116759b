//! Writes the folders that libraries load a BLIP from.

use super::names::{Format, Scheme};
use super::{hugging_face, original};
use crate::checkpoint::CheckpointError;
use crate::checkpoint::dtype::Precision;
use crate::checkpoint::json::write_json;
use crate::checkpoint::places::write_params;
use crate::checkpoint::preprocessor::{self, Class, PREPROCESSOR};
use crate::models::blip::{Blip, Config};
use crate::params::{Params, Spec};
use crate::pictures::{Library, Preprocess, ResizeMode};
use crate::tree::{Path as TreePath, Tree};
use std::fs;
use std::path::Path;

/// The name of the file of weights.
const WEIGHTS: &str = "model.safetensors";

/// Returns how the original prepares pictures: both sides become the model's, and the proportions are lost. Pictures are
/// made RGB before they are resized, as in Hugging Face's class.
pub fn preprocess() -> Preprocess {
    Preprocess { resize_mode: ResizeMode::Squash, library: Library::HuggingFace, ..Preprocess::default() }
}

/// A model to be written.
#[derive(Clone, Copy)]
pub(crate) struct Model<'a> {
    pub config: &'a Config,
    pub params: &'a Params<Blip<Spec>>,
    pub preprocess: Option<&'a Preprocess>,
}

/// Writes a model's folder in a scheme.
pub(super) fn write(
    scheme: &Scheme,
    folder: &Path,
    model: Model<'_>,
    precision: Precision,
) -> Result<(), CheckpointError> {
    let Model { config, params, preprocess } = model;
    let places = scheme.places(config.vision.layers, config.text.layers);
    let weights = folder.join(WEIGHTS);
    let make = || fs::create_dir_all(folder).map_err(|source| CheckpointError::Io { path: folder.into(), source });
    match scheme.format {
        Format::Original => {
            make()?;
            write_params(&weights, params, &places, precision.into())?;
            original::write(&folder.join(original::CONFIG), config, preprocess)
        }
        Format::HuggingFace => {
            let described = hugging_face::write(config, precision).map_err(CheckpointError::config(folder))?;
            let side = config.vision.image_size[0];
            let preprocess = preprocess.cloned().unwrap_or_else(|| Preprocess { size: side, ..self::preprocess() });
            let preprocess = preprocessor::write(&preprocess, Class::Blip).map_err(CheckpointError::config(folder))?;
            make()?;
            // transformers itself writes a tied tensor under the first of its names.
            let places = places.map(&TreePath::ROOT, &mut |_, places| places[..1].to_vec());
            write_params(&weights, params, &places, precision.into())?;
            write_json(&folder.join(PREPROCESSOR), &preprocess)?;
            write_json(&folder.join(hugging_face::CONFIG), &described)
        }
    }
}
