//! Reads and writes `preprocessor_config.json` of Hugging Face's `CLIPImageProcessor`, `SiglipImageProcessor` and
//! `BlipImageProcessor`.

use super::json::{decimal, parse_json};
use super::{CheckpointError, ConfigFileError};
use crate::pictures::{Interpolation, Library, Preprocess, ResizeMode};
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The file of transformers 5. Its section [`IMAGE_PROCESSOR`] is what [`PREPROCESSOR`] holds in older versions.
const PROCESSOR: &str = "processor_config.json";
const IMAGE_PROCESSOR: &str = "image_processor";
/// The name of the file.
pub(crate) const PREPROCESSOR: &str = "preprocessor_config.json";

/// Pillow's number of the bilinear filter.
const BILINEAR: u8 = 2;
/// Pillow's number of the bicubic filter.
const BICUBIC: u8 = 3;

/// The fields of the file. A field that is left out or null has the default of its class.
#[derive(Deserialize)]
struct Fields {
    do_resize: Option<bool>,
    size: Option<Size>,
    resample: Option<u8>,
    do_center_crop: Option<bool>,
    crop_size: Option<Size>,
    do_rescale: Option<bool>,
    rescale_factor: Option<f64>,
    do_normalize: Option<bool>,
    image_mean: Option<[f32; 3]>,
    image_std: Option<[f32; 3]>,
}

/// A size as the file writes it.
#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(untagged)]
enum Size {
    /// The size of the shorter edge or, for a crop, of both edges.
    Edge(usize),
    Shortest {
        shortest_edge: usize,
    },
    Both {
        height: usize,
        width: usize,
    },
}

/// The classes of transformers whose files these are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// The class resizes and crops. Its pictures have 224 pixels unless its file says otherwise.
    Clip,
    /// The class only resizes. Its pictures have 224 pixels and the mean and deviation ½ unless its file says otherwise.
    Siglip,
    /// The class only resizes. Its pictures have 384 pixels unless its file says otherwise.
    Blip,
}

/// Returns how pictures are prepared, if a file beside the weights says so. If there are two such files, the newer kind
/// is read, as transformers itself does.
pub(crate) fn pictures(weights: &Path, class: Class) -> Result<Option<Preprocess>, CheckpointError> {
    let beside = |name| Some(weights.with_file_name(name)).filter(|path: &PathBuf| path.is_file());
    if let Some(path) = beside(PROCESSOR) {
        let section = parse_json(&path, |file| match file.as_object() {
            Some(fields) => Ok(fields.get(IMAGE_PROCESSOR).filter(|section| !section.is_null()).cloned()),
            None => Err(ConfigFileError::NotAnObject),
        })?;
        if let Some(section) = section {
            let parsed = parse(&section, class).map_err(ConfigFileError::within(IMAGE_PROCESSOR));
            return parsed.map(Some).map_err(CheckpointError::config(&path));
        }
    }
    beside(PREPROCESSOR).map(|path| parse_json(&path, |file| parse(file, class))).transpose()
}

/// Returns the preparation of pictures that the file describes.
///
/// # Errors
/// Returns an error that says what is wrong with the file.
fn parse(file: &Value, class: Class) -> Result<Preprocess, ConfigFileError> {
    let mut fields = Fields::deserialize(file)?;
    if class != Class::Clip {
        let side = if class == Class::Blip { 384 } else { 224 };
        let size = Size::Both { height: side, width: side };
        fields = Fields { size: fields.size.or(Some(size)), do_center_crop: Some(false), crop_size: None, ..fields };
    }
    if fields.do_resize == Some(false) || fields.do_rescale == Some(false) {
        return Err(ConfigFileError::NotScaled);
    }
    if fields.rescale_factor.is_some_and(|factor| (factor * 255.0 - 1.0).abs() > 1e-6) {
        return Err(ConfigFileError::RescaleFactor);
    }
    let (size, resize_mode) = fields.square()?;
    let interpolation = match fields.resample {
        None | Some(BICUBIC) => Interpolation::Bicubic,
        Some(BILINEAR) => Interpolation::Bilinear,
        Some(resample) => return Err(ConfigFileError::Resample { resample }),
    };
    let default = if class == Class::Siglip { Preprocess::siglip() } else { Preprocess::default() };
    let (mean, std) = match fields.do_normalize {
        Some(false) => ([0.0; 3], [1.0; 3]),
        _ => (fields.image_mean.unwrap_or(default.mean), fields.image_std.unwrap_or(default.std)),
    };
    let preprocess = Preprocess { size, mean, std, interpolation, resize_mode, library: Library::HuggingFace };
    preprocess.check().map_err(ConfigFileError::within("image_mean and image_std"))?;
    Ok(preprocess)
}

impl Fields {
    /// Returns the side of the squares that pictures are made into, and how pictures are resized to them.
    fn square(&self) -> Result<(usize, ResizeMode), ConfigFileError> {
        let default = self.size.is_none().then_some(Size::Edge(224));
        let crops = self.do_center_crop != Some(false);
        let crop = match self.crop_size.or(default) {
            Some(Size::Both { height, width }) if height != width => {
                return Err(ConfigFileError::NotASquare { field: "crop_size", height, width });
            }
            Some(Size::Both { height: side, .. } | Size::Edge(side) | Size::Shortest { shortest_edge: side })
                if crops =>
            {
                Some(side)
            }
            _ => None,
        };
        let (size, mode) = match self.size.or(default) {
            Some(Size::Both { height, width }) if height != width => {
                return Err(ConfigFileError::NotASquare { field: "size", height, width });
            }
            Some(Size::Both { height, .. }) => (height, ResizeMode::Squash),
            Some(Size::Edge(edge) | Size::Shortest { shortest_edge: edge }) if crops => (edge, ResizeMode::Shortest),
            _ => return Err(ConfigFileError::NotCropped),
        };
        match crop {
            _ if size == 0 => Err(ConfigFileError::NoSize),
            Some(crop) if crop != size => Err(ConfigFileError::Crop { crop, size }),
            _ => Ok((size, mode)),
        }
    }
}

/// Returns the file for this preparation of pictures.
///
/// # Errors
/// Returns an error if the class cannot prepare pictures so.
pub(crate) fn write(preprocess: &Preprocess, class: Class) -> Result<Value, ConfigFileError> {
    let side = preprocess.size;
    let square = json!({ "height": side, "width": side });
    let (size, crops) = match (preprocess.resize_mode, class) {
        (ResizeMode::Shortest, Class::Clip) => (json!({ "shortest_edge": side }), true),
        (ResizeMode::Squash, _) => (square.clone(), false),
        (_, Class::Blip | Class::Siglip) => return Err(ConfigFileError::NotSquashed { class: class.name() }),
        (ResizeMode::Longest, Class::Clip) => return Err(ConfigFileError::Padding),
    };
    let mut file = json!({
        "do_resize": true,
        "size": size,
        "resample": if preprocess.interpolation == Interpolation::Bicubic { BICUBIC } else { BILINEAR },
        "do_rescale": true,
        "rescale_factor": 1.0 / 255.0,
        "do_normalize": true,
        "image_mean": preprocess.mean.map(decimal),
        "image_std": preprocess.std.map(decimal),
        "do_convert_rgb": true,
    });
    if class == Class::Clip {
        (file["do_center_crop"], file["crop_size"]) = (json!(crops), square);
    }
    file["image_processor_type"] = json!(class.name());
    Ok(file)
}

impl Class {
    /// Returns the name that transformers has for the class.
    fn name(self) -> &'static str {
        match self {
            Class::Clip => "CLIPImageProcessor",
            Class::Siglip => "SiglipImageProcessor",
            Class::Blip => "BlipImageProcessor",
        }
    }
}
