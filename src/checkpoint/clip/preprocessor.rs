//! Reads and writes `preprocessor_config.json` of Hugging Face's `CLIPImageProcessor`.

use crate::checkpoint::json::decimal;
use crate::pictures::{Interpolation, Library, Preprocess, ResizeMode};
use serde::Deserialize;
use serde_json::{Value, json};

/// Pillow's number of the bilinear filter.
const BILINEAR: u8 = 2;
/// Pillow's number of the bicubic filter.
const BICUBIC: u8 = 3;

/// The fields of the file. A field that is left out or null has the default of `CLIPImageProcessor`.
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

/// Returns the preparation of pictures that the file describes.
///
/// # Errors
/// Returns an error that says what is wrong with the file.
pub(crate) fn parse(file: &Value) -> Result<Preprocess, String> {
    let fields = Fields::deserialize(file).map_err(|e| e.to_string())?;
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
pub(crate) fn write(preprocess: &Preprocess) -> Option<Value> {
    let side = preprocess.size;
    let square = json!({ "height": side, "width": side });
    let (size, crops) = match preprocess.resize_mode {
        ResizeMode::Shortest => (json!({ "shortest_edge": side }), true),
        ResizeMode::Squash => (square.clone(), false),
        ResizeMode::Longest => return None,
    };
    Some(json!({
        "image_processor_type": "CLIPImageProcessor",
        "do_resize": true,
        "size": size,
        "resample": if preprocess.interpolation == Interpolation::Bicubic { BICUBIC } else { BILINEAR },
        "do_center_crop": crops,
        "crop_size": square,
        "do_rescale": true,
        "rescale_factor": 1.0 / 255.0,
        "do_normalize": true,
        "image_mean": preprocess.mean.map(decimal),
        "image_std": preprocess.std.map(decimal),
        "do_convert_rgb": true,
    }))
}
