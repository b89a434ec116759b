//! Reads and writes [`CONFIG`]: what the shapes of a model with the original's names do not show. The file is our own,
//! since the original has none; a field that it leaves out is inferred, or has the original's value.

use super::infer::Said;
use crate::checkpoint::fields::{activation, activation_name, eps, label_smoothing};
use crate::checkpoint::json::{decimal, parse_json, write_json};
use crate::checkpoint::{CheckpointError, ConfigFileError};
use crate::models::blip::{Config, TokenIds};
use crate::pictures::{Library, Preprocess};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The name of the file, which stands beside the weights.
pub const CONFIG: &str = "blip_config.json";

/// The fields of the file.
#[derive(Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct Fields {
    /// Rows and columns of a picture, in pixels.
    image_size: Option<[usize; 2]>,
    vision_heads: Option<usize>,
    vision_layer_norm_eps: Option<f64>,
    vision_hidden_act: Option<String>,
    text_heads: Option<usize>,
    text_layer_norm_eps: Option<f64>,
    text_hidden_act: Option<String>,
    text_label_smoothing: Option<f64>,
    /// The width of the joint space, which a model without projections would have.
    embed_dim: Option<usize>,
    tokens: Option<Tokens>,
    preprocess_cfg: Option<Preprocess>,
}

/// The ids of special tokens.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Tokens {
    pad: u32,
    cls: u32,
    sep: u32,
    dec: u32,
    enc: u32,
}

/// Reads the file.
pub(super) fn read(path: &Path) -> Result<(Said, Option<Preprocess>), CheckpointError> {
    parse_json(path, |file| {
        let fields = Fields::deserialize(file)?;
        let original = Said::original();
        let act = |name: Option<String>, default| name.map_or(Ok(default), |name| activation(&name));
        let eps = |said: Option<f64>, default| said.map_or(Ok(default), eps);
        let ids = |tokens: Tokens| {
            let Tokens { pad, cls, sep, dec, enc } = tokens;
            TokenIds { pad, cls, end: sep, decode: dec, encode: enc }
        };
        let said = Said {
            image_size: fields.image_size,
            vision_heads: fields.vision_heads,
            vision_eps: eps(fields.vision_layer_norm_eps, original.vision_eps)?,
            vision_activation: act(fields.vision_hidden_act, original.vision_activation)?,
            text_heads: fields.text_heads,
            text_eps: eps(fields.text_layer_norm_eps, original.text_eps)?,
            text_activation: act(fields.text_hidden_act, original.text_activation)?,
            label_smoothing: fields.text_label_smoothing.map_or(Ok(original.label_smoothing), label_smoothing)?,
            embed_dim: fields.embed_dim,
            ids: fields.tokens.map(ids),
        };
        let preprocess =
            fields.preprocess_cfg.map(|preprocess| Preprocess { library: Library::HuggingFace, ..preprocess });
        preprocess.iter().try_for_each(Preprocess::check).map_err(ConfigFileError::within("preprocess_cfg"))?;
        Ok((said, preprocess))
    })
}

/// Writes the file, with all its fields.
pub(super) fn write(path: &Path, config: &Config, preprocess: Option<&Preprocess>) -> Result<(), CheckpointError> {
    let Config { vision, text, embed_dim, .. } = config;
    let TokenIds { pad, cls, end, decode, encode } = text.ids;
    let fields = Fields {
        image_size: Some(vision.image_size),
        vision_heads: Some(vision.heads),
        vision_layer_norm_eps: Some(decimal(vision.eps)),
        vision_hidden_act: Some(activation_name(vision.activation).into()),
        text_heads: Some(text.heads),
        text_layer_norm_eps: Some(decimal(text.eps)),
        text_hidden_act: Some(activation_name(text.activation).into()),
        text_label_smoothing: Some(decimal(text.label_smoothing)),
        embed_dim: Some(*embed_dim),
        tokens: Some(Tokens { pad, cls, sep: end, dec: decode, enc: encode }),
        preprocess_cfg: preprocess.cloned(),
    };
    write_json(path, &serde_json::to_value(fields).expect("fields of numbers and texts"))
}
