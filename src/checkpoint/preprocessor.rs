//! Reads and writes `preprocessor_config.json` of Hugging Face's `CLIPImageProcessor` and `BlipImageProcessor`.

use super::CheckpointError;
use super::json::{decimal, parse_json};
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
            None => Err("not an object".into()),
        })?;
        if let Some(section) = section {
            let invalid = |reason| CheckpointError::Config { path, reason: format!("{IMAGE_PROCESSOR}: {reason}") };
            return parse(&section, class).map(Some).map_err(invalid);
        }
    }
    beside(PREPROCESSOR).map(|path| parse_json(&path, |file| parse(file, class))).transpose()
}

/// Returns the preparation of pictures that the file describes.
///
/// # Errors
/// Returns an error that says what is wrong with the file.
fn parse(file: &Value, class: Class) -> Result<Preprocess, String> {
    let mut fields = Fields::deserialize(file).map_err(|e| e.to_string())?;
    if class == Class::Blip {
        let size = Size::Both { height: 384, width: 384 };
        fields = Fields { size: fields.size.or(Some(size)), do_center_crop: Some(false), crop_size: None, ..fields };
    }
    if fields.do_resize == Some(false) || fields.do_rescale == Some(false) {
        return Err("pictures are not resized or not rescaled; here they always are".into());
    }
    if fields.rescale_factor.is_some_and(|factor| (factor * 255.0 - 1.0).abs() > 1e-6) {
        return Err("rescale_factor is not 1/255".into());
    }
    let (size, resize_mode) = fields.square()?;
    let interpolation = match fields.resample {
        None | Some(BICUBIC) => Interpolation::Bicubic,
        Some(BILINEAR) => Interpolation::Bilinear,
        Some(other) => return Err(format!("resample is {other}; 2 (bilinear) and 3 (bicubic) are known")),
    };
    let openai = Preprocess::default();
    let (mean, std) = match fields.do_normalize {
        Some(false) => ([0.0; 3], [1.0; 3]),
        _ => (fields.image_mean.unwrap_or(openai.mean), fields.image_std.unwrap_or(openai.std)),
    };
    let preprocess = Preprocess { size, mean, std, interpolation, resize_mode, library: Library::HuggingFace };
    preprocess.check().map_err(|reason| format!("image_mean and image_std: {reason}"))?;
    Ok(preprocess)
}

impl Fields {
    /// Returns the side of the squares that pictures are made into, and how pictures are resized to them.
    fn square(&self) -> Result<(usize, ResizeMode), String> {
        let default = self.size.is_none().then_some(Size::Edge(224));
        let crops = self.do_center_crop != Some(false);
        let crop = match self.crop_size.or(default) {
            Some(Size::Both { height, width }) if height != width => {
                return Err(format!("crop_size {height}×{width} is not a square"));
            }
            Some(Size::Both { height: side, .. } | Size::Edge(side) | Size::Shortest { shortest_edge: side })
                if crops =>
            {
                Some(side)
            }
            _ => None,
        };
        let (side, mode) = match self.size.or(default) {
            Some(Size::Both { height, width }) if height != width => {
                return Err(format!("size {height}×{width} is not a square"));
            }
            Some(Size::Both { height, .. }) => (height, ResizeMode::Squash),
            Some(Size::Edge(edge) | Size::Shortest { shortest_edge: edge }) if crops => (edge, ResizeMode::Shortest),
            _ => return Err("pictures keep their proportions and are not cropped; here they end as squares".into()),
        };
        match crop {
            _ if side == 0 => Err("size is 0".into()),
            Some(crop) if crop != side => {
                Err(format!("a crop of {crop} from a size of {side}; here both are the same"))
            }
            _ => Ok((side, mode)),
        }
    }
}

/// Returns the file for this preparation of pictures, or `None` if the class cannot prepare them so.
pub(crate) fn write(preprocess: &Preprocess, class: Class) -> Option<Value> {
    let side = preprocess.size;
    let square = json!({ "height": side, "width": side });
    let (size, crops) = match (preprocess.resize_mode, class) {
        (ResizeMode::Shortest, Class::Clip) => (json!({ "shortest_edge": side }), true),
        (ResizeMode::Squash, _) => (square.clone(), false),
        (ResizeMode::Shortest, Class::Blip) | (ResizeMode::Longest, _) => return None,
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
    let class = match class {
        Class::Clip => {
            (file["do_center_crop"], file["crop_size"]) = (json!(crops), square);
            "CLIPImageProcessor"
        }
        Class::Blip => "BlipImageProcessor",
    };
    file["image_processor_type"] = json!(class);
    Some(file)
}
